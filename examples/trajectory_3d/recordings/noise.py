"""How much of a recording is noise: what is left when its smooth motion is differenced away."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.arrays import Float64Array

_NORMAL = 1.4826  # standard deviations in a median absolute deviation of a normal distribution
_FEWEST = 12  # third differences


def noise_of(differences: Float64Array) -> Float64Array:
    """Standard deviation of the noise of one sample, from what `third_differences` gives: ``[D]``.

    1.4826 times the median of the absolute differences, which no jump, outlier or bounce moves. NaN for fewer
    than 12 of them. Motion that is fast for the rate counts as noise, so that it is an upper bound there;
    noise that neighbours share (filtered positions) is not seen, so that it is a lower bound there.
    """
    if len(differences) < _FEWEST:
        return np.full(differences.shape[1], np.nan)
    return np.asarray(_NORMAL * np.median(np.abs(differences), axis=0), dtype=np.float64)


def third_differences(times: Float64Array, points: Float64Array, gap: float = np.inf) -> Float64Array:
    """Third differences of samples, scaled so that white noise of deviation s has differences of deviation s.

    At even steps ``(p[i+3] - 3 p[i+2] + 3 p[i+1] - p[i]) / sqrt(20)``; at others the third divided
    difference ``sum_i p_i / prod_(j != i) (t_i - t_j)`` over the root of its summed squared weights. Motion
    of constant acceleration has none. The idea is that of T. Gasser, L. Sroka and C. Jennen-Steinmetz
    (Biometrika 73, 1986), one order higher.

    Args:
        times: strictly increasing, ``[n]``.
        points: ``[n, D]``.
        gap: nothing is differenced across a longer step.

    Returns:
        ``[n - 3 or fewer, D]``.
    """
    if len(times) < 4:
        return np.empty((0, points.shape[1]))
    short = (np.diff(times) <= gap).astype(np.int64)
    rows = np.flatnonzero(short[:-2] + short[1:-1] + short[2:] == 3)[:, None] + np.arange(4)
    stamps = times[rows] - times[rows[:, :1]]
    apart = stamps[:, :, None] - stamps[:, None, :]
    apart[:, np.arange(4), np.arange(4)] = 1.0
    weights = 1.0 / (apart / stamps[:, 3, None, None]).prod(axis=2)
    weights /= np.sqrt(np.square(weights).sum(axis=1, keepdims=True))
    return np.asarray(np.einsum("ri,rid->rd", weights, points[rows] - points[rows[:, :1]]), dtype=np.float64)
