"""Learning rate over the run, as a pure function of the step."""

from __future__ import annotations

import math
from typing import Literal


def learning_rate_factor(
    step: int,
    *,
    max_steps: int,
    warmup_steps: int = 0,
    schedule: Literal["cosine", "constant"] = "cosine",
    min_fraction: float = 0.0,
) -> float:
    """Learning rate of an optimizer step over the peak rate.

    With n = step + 1: n / warmup_steps while n <= warmup_steps; then, for "cosine" (Loshchilov and
    Hutter 2017, without restarts), min + (1 - min) (1 + cos(pi p)) / 2 with
    p = (n - warmup_steps) / (max_steps - warmup_steps), so that the last step gets exactly the minimum;
    for "constant", 1.

    Args:
        step: index of the optimizer step, from 0. Beyond the last step the factor stays what it was.
        max_steps: steps of the whole run.
        warmup_steps: steps of linear warm-up.
        schedule: shape after the warm-up.
        min_fraction: factor of the last step for "cosine".

    Returns:
        A factor in [0, 1].
    """
    number = step + 1
    if number <= warmup_steps:
        return number / warmup_steps
    if schedule == "constant":
        return 1.0
    progress = min(1.0, (number - warmup_steps) / max(1, max_steps - warmup_steps))
    return min_fraction + (1.0 - min_fraction) * 0.5 * (1.0 + math.cos(math.pi * progress))
