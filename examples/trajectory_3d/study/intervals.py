"""Means over repetitions, and how far they can be trusted."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scipy.stats import t

CONFIDENCE = 0.95

Source = Literal["seeds", "windows"]


@dataclass(frozen=True)
class Estimate:
    """A mean over trainings, with its 95 % interval.

    Attributes:
        mean: over the repetitions.
        low, high: ends of the interval; None where there is none.
        source: what the interval speaks of: other seeds (Student's t over the repetitions), or other test
            windows for the one training there is (bootstrap); None without interval.
        values: of each repetition.
    """

    mean: float
    low: float | None
    high: float | None
    source: Source | None
    values: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain content."""
        return {**asdict(self), "values": list(self.values)}


def mean_over_seeds(values: Sequence[float], windows: Sequence[float] | None = None) -> Estimate | None:
    """Mean with Student's t interval; of a single value, with the interval over windows that it brings.

    Args:
        values: one a repetition, finite; without any there is no estimate.
        windows: low and high end of the bootstrap interval over test windows, for a single value.
    """
    if not values:
        return None
    mean = statistics.fmean(values)
    if len(values) == 1:
        low, high = windows or (None, None)
        return Estimate(mean, low, high, "windows" if windows else None, tuple(values))
    half = _half_width(values)
    return Estimate(mean, mean - half, mean + half, "seeds", tuple(values))


def ratio_over_seeds(ours: Sequence[float], theirs: Sequence[float]) -> Estimate | None:
    """Geometric mean of paired ratios, with Student's t interval of their logarithms.

    Args:
        ours: positive, one a repetition.
        theirs: of the same repetitions, positive.
    """
    if not ours:
        return None
    logs = [math.log(a / b) for a, b in zip(ours, theirs, strict=True)]
    values = tuple(math.exp(log) for log in logs)
    middle = statistics.fmean(logs)
    if len(logs) == 1:
        return Estimate(values[0], None, None, None, values)
    half = _half_width(logs)
    return Estimate(math.exp(middle), math.exp(middle - half), math.exp(middle + half), "seeds", values)


def _half_width(values: Sequence[float]) -> float:
    quantile = float(t.ppf(0.5 + CONFIDENCE / 2.0, len(values) - 1))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))
