"""Hooks into a run. Subclass `Callback` and override what is needed; the rest does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from m.training.records import EvaluationRecord, StartRecord, StepRecord, TrainingStatus


class Callback:
    """Receiver of a run's records. An exception raised in a hook ends the run as "failed"."""

    def on_start(self, record: StartRecord) -> None:
        """Before the first step of a fresh or resumed run."""

    def on_step(self, record: StepRecord) -> None:
        """Every ``log_interval`` optimizer steps, and at the last one."""

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """After each evaluation, and after ``best_model.pt`` is written if it was the best.

        The model is as it was evaluated: in eval mode, with the averaged weights when EMA is on, and
        without gradients. What is drawn from random generators here does not disturb training.
        """

    def on_checkpoint(self, path: Path, step: int) -> None:
        """After each file written: best, final or state. The first is the state of step 0."""

    def on_end(self, status: TrainingStatus) -> None:
        """Last; also when the run fails, before the exception goes on."""


class CallbackList(Callback):
    """Calls several callbacks in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = tuple(callbacks)

    def on_start(self, record: StartRecord) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_start(record)

    def on_step(self, record: StepRecord) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_step(record)

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_evaluation(record)

    def on_checkpoint(self, path: Path, step: int) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_checkpoint(path, step)

    def on_end(self, status: TrainingStatus) -> None:
        """Pass on."""
        for callback in self._callbacks:
            callback.on_end(status)
