"""A track as it was recorded, and how it becomes windows with uniform time steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

LONGEST_GAP = 3.0  # in native steps; what lies across a longer gap is not known well enough to be filled
JITTER = 0.01  # of a native step; steps that vary by less are uniform, and samples are taken as they are


@dataclass(frozen=True)
class Track:
    """One thing that moved.

    Attributes:
        times: [N] seconds, strictly increasing.
        points: [N, 3] metres, finite.
    """

    times: Array
    points: Array


def make_track(times: npt.ArrayLike, points: npt.ArrayLike) -> Track:
    """Order samples by time; leave out those that are not finite, and all but the first of an instant.

    Args:
        times: [N] seconds.
        points: [N, 3] metres.

    Raises:
        ValueError: arrays that do not belong together.
    """
    when, where = np.asarray(times, dtype=np.float64), np.asarray(points, dtype=np.float64)
    if when.ndim != 1 or where.shape != (len(when), 3):
        raise ValueError(f"a track needs times [N] and points [N, 3], got {when.shape} and {where.shape}")
    known = np.isfinite(when) & np.isfinite(where).all(axis=1)
    when, first = np.unique(when[known], return_index=True)
    return Track(when, where[known][first])


def uniform_pieces(track: Track, stride: int = 1) -> list[Array]:
    """Cut a track at its gaps and give each piece uniform time steps.

    The step is ``stride`` native steps, the native step being the median one. A track is cut wherever two
    neighbouring samples are further apart than three native steps and than the new step. A piece whose
    steps agree to 1 % keeps every ``stride``-th sample as it was measured; any other is interpolated
    linearly, which adds no motion of its own.

    Args:
        track: as recorded.
        stride: native steps in a new one, at least 1.

    Returns:
        Pieces ``[n, 3]``, in order, each of two points or more.
    """
    if len(track.times) < 2:
        return []
    gaps = np.diff(track.times)
    native = float(np.median(gaps))
    step = native * stride
    cuts = np.flatnonzero(gaps > max(LONGEST_GAP * native, step) * (1 + JITTER)) + 1
    bounds = [0, *cuts.tolist(), len(track.times)]
    pieces = [
        _uniform(track.times[first:last], track.points[first:last], native, stride)
        for first, last in pairwise(bounds)
        if last - first > 1
    ]
    return [piece for piece in pieces if len(piece) > 1]


def _uniform(times: Array, points: Array, native: float, stride: int) -> Array:
    if np.abs(np.diff(times) - native).max() <= JITTER * native:
        return points[::stride]
    step = native * stride
    # The small addition keeps the last sample when the duration is a whole number of steps.
    grid = times[0] + step * np.arange(int((times[-1] - times[0]) / step + 1e-9) + 1)
    return np.stack([np.interp(grid, times, axis) for axis in points.T], axis=1)


def cut_windows(pieces: Sequence[Array], length: int, observed: int, rest: float, most: int) -> Array:
    """Windows of the pieces that move, spread evenly over them all.

    Args:
        pieces: uniform in time, each ``[n, 3]`` metres; no window crosses from one to another.
        length: points in a window.
        observed: of these, the points that a forecaster sees.
        rest: metres; a window is left out as at rest when the standard deviation of its observed points
            (one for the three axes) is smaller.
        most: windows to return at most.

    Returns:
        ``[N, length, 3]``; N is 0 when nothing is long enough or everything rests.
    """
    places: list[tuple[int, int]] = []
    for number, piece in enumerate(pieces):
        if len(piece) < length:
            continue
        starts = np.flatnonzero(_spreads(piece, length, observed) >= rest)
        places += [(number, start) for start in starts.tolist()]
    if not places:
        return np.empty((0, length, 3))
    chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))
    return np.stack([pieces[n][s : s + length] for n, s in (places[i] for i in chosen)])


def _spreads(piece: Array, length: int, observed: int) -> Array:
    """Standard deviation of the observed points of the window at every start, [starts] metres."""
    centred = piece - piece.mean(axis=0)
    windows = np.lib.stride_tricks.sliding_window_view(centred, observed, axis=0)  # [starts, 3, observed]
    spreads: Array = np.sqrt(windows[: len(piece) - length + 1].var(axis=-1).mean(axis=-1))
    return spreads
