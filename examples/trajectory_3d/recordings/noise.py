"""How much of a recording is noise: what is left when its smooth motion is differenced away."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.resampling import UniformPath

_NORMAL = 1.4826  # standard deviations in a median absolute deviation of a normal distribution
_FEWEST = 12  # third differences


def third_differences(points: Float64Array) -> Float64Array:
    """``p[i+3] - 3 p[i+2] + 3 p[i+1] - p[i]`` of points ``[n, D]`` at even steps, ``[n - 3, D]``."""
    return np.asarray(np.diff(points, 3, axis=0), dtype=np.float64)


def noise_of(differences: Float64Array) -> Float64Array:
    """Standard deviation of the noise of one sample, from third differences ``[n, D]``: ``[D]``.

    White noise of deviation s has third differences of variance (1 + 9 + 9 + 1) s^2, and motion that bends
    slowly has almost none; so s = 1.4826 median|d| / sqrt(20). The sum of squares is the difference-based
    estimator of P. Hall, J. W. Kay and D. M. Titterington (Biometrika 77, 1990); the median in its place
    keeps jumps and outliers out. Motion that is fast for the rate counts as noise, so that it is an upper
    bound there; noise that neighbours share (filtered positions) is not seen, so that it is a lower bound
    there. NaN for fewer than 12 differences.
    """
    if len(differences) < _FEWEST:
        return np.full(differences.shape[1], np.nan)
    return np.asarray(_NORMAL * np.median(np.abs(differences), axis=0) / np.sqrt(20.0), dtype=np.float64)


def noise_of_paths(pieces: list[UniformPath], dimensions: int) -> Float64Array:
    """`noise_of` the stretches of measured points in uniform pieces, ``[dimensions]``."""
    found = [np.empty((0, dimensions))]
    for piece in pieces:
        differences = third_differences(piece.points[:, :dimensions])
        measured = np.lib.stride_tricks.sliding_window_view(piece.measured, 4) if len(piece) > 3 else None
        if measured is not None:
            found.append(differences[measured.all(axis=1)])
    return noise_of(np.concatenate(found))
