"""Draws over orders of magnitude, of shares and of whole numbers, with checked options."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.motions.draw import check_range
from examples.trajectory_3d.motions.registry import FloatArray


def log_uniform(
    rng: np.random.Generator, option: str, bounds: Sequence[float], shape: int | tuple[int, ...]
) -> FloatArray:
    """Draw an option whose logarithm is uniform between those of its checked (low, high) bounds.

    Raises:
        ValueError: the bounds are no range of positive numbers.
    """
    low, high = check_range(option, bounds)
    if low <= 0.0:
        raise ValueError(f"option {option!r} is drawn log-uniformly and must be positive; got {bounds!r}")
    return np.exp(rng.uniform(math.log(low), math.log(high), size=shape))


def chosen(rng: np.random.Generator, option: str, share: float, count: int) -> NDArray[np.bool_]:
    """Choose each of ``count`` windows with probability ``share``, as [count] true or false.

    Raises:
        ValueError: the share is no number from 0 to 1.
    """
    is_number = isinstance(share, (int, float)) and not isinstance(share, bool)
    if not (is_number and 0.0 <= share <= 1.0):
        raise ValueError(f"option {option!r} must be a share from 0 to 1; got {share!r}")
    result: NDArray[np.bool_] = rng.uniform(size=count) < share
    return result


def whole_range(option: str, bounds: Sequence[float], *, minimum: int) -> tuple[int, int]:
    """Read an option as two whole numbers minimum <= low <= high.

    Raises:
        ValueError: naming the option and the value.
    """
    low, high = check_range(option, bounds, minimum=minimum)
    if low != int(low) or high != int(high):
        raise ValueError(f"option {option!r} must be two whole numbers; got {bounds!r}")
    return int(low), int(high)
