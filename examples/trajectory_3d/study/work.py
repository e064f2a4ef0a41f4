"""The work in an experiment, counted from its configuration: windows, operations, bytes."""

from __future__ import annotations

from typing import Protocol

from examples.trajectory_3d.config import ExperimentConfig
from m.moe.derived import model_size

BACKWARD_FACTOR = 3  # forward and backward pass over the forward pass alone
_BYTES = 4  # of a number


class HasExperiment(Protocol):
    """A trial, as far as it matters here."""

    @property
    def experiment(self) -> ExperimentConfig:
        """All settings."""
        ...


def training_windows(trial: HasExperiment, steps: int | None = None) -> int:
    """Windows that a trial is trained on, in all its steps or in some."""
    training = trial.experiment.training
    count = training.max_steps if steps is None else steps
    return count * training.batch_size * training.accumulation_steps


def training_flops(trial: HasExperiment, steps: int | None = None) -> float:
    """Operations of a training's matrix products: three forward passes for every window seen."""
    size = model_size(trial.experiment.model)
    forward = size.forward_flops(trial.experiment.dataset.sequence_length)
    return float(BACKWARD_FACTOR * forward * training_windows(trial, steps))


def disk_bytes(trial: HasExperiment) -> float:
    """Bytes of a run's two models and its training state, with two moments a parameter."""
    copies = 2 + 3 + (1 if trial.experiment.training.ema_decay > 0 else 0)
    return float(_BYTES * copies * model_size(trial.experiment.model).total_parameters)
