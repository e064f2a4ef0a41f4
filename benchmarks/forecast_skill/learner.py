"""A model in training: one step, the time spent, and its whole state as a copy."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from benchmarks.forecast_skill.contestants import Contestant
from m.moe import SequenceBatch
from m.training import Ema, NonFiniteLossError, TrainableModel, build_optimizer, choose_precision
from m.training.engine import LocalEngine
from m.training.optimizer import set_learning_rate
from m.training.random_state import seed_all
from m.training.state import Progress, capture_state, restore_state
from m.training.step import accumulate_gradients, apply_gradients

Clock = Callable[[], float]


class Learner:
    """One contestant's model, optimizer, averaged weights and clocks.

    Weights and random generators start from the contestant's seed; constructing a second learner
    therefore reseeds (hold `preserved_random` around it).

    Args:
        contestant: what to train.
        device: where.
        clock: seconds, for training time.
    """

    def __init__(self, contestant: Contestant, device: torch.device, clock: Clock) -> None:
        seed_all(contestant.training.seed)
        self.contestant = contestant
        self.config = contestant.training
        self.device = device
        self.model = contestant.build().to(device).train()
        self.precision = choose_precision(self.config.precision, device)
        self.progress = Progress()
        self.cpu_seconds = 0.0
        self.clock = clock
        if not isinstance(self.model, TrainableModel):
            raise TypeError(f"{contestant.name} lacks loss, update_routers or parameter_kinds")
        self._optimizer = build_optimizer(self.model, self.model.parameter_kinds(), self.config)
        self._engine = LocalEngine(self.model, device)
        self._ema = Ema(self._engine.weights(), self.config.ema_decay) if self.config.ema_decay > 0 else None

    @property
    def windows_seen(self) -> int:
        """Training windows behind the present weights."""
        return self.progress.step * self.config.accumulation_steps * self.config.batch_size

    def batches(self) -> Iterator[SequenceBatch]:
        """The stream from where this learner stands, its first batch made already.

        Starting data workers is not training, so it happens here, off the clock.
        """
        stream = self.contestant.batches(self.progress.step * self.config.accumulation_steps)
        first = next(stream)

        def deliver() -> Iterator[SequenceBatch]:
            yield first
            yield from stream

        return deliver()

    def step(self, batches: Iterator[SequenceBatch], factor: float) -> None:
        """One optimizer step at ``factor`` times the peak rate; data, metrics and waiting are on the clock.

        Raises:
            NonFiniteLossError: the loss or the gradient is NaN or infinite.
        """
        began, cpu_began = self.clock(), time.process_time()
        rate = self.config.learning_rate * factor
        set_learning_rate(self._optimizer, rate)
        outcome = accumulate_gradients(
            self._engine,
            batches,
            accumulation_steps=self.config.accumulation_steps,
            clip_norm=self.config.gradient_clip_norm,
            precision=self.precision,
            device=self.device,
        )
        if not outcome.is_finite():
            raise NonFiniteLossError(
                step=self.progress.step + 1,
                learning_rate=rate,
                found=outcome.non_finite_names(),
                saved_step=0,
                state_path=Path(self.contestant.name) / "trunk.pt",
            )
        apply_gradients(self.model, self._optimizer, outcome)
        if self._ema is not None:
            self._ema.update()
        self.progress.step += 1
        self.progress.elapsed += self.clock() - began
        self.cpu_seconds += time.process_time() - cpu_began

    def train_until(
        self, seconds: float, batches: Iterator[SequenceBatch], factor: Callable[[float], float]
    ) -> None:
        """Step until the training time reaches ``seconds``; the last step may end a little after.

        Args:
            seconds: of training, since the start of the trunk.
            batches: from `batches`.
            factor: learning-rate factor by seconds of training before the step.
        """
        while self.progress.elapsed < seconds:
            self.step(batches, factor(self.progress.elapsed))

    def warm_up(self, steps: int = 2) -> None:
        """Take steps and undo them, so that compilation and first allocations are not on the clock."""
        before = self.snapshot()
        batches = self.batches()
        for _ in range(steps):
            self.step(batches, 1.0)
        self.restore(before)

    def snapshot(self) -> dict[str, Any]:
        """The whole state, copied: nothing done to the learner later changes it."""
        state = capture_state(
            model=self.model,
            optimizer=self._optimizer,
            ema=self._ema,
            progress=self.progress,
            config=self.config,
            metadata={"cpu_seconds": self.cpu_seconds, "contestant": self.contestant.description},
            random=self._engine.random_state(),
        )
        return copy.deepcopy(state)

    def restore(self, state: dict[str, Any], source: str = "snapshot") -> None:
        """Take over a state from `snapshot`, random generators included.

        Raises:
            CheckpointError: it is of another model or another data stream.
        """
        self.progress, _ = restore_state(
            copy.deepcopy(state),  # the optimizer would take over the state's own tensors
            source=source,
            model=self.model,
            optimizer=self._optimizer,
            ema=self._ema,
            config=self.config,
            restore_random=self._engine.restore_random,
        )
        self.cpu_seconds = float(state["metadata"]["cpu_seconds"])

    def shipped_weights(self) -> AbstractContextManager[None]:
        """Inside the block the model holds the weights to judge: averaged ones where averaging is on."""
        return nullcontext() if self._ema is None else self._ema.applied()


def second_learner(learner: Learner, state: dict[str, Any]) -> Learner:
    """Another learner that stands where ``state`` was taken. Call it inside `preserved_random`."""
    other = Learner(learner.contestant, learner.device, learner.clock)
    other.restore(state)
    return other
