"""Windows of recordings, spread evenly over whatever moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array


def cut_windows(
    pieces: Sequence[Float64Array], length: int, observed: int, rest: float, most: int
) -> Float64Array:
    """Windows of the pieces that move, spread evenly over them all.

    Args:
        pieces: uniform in time, each ``[n, 3]`` metres; no window crosses from one to another.
        length: points in a window.
        observed: of these, the points that a forecaster sees.
        rest: metres; see `moving`.
        most: windows to return at most.

    Returns:
        ``[N, length, 3]``; N is 0 when nothing is long enough or everything rests.
    """
    places: list[tuple[int, int]] = []
    for number, piece in enumerate(pieces):
        places += [
            (number, start) for start in np.flatnonzero(moving(piece, length, observed, rest)).tolist()
        ]
    if not places:
        return np.empty((0, length, 3))
    chosen = np.unique(np.linspace(0, len(places) - 1, min(most, len(places))).round().astype(int))
    return np.stack([pieces[n][s : s + length] for n, s in (places[i] for i in chosen)])


def moving(piece: Float64Array, length: int, observed: int, rest: float) -> BoolArray:
    """For every start of a window, whether its observed points spread by ``rest`` metres or more.

    Spread is their standard deviation, one for the three axes. ``[starts]``; none where the piece is short.
    """
    if len(piece) < length:
        return np.zeros(0, dtype=np.bool_)
    centred = piece - piece.mean(axis=0)
    windows = np.lib.stride_tricks.sliding_window_view(centred, observed, axis=0)  # [starts, 3, observed]
    spread = np.sqrt(windows[: len(piece) - length + 1].var(axis=-1).mean(axis=-1))
    return np.asarray(spread >= rest)


def moving_parts(
    pieces: Sequence[Float64Array], length: int, observed: int, rest: float
) -> list[Float64Array]:
    """The pieces without what lies in no moving window: the longest runs that windows may be cut from."""
    parts = []
    for piece in pieces:
        starts = np.flatnonzero(moving(piece, length, observed, rest))
        runs = np.split(starts, np.flatnonzero(np.diff(starts) > 1) + 1)
        parts += [piece[run[0] : run[-1] + length] for run in runs if len(run)]
    return parts
