"""A small model and data source that keep the training interfaces, with dropout and a routed part."""

from __future__ import annotations

import dataclasses
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from m.checkpoint import load_checkpoint
from m.training import Callback, StepRecord, TrainingConfig

DIM = 4
EXPERTS = 3


@dataclasses.dataclass(frozen=True)
class TinyBatch:
    inputs: Tensor  # [B, D]
    targets: Tensor  # [B]

    @property
    def num_sequences(self) -> int:
        return self.inputs.shape[0]

    @property
    def num_tokens(self) -> int:
        return self.inputs.numel()

    def to(self, device: torch.device) -> TinyBatch:
        return TinyBatch(self.inputs.to(device), self.targets.to(device))


@dataclasses.dataclass(frozen=True)
class TinyLoss:
    loss: Tensor
    metrics: dict[str, Tensor]
    expert_load: Tensor | None


class TinyModel(nn.Module):
    """Soft mixture of linear experts behind dropout; `bias` moves with the load like an aux-free router."""

    bias: Tensor

    def __init__(self, dropout: float = 0.2, seed: int = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.norm = nn.LayerNorm(DIM)
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Parameter(torch.randn(DIM, EXPERTS, generator=generator) * 0.5)
        self.expert_weight = nn.Parameter(torch.randn(EXPERTS, DIM, generator=generator) * 0.5)
        self.expert_bias = nn.Parameter(torch.zeros(EXPERTS, 1))
        self.register_buffer("bias", torch.zeros(EXPERTS))
        self.loads_seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.dropout(self.norm(inputs))
        scores = torch.softmax(hidden @ self.gate + self.bias, dim=-1)  # [B, E]
        each = hidden @ self.expert_weight.T + self.expert_bias.T  # [B, E]
        return (scores * each).sum(-1), scores

    def loss(self, batch: TinyBatch) -> TinyLoss:
        predicted, scores = self(batch.inputs)
        loss = (predicted - batch.targets).square().mean()
        load = torch.bincount(scores.argmax(-1), minlength=EXPERTS).float()[None]  # [1, E]
        return TinyLoss(loss, {"absolute": (predicted - batch.targets).abs().mean().detach()}, load)

    def update_routers(self, expert_load: Tensor) -> None:
        self.loads_seen.append(expert_load.clone())
        self.bias -= 0.01 * torch.sign(expert_load[0] - expert_load[0].mean())

    def parameter_kinds(self) -> dict[str, Literal["router", "experts", "rest"]]:
        return {
            "norm.weight": "rest",
            "norm.bias": "rest",
            "gate": "router",
            "expert_weight": "experts",
            "expert_bias": "experts",
        }


def batch_at(index: int, size: int = 8) -> TinyBatch:
    """Micro-batch `index` of the stream: a function of the index alone."""
    generator = torch.Generator().manual_seed(1000 + index)
    inputs = torch.randn(size, DIM, generator=generator)
    targets = 2 * nn.functional.layer_norm(inputs, (DIM,))[:, 0]
    return TinyBatch(inputs, targets + 0.1 * torch.randn(size, generator=generator))


def stream(first: int) -> Iterator[TinyBatch]:
    index = first
    while True:
        yield batch_at(index)
        index += 1


def evaluate(model: nn.Module, step: int) -> dict[str, float]:
    """Loss on fixed data. Draws from every generator, to show that training does not notice."""
    torch.rand(3)
    random.random()
    np.random.rand()  # noqa: NPY002
    assert not model.training
    return {"loss": model.loss(batch_at(10**6, size=64)).loss.item()}


def config(**changes: object) -> TrainingConfig:
    options: dict[str, object] = {
        "batch_size": 8,
        "learning_rate": 0.02,
        "max_steps": 20,
        "eval_interval": 5,
        "checkpoint_interval": 5,
        "log_interval": 5,
        "precision": "fp32",
    }
    return TrainingConfig(**{**options, **changes})


class StopAt(Callback):
    """Asks the process to stop, as Ctrl-C does, when a step's record arrives."""

    def __init__(self, step: int):
        self.step = step

    def on_step(self, record: StepRecord):
        if record.step == self.step:
            signal.raise_signal(signal.SIGINT)


def state_of(folder: Path) -> dict:
    state = load_checkpoint(folder / "training_state.pt")
    state["progress"].pop("elapsed")
    state.pop("training_config")
    return state


def assert_same(left, right, where="state"):
    """Equal to the bit, through all nesting."""
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list):
        assert len(left) == len(right), where
        for i, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}[{i}]")
    else:
        assert left == right, where
