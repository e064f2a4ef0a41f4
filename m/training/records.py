"""What a run reports: typed records handed to callbacks, and the result of `Trainer.fit`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, TypeAlias

from m.training.config import TrainingConfig

TrainingStatus: TypeAlias = Literal["finished", "interrupted", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartRecord:
    """A run begins or goes on.

    Attributes:
        step: optimizer steps already done (0 for a fresh run).
        resumed: whether the run goes on from a saved state.
        changed: training options that differ from the saved run's, as "name: old -> new".
        precision_reason: why `precision` was chosen.
        parameters: number of trainable numbers in the model.
        processes: that train it together.
        compiled: whether the loss is compiled, which makes the first step a long one.
        compiled_reason: why, or why not.
    """

    step: int
    max_steps: int
    resumed: bool
    changed: tuple[str, ...]
    device: str
    precision: Literal["fp32", "bf16"]
    precision_reason: str
    parameters: int
    output_dir: Path
    config: TrainingConfig
    processes: int = 1
    compiled: bool = False
    compiled_reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepRecord:
    """Means over the optimizer steps since the record before (or since the run began or went on).

    Attributes:
        step: optimizer steps done.
        metrics: what the model reports, and `batch_metrics` of the step itself.
        grad_norm: L2 norm of all gradients before clipping.
        learning_rate: base rate of the last step.
        expert_load: share of tokens per layer and expert; each layer sums to 1. None without experts.
        imbalance: largest share over the even share, in the worst layer; 1 is balanced.
        sequences_per_second: training only; time in evaluation and saving is left out.
        tokens_per_second: the same in sequence points.
        elapsed: seconds of the whole run so far, earlier sessions and evaluation included.
    """

    step: int
    loss: float
    metrics: dict[str, float]
    learning_rate: float
    grad_norm: float
    expert_load: list[list[float]] | None
    imbalance: float | None
    sequences_per_second: float
    tokens_per_second: float
    elapsed: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """An evaluation: its metrics, whether it is the best so far, and how long it took (seconds)."""

    step: int
    metrics: dict[str, float]
    is_best: bool
    seconds: float
    elapsed: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How `Trainer.fit` ended. A failed run raises instead of returning.

    Attributes:
        status: "finished" (all steps done) or "interrupted" (a signal; resume to go on).
        step: optimizer steps done.
        best_value: best value of ``config.best_metric`` so far; None before the first evaluation.
        best_step: the step it was reached at.
        metrics: the latest evaluation.
        elapsed: seconds of the whole run, earlier sessions included.
    """

    status: TrainingStatus
    step: int
    best_value: float | None
    best_step: int | None
    metrics: dict[str, float]
    elapsed: float
