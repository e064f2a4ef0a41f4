"""Uniform ranges as priors: exact densities and Gaussian stand-ins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray

SMALLEST_WIDTH = 1e-9


def log_uniform_box(values: FloatArray, ranges: Sequence[tuple[float, float]]) -> FloatArray:
    """0 where every column of values [N, R] lies in its range, -inf elsewhere, [N]."""
    low, high = np.array(ranges, dtype=np.float64).T
    inside = ((values >= low) & (values <= high)).all(axis=1)
    return np.where(inside, 0.0, -np.inf)


def standardised(values: FloatArray, ranges: Sequence[tuple[float, float]]) -> FloatArray:
    """(value - middle) / standard deviation of a uniform variable on each range, [N, R]."""
    low, high = np.array(ranges, dtype=np.float64).T
    deviation = np.maximum(high - low, SMALLEST_WIDTH) / np.sqrt(12.0)
    result: FloatArray = (values - 0.5 * (low + high)) / deviation
    return result


def widened(bounds: Sequence[float], least: float | None = None) -> tuple[float, float]:
    """A range (low, high), with a margin on both sides where it is narrower than ``least``.

    So one value stays a usable range. Without ``least`` the margin is a millionth of the value, or of one.
    """
    low, high = (float(value) for value in bounds)
    if least is None:
        least, margin = SMALLEST_WIDTH, 1e-6 * max(abs(low), abs(high), 1.0)
    else:
        margin = least
    return (low - margin, high + margin) if high - low < least else (low, high)
