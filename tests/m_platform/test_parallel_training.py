"""Training by many processes: the same losses, weights and checkpoints as by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from m.checkpoint import load_checkpoint
from m.config import from_dict
from m.moe import ModelConfig, MoESequenceRegressor, SequenceBatch
from m.parallel import ParallelConfig, ParallelEngine, joined_world
from m.training import Callback, Trainer, TrainingConfig
from tests.m_platform.processes import Crew

STEPS, BATCH, LENGTH = 6, 16, 12
MODEL = {
    "dim": 16,
    "n_layers": 2,
    "dropout": 0.0,
    "attention": {"n_heads": 2},
    "router": {"n_experts": 4, "top_k": 2},
    "experts": {"hidden_dim": 8, "shared_hidden_dim": 8},
    "head": {"prediction_steps": 4, "spread_weighting": 0.25},
    "context": {"shortened_share": 0.5},
    "input_dim": 3,
    "target_dim": 3,
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is trained, how, and by how many."""

    parallel: dict[str, Any] = dataclasses.field(default_factory=dict)
    model: dict[str, Any] = dataclasses.field(default_factory=dict)
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


def train(folder: Path, plan: Plan, world: Any = None) -> list[tuple[float, ...]]:
    torch.manual_seed(3)
    settings = {
        key: {**value, **plan.model.get(key, {})} if isinstance(value, dict) else value
        for key, value in MODEL.items()
    }
    model = MoESequenceRegressor(from_dict(ModelConfig, settings))
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
        callbacks=(losses,),
    ).fit(resume=plan.resume)
    return losses.seen


def train_here(folder: Path, plan: Plan) -> list[tuple[float, ...]]:
    with joined_world(ParallelConfig(**plan.parallel), "cpu") as world:
        return train(folder, plan, world)


KINDS = {
    "ddp": (2, {}),
    "fsdp": (2, {"mode": "fsdp"}),
    "experts": (2, {"expert": 2}),
    "ddp of 4": (4, {}),
    "ddp x experts": (4, {"expert": 2}),
    "fsdp x experts": (4, {"mode": "fsdp", "expert": 2}),
}


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(4) as started:
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_weights_are_those_of_one_process(kind: str, crew: Crew, tmp_path: Path) -> None:
    size, parallel = KINDS[kind]
    expected = train(tmp_path / "one", Plan())
    found = crew.run(size, train_here, tmp_path / "many", Plan(parallel=parallel))[0]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=2e-5, atol=2e-6)
    one, many = (
        load_checkpoint(tmp_path / name / "final_model.pt", kind="model") for name in ("one", "many")
    )
    for name, tensor in one["model"].items():
        torch.testing.assert_close(
            many["model"][name], tensor, rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
