"""What to say of recordings whose rates differ."""

from __future__ import annotations

from collections.abc import Mapping


def common_step(windows_of_step: Mapping[float, int]) -> float:
    """The step of most windows, seconds; 1 without any."""
    if not windows_of_step:
        return 1.0
    return max(windows_of_step.items(), key=lambda item: (item[1], -item[0]))[0]


def rate_notes(windows_of_step: Mapping[float, int]) -> list[str]:
    """What to say of rates that differ by more than a hundredth."""
    steps = [step for step, count in windows_of_step.items() if count]
    if not steps or max(steps) <= 1.01 * min(steps):
        return []
    return [
        f"rates from {1 / max(steps):.4g} to {1 / min(steps):.4g} Hz: velocities and accelerations count in "
        f"steps of {common_step(windows_of_step):.4g} s; dataset.resample gives all one rate"
    ]


def rounded(step: float) -> float:
    """A step to six digits, so that roundings of stamps do not make many of one."""
    return float(f"{step:.6g}")
