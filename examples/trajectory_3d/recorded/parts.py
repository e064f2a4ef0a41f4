"""Training, validation and test: which points of a recording belong to which."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.splitting import deal

Part: TypeAlias = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
Moments: TypeAlias = tuple[float, float]


def cut_moments(times: Float64Array, counts: Float64Array, fractions: Sequence[float]) -> Moments:
    """The two moments at which a file is cut, so that the shares of its samples are those wanted.

    Args:
        times: of samples, seconds, in any order, ``[N]``.
        counts: of samples at each time, ``[N]``.
        fractions: for training, validation and test.

    Returns:
        Training lies before the first, the test from the second on; infinite where there is no such part.
    """
    order = np.argsort(times, kind="stable")
    behind = np.cumsum(counts[order])
    return (
        _moment(times[order], behind, fractions[0]),
        _moment(times[order], behind, fractions[0] + fractions[1]),
    )


def _moment(times: Float64Array, behind: Float64Array, share: float) -> float:
    if share <= 0:
        return -math.inf
    if share >= 1 - 1e-9:
        return math.inf
    place = int(np.searchsorted(behind, share * behind[-1] * (1 - 1e-12)))
    return float(times[place + 1]) if place + 1 < len(times) else math.inf


def point_ranges(
    start: float, step: float, count: int, moments: Moments, embargo: int
) -> dict[Part, tuple[int, int]]:
    """Which points of a piece belong to which part.

    Args:
        start: of the first point, on the clock of the moments, seconds.
        step: seconds between points.
        count: of points.
        moments: at which the file is cut.
        embargo: points left out after each moment.

    Returns:
        First point and end of each part; empty ones are left out.
    """
    first, second = (_place(moment, start, step) for moment in moments)
    bounds = (
        (-math.inf, first),
        (first + embargo, second),
        (second + embargo, math.inf),
    )
    clipped = [
        (int(max(low, 0)), int(min(max(high, 0), count))) if low < count else (0, 0) for low, high in bounds
    ]
    return {part: (low, high) for part, (low, high) in zip(PARTS, clipped, strict=True) if low < high}


def _place(moment: float, start: float, step: float) -> float:
    """Number of the first point at or behind a moment."""
    return math.ceil((moment - start) / step - 1e-9) if math.isfinite(moment) else moment


def share_out(tracks: Sequence[tuple[Hashable, int]], fractions: Sequence[float], seed: int) -> list[Part]:
    """A part for each track, at random by `deal`.

    Args:
        tracks: what tells each from others, and its samples; equal ones, of a file that is there twice, go to
            one part.
        fractions: of the samples, for training, validation and test.
        seed: of the choice.

    Raises:
        ConfigError: fewer tracks than parts that are to have any.
    """
    sizes: dict[Hashable, int] = {}
    for key, samples in tracks:
        sizes[key] = sizes.get(key, 0) + samples
    homes = dict(zip(sizes, deal(list(sizes.values()), fractions, seed), strict=True))
    return [PARTS[homes[key]] for key, _ in tracks]
