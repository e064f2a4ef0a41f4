"""A small model trained on small batches, in one process or by several."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from m.config import apply_overrides, from_dict
from m.moe import ModelConfig, MoESequenceRegressor, SequenceBatch
from m.parallel import ParallelConfig, ParallelEngine, joined_world
from m.training import Callback, Trainer, TrainingConfig

STEPS, BATCH, LENGTH = 6, 16, 12
MODEL = {
    "dim": 16,
    "n_layers": 2,
    "dropout": 0.0,
    "attention": {"n_heads": 2},
    "router": {"n_experts": 4, "top_k": 2},
    "experts": {"hidden_dim": 8, "shared_hidden_dim": 8},
    "head": {"prediction_steps": 4, "spread_weighting": 0.25, "distribution": "student_t"},
    "context": {"shortened_share": 0.5},
    "input_dim": 3,
    "target_dim": 3,
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained, how, and by how many."""

    parallel: dict[str, Any] = dataclasses.field(default_factory=dict)
    model: tuple[str, ...] = ()
    training: dict[str, Any] = dataclasses.field(default_factory=dict)
    resume: bool = False


def batch(index: int, rank: int = 0, size: int = 1) -> SequenceBatch:
    generator = torch.Generator().manual_seed(index)
    steps = torch.randn(BATCH, LENGTH + 4, 3, generator=generator)
    path = steps.cumsum(1)
    return SequenceBatch(path[:, :LENGTH].chunk(size)[rank], path.chunk(size)[rank])


def options(plan: Plan) -> TrainingConfig:
    settings = {
        "batch_size": BATCH,
        "max_steps": STEPS,
        "learning_rate": 0.01,
        "warmup_steps": 1,
        "log_interval": 1,
        "eval_interval": 3,
        "checkpoint_interval": 2,
        "ema_decay": 0.5,
        "precision": "fp32",
        "gradient_clip_norm": 0.5,
        "best_metric": "weight",
    }
    return TrainingConfig(**{**settings, **plan.training})


class Losses(Callback):
    def __init__(self) -> None:
        self.seen: list[tuple[float, ...]] = []

    def on_step(self, record: Any) -> None:
        self.seen.append((record.loss, record.grad_norm, *record.metrics.values()))


def train(
    folder: Path, plan: Plan, world: Any = None, callbacks: tuple[Callback, ...] = ()
) -> list[tuple[float, ...]]:
    torch.manual_seed(3)
    model = MoESequenceRegressor(from_dict(ModelConfig, apply_overrides(MODEL, plan.model)))
    rank, size = (0, 1) if world is None else (world.rank, world.size)
    engine = None if world is None else ParallelEngine(model, ParallelConfig(**plan.parallel), world)
    losses = Losses()

    def stream(first: int) -> Any:
        index = first
        while True:
            yield batch(index, rank, size)
            index += 1

    Trainer(
        model,
        stream,
        options(plan),
        output_dir=folder,
        engine=engine,
        evaluate=lambda shown, _: {"weight": float(sum(p.square().sum() for p in shown.parameters()))},
        callbacks=(losses, *callbacks),
    ).fit(resume=plan.resume)
    return losses.seen


def train_here(folder: Path, plan: Plan) -> list[tuple[float, ...]]:
    with joined_world(ParallelConfig(**plan.parallel), "cpu") as world:
        return train(folder, plan, world)
