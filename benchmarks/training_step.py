"""What benchmarks of training share: one optimizer step in its phases, and how a command line names one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.report import UNTIED
from examples.trajectory_3d.config import ExperimentConfig
from m.config import load_config
from m.moe import MoESequenceRegressor, SequenceBatch
from m.training import Precision, TrainingConfig, build_optimizer, choose_precision

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class TrainingStep:
    """A step as the `Trainer` takes it, without its records: call it, or its phases one after the other."""

    def __init__(
        self,
        model: MoESequenceRegressor,
        training: TrainingConfig,
        batches: Iterator[SequenceBatch],
        precision: Precision,
    ) -> None:
        self._model, self._batches, self._precision = model, batches, precision
        self._optimizer = build_optimizer(model, model.parameter_kinds(), training)

    def forward(self) -> Tensor:
        """The loss of the next windows."""
        with self._precision.autocast():
            loss: Tensor = self._model.loss(next(self._batches)).loss
        return loss

    def update(self) -> None:
        """Clip the gradients and let the optimizer take its step."""
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def __call__(self) -> None:
        self.forward().backward()  # type: ignore[no-untyped-call]
        self.update()


@dataclass(frozen=True)
class StepCommand:
    """Which steps a command line asks for.

    Attributes:
        experiment: with experts that go their own ways, as in the greater part of a run.
        precision: that its training chooses on this processor.
        steps: to measure.
        warmup: steps before them.
        overrides: as they were given.
    """

    experiment: ExperimentConfig
    precision: Precision
    steps: int
    warmup: int
    overrides: tuple[str, ...]


def read_command(description: str | None, *, steps: int) -> StepCommand:
    """Parse the command line of a benchmark that takes steps of a configuration.

    Args:
        description: of the benchmark, for ``--help``.
        steps: measured by default.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("overrides", nargs="*", help="key=value")
    arguments = parser.parse_intermixed_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    experiment = load_config(ExperimentConfig, arguments.config, [UNTIED, *arguments.overrides])
    precision = choose_precision(experiment.training.precision, torch.device("cpu"))
    return StepCommand(experiment, precision, arguments.steps, arguments.warmup, tuple(arguments.overrides))
