"""Windows of uniform pieces: where they begin, and which are left out as at rest."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from examples.trajectory_3d.arrays import Float64Array, IntArray

_CHUNK = 8192  # windows whose points are held at once


def window_starts(
    points: Float64Array, first: int, end: int, *, length: int, observed: int, stride: int, rest: float
) -> IntArray:
    """Where windows begin that lie wholly between two points of a piece.

    Args:
        points: of the piece, ``[n, 3]``.
        first: point from which on windows may begin; starts are counted from it.
        end: point before which they must end.
        length: points of a window.
        observed: of these, the points that a forecaster sees.
        stride: points between starts.
        rest: windows are left out whose observed points have no greater standard deviation, one for the three
            axes; at 0 those whose observed points are all the same.

    Returns:
        ``[N]`` ascending.
    """
    if end - first < length:
        return np.zeros(0, dtype=np.int64)
    starts = np.arange(first, end - length + 1, stride, dtype=np.int64)
    # Changes between neighbours, counted: differences of sums of squares would never be exactly zero.
    changes = np.concatenate([[0], np.cumsum((np.diff(points, axis=0) != 0).any(axis=1))])
    starts = starts[changes[starts + observed - 1] > changes[starts]]
    if rest == 0:
        return starts
    windows = sliding_window_view(points - points.mean(axis=0), observed, axis=0)  # [starts, 3, observed]
    chunks = [starts[begin : begin + _CHUNK] for begin in range(0, len(starts), _CHUNK)]
    moving = [np.sqrt(windows[chunk].var(axis=-1).mean(axis=-1)) > rest for chunk in chunks]
    return starts[np.concatenate(moving)] if moving else starts


def gather(points: Float64Array, starts: IntArray, length: int, observed: int) -> Float64Array:
    """Windows ``[N, length, 3]``, counted from their last observed point.

    Differences are small where positions are large, so they keep their digits in single precision.
    """
    windows: Float64Array = points[starts[:, None] + np.arange(length)]
    windows -= windows[:, observed - 1 : observed]
    return windows


def evenly(available: IntArray, most: int) -> IntArray:
    """How many of ``most`` windows each group gives: equal shares, as far as it has so many, ``[groups]``."""
    given = np.zeros_like(available)
    while given.sum() < most and (given < available).any():
        open_groups = np.flatnonzero(given < available)
        share = max(1, int(most - given.sum()) // len(open_groups))
        for group in open_groups.tolist():
            given[group] += min(share, int(available[group] - given[group]), int(most - given.sum()))
    return given


def spread(count: int, most: int) -> IntArray:
    """``most`` places or fewer, spread evenly over ``count``, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(np.int64))
