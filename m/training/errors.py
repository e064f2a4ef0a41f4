"""Errors of the training loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class NonFiniteLossError(RuntimeError):
    """The loss or the gradient became NaN or infinite; the weights were not updated with it.

    Attributes:
        step: the optimizer step that failed, counted from 1.
        learning_rate: its learning rate.
        found: what is not finite, as "name = value".
        saved_step: step of the last saved training state (0: the one written before the first step).
    """

    def __init__(
        self,
        *,
        step: int,
        learning_rate: float,
        found: Sequence[str],
        saved_step: int,
        state_path: Path,
    ) -> None:
        self.step = step
        self.learning_rate = learning_rate
        self.found = tuple(found)
        self.saved_step = saved_step
        super().__init__(
            f"step {step}, learning rate {learning_rate:.3g}: {', '.join(found)}. The weights were not "
            f"updated with it and nothing on disk was changed. The last good state, of step {saved_step}, "
            f"is kept in {state_path}: resume from it with a lower training.learning_rate or "
            "training.gradient_clip_norm or with training.precision=fp32, and check the data for values "
            "that are not finite."
        )
