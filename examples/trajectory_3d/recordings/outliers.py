"""Samples that leave the path and come back, and places where the path goes on elsewhere.

Both are told by what the neighbours say: lines through the two samples before and the two samples after
meet, if nothing is wrong, to within the roughness of the path. A sample between them that lies many times
that far off is an outlier (the identifier of F. R. Hampel, J. Am. Stat. Assoc. 69, 1974, on prediction
residuals instead of values); two neighbours whose surroundings run alike but far apart are a jump. A real
bounce or sharp turn is neither, since there the two lines disagree as much as the sample does.
"""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array, IntArray
from examples.trajectory_3d.recordings.findings import Finding, counted

_LONGEST_EXCURSION = 3  # samples
_NEIGHBOURHOOD = 31  # samples whose median residual is the local roughness
_OUTLIER_FACTOR = 10.0
_JUMP_FACTOR = 14.0
_GRID_STEPS = 3.0  # a residual of so many steps of rounding is no outlier
_MOST_PASSES = 20
_EPS = float(np.finfo(np.float64).eps)


def outlying(times: Float64Array, position: Float64Array, gap: float, grid: float = 0.0) -> BoolArray:
    """Which samples leave the path, at most three in a row, and come back, ``[N]``.

    Args:
        times: strictly increasing, ``[N]`` seconds.
        position: finite, ``[N, D]``.
        gap: seconds; nothing is judged across a longer step.
        grid: coarsest rounding step of the coordinates.
    """
    kept = np.arange(len(times))
    for _ in range(_MOST_PASSES):  # an outlier hides its neighbours, which the next pass sees
        bad = _one_pass(times[kept], position[kept], gap, grid)
        if not bad.any():
            break
        kept = kept[~bad]
    flags = np.ones(len(times), dtype=np.bool_)
    flags[kept] = False
    return flags


def jumps(
    times: Float64Array, position: Float64Array, gap: float, grid: float = 0.0
) -> tuple[IntArray, Float64Array]:
    """Samples at which the path goes on elsewhere, its motion before and after being alike.

    Arguments as those of `outlying`.

    Returns:
        The samples, ``[k]``, and how far each lies from where the motion leads, ``[k]``.
    """
    if len(times) < 6:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    first = np.arange(1, len(times) - 2)  # the jump lies between `first` and the sample after it
    before = _velocity(times, position, first - 1, first)
    after = _velocity(times, position, first + 1, first + 2)
    step = (times[first + 1] - times[first])[:, None]
    excess = _length(position[first + 1] - position[first] - 0.5 * step * (before + after))
    change = _length(step * (after - before))
    apart = _holds_gap(times, first - 1, first + 2, gap)
    rough = _roughness(excess, position, grid)
    found = (excess > _JUMP_FACTOR * rough) & (excess > 2 * change) & ~apart
    found &= excess >= _highest_near(excess)
    return first[found] + 1, excess[found]


def find_outliers(flags: BoolArray, rows: IntArray, *, dropped: bool) -> Finding | None:
    """What `outlying` flagged."""
    if not flags.any():
        return None
    text = f"{counted(int(flags.sum()), 'sample')} off the path of their neighbours (outliers)"
    return Finding(
        "outlier",
        int(flags.sum()),
        int(rows[flags].min()),
        text,
        "dropped" if dropped else "left as they are",
    )


def find_jumps(places: IntArray, sizes: Float64Array, rows: IntArray, unit: str) -> Finding | None:
    """What `jumps` found."""
    if not len(places):
        return None
    text = (
        f"{counted(len(places), 'jump')} to another place, the longest by {sizes.max():.3g} "
        f"{unit if unit != 'unknown' else 'units'}"
    )
    action = "left as they are; a path can be split there"
    return Finding("jump", len(places), int(rows[places].min()), text, action)


def _one_pass(times: Float64Array, position: Float64Array, gap: float, grid: float) -> BoolArray:
    bad = np.zeros(len(times), dtype=np.bool_)
    for length in range(1, _LONGEST_EXCURSION + 1):
        starts = np.arange(2, len(times) - length - 1)
        if not len(starts):
            break
        ends = starts + length  # the first sample after the excursion
        before = _velocity(times, position, starts - 2, starts - 1)
        after = _velocity(times, position, ends, ends + 1)
        across = (times[ends] - times[starts - 1])[:, None]
        bridge = position[ends] - position[starts - 1]
        mismatch = np.maximum(_length(bridge - across * before), _length(bridge - across * after))
        residuals = np.full((len(starts), length), np.inf)
        for place in range(length):
            share = (times[starts + place] - times[starts - 1])[:, None] / across
            residuals[:, place] = _length(position[starts + place] - position[starts - 1] - share * bridge)
        residual = residuals.min(axis=1)
        rough = _roughness(residual, position, grid)
        far = (residual > _OUTLIER_FACTOR * rough) & (residual > 2 * mismatch)
        far &= ~_holds_gap(times, starts - 2, ends + 1, gap)
        for start in starts[far].tolist():
            if not bad[max(start - 2, 0) : start + length + 2].any():
                bad[start : start + length] = True
    return bad


def _holds_gap(times: Float64Array, start: IntArray, end: IntArray, gap: float) -> BoolArray:
    """Whether a step longer than `gap` lies between samples `start` and `end`, ``[n]``."""
    wide = np.concatenate([[0], np.cumsum(np.diff(times) > gap)])
    return np.asarray(wide[end] > wide[start], dtype=np.bool_)


def _velocity(times: Float64Array, position: Float64Array, a: IntArray, b: IntArray) -> Float64Array:
    return (position[b] - position[a]) / (times[b] - times[a])[:, None]


def _length(vectors: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.norm(vectors, axis=1), dtype=np.float64)


def _roughness(residuals: Float64Array, position: Float64Array, grid: float) -> Float64Array:
    """Usual residual around each place, no smaller than rounding makes it, ``[n]``."""
    from scipy.ndimage import median_filter  # noqa: PLC0415

    local = median_filter(residuals, _NEIGHBOURHOOD, mode="nearest")
    floor = max(
        float(np.median(residuals)) * 0.5,
        _GRID_STEPS * grid / _OUTLIER_FACTOR,
        64 * _EPS * float(np.abs(position).max()),
    )
    return np.asarray(np.maximum(local, floor), dtype=np.float64)


def _highest_near(values: Float64Array) -> Float64Array:
    from scipy.ndimage import maximum_filter1d  # noqa: PLC0415

    return np.asarray(maximum_filter1d(values, 3, mode="nearest"), dtype=np.float64)
