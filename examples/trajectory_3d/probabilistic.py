"""Scores of forecast distributions: is the stated uncertainty true, and how sharp is it?

Proper scores (lower is better) reward both at once: the negative log-likelihood of a stated density, the
continuous ranked probability score (CRPS) of each coordinate, the energy score of whole sampled paths.
Calibration alone is told by the coverage of central intervals at each step, and by the rank histogram.

Sources: Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 2007 (CRPS,
energy score); Ferro, Fair scores for ensemble forecasts, QJRMS 2014 (the fair estimators, whose expectation
does not depend on the number of samples); Hamill, Interpretation of rank histograms, MWR 2001.
"""

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, FloatArray
from examples.trajectory_3d.densities import Density

_CHUNK = 4_000_000  # values of intermediate arrays held in memory at once


def crps_of_samples(samples: FloatArray, target: FloatArray) -> Float64Array:
    """Fair estimate of the CRPS of each coordinate from S >= 2 samples.

    mean|x_i - y| - sum over pairs i < j of |x_i - x_j| / (S (S - 1)), the second sum from sorted samples.

    Args:
        samples: [N, S, H, 3] metres.
        target: [N, H, 3] metres.

    Returns:
        [N, H, 3] metres. Single values may be negative; the mean over many is not, but by chance.

    Raises:
        ValueError: for shapes that do not belong together or a single sample.
    """
    count = _checked_samples(samples, target)
    weights = 2.0 * np.arange(count) - (count - 1)  # of the i-th smallest in the sum of pair distances
    result = np.empty(target.shape)
    for rows in _pieces(len(target), samples[0].size):
        deviation = samples[rows].astype(np.float64) - target[rows, None]  # [n, S, H, 3]
        distance = np.abs(deviation).mean(axis=1)
        deviation.sort(axis=1)
        pairs = np.einsum("s,nshk->nhk", weights, deviation)
        result[rows] = distance - pairs / (count * (count - 1))
    return result


def energy_score(samples: FloatArray, target: FloatArray) -> Float64Array:
    """Fair estimate of the energy score of the joint path from S >= 2 sampled paths.

    mean|X_i - Y| - sum over pairs i < j of |X_i - X_j| / (S (S - 1)), with |X|^2 = mean over steps of the
    squared distance: the score then is in metres of root mean square distance, whatever the horizon.

    Args:
        samples: [N, S, H, 3] metres.
        target: [N, H, 3] metres.

    Returns:
        [N] metres.

    Raises:
        ValueError: for shapes that do not belong together or a single sample.
    """
    count = _checked_samples(samples, target)
    result = np.empty(len(target))
    horizon = target.shape[1]
    for rows in _pieces(len(target), count * max(count, samples[0, 0].size)):
        deviation = samples[rows].astype(np.float64) - target[rows, None]
        paths = deviation.reshape(len(deviation), count, -1) / np.sqrt(horizon)  # [n, S, 3 H]
        squared = np.square(paths).sum(axis=-1)  # [n, S]
        # Relative to the samples' own centre, so that a far miss costs no digits of the pair distances.
        centred = paths - paths.mean(axis=1, keepdims=True)
        norms = np.square(centred).sum(axis=-1)
        gram = centred @ centred.transpose(0, 2, 1)  # [n, S, S]
        pairs = np.sqrt(np.maximum(norms[:, :, None] + norms[:, None, :] - 2.0 * gram, 0.0))
        pairs[:, np.arange(count), np.arange(count)] = 0.0
        result[rows] = np.sqrt(squared).mean(axis=1) - pairs.sum(axis=(1, 2)) / (2 * count * (count - 1))
    return result


def ranks_of_samples(samples: FloatArray, target: FloatArray, seed: int) -> Float64Array:
    """Where the truth falls among the samples, as a number in (0, 1): uniform when they are calibrated.

    (number of samples below + u) / (S + 1), u uniform, which spreads a rank evenly over its share; among
    samples equal to the truth its place is drawn.

    Args:
        samples: [N, S, H, 3] metres.
        target: [N, H, 3] metres.
        seed: of u.

    Returns:
        [N, H, 3].
    """
    count = samples.shape[1]
    below = np.empty(target.shape)
    equal = np.empty(target.shape)
    for rows in _pieces(len(target), samples[0].size):
        below[rows] = (samples[rows] < target[rows, None]).sum(axis=1)
        equal[rows] = (samples[rows] == target[rows, None]).sum(axis=1)
    within = np.random.default_rng(seed).uniform(size=target.shape)
    return np.asarray((below + within * (equal + 1)) / (count + 1))


def negative_log_likelihood(density: Density, target: FloatArray) -> Float64Array:
    """Mean over coordinates of -log p(truth), [N] nats per coordinate (coordinates in metres).

    +inf for a window with a coordinate that the forecast excludes.
    """
    return np.asarray(-density.log_density(target).mean(axis=(1, 2)))


def rank_histogram(ranks: Float64Array, bins: int) -> Float64Array:
    """Share of the ranks, numbers in [0, 1], in each of `bins` equal bins; sums to 1."""
    counts, _ = np.histogram(ranks, bins=bins, range=(0.0, 1.0))
    return np.asarray(counts / counts.sum())


def unevenness(shares: Float64Array) -> float:
    """How far a rank histogram is from flat: half the sum of |share - 1 / K|, K bins.

    The share of the probability that is in a wrong bin: 0 is flat, 1 - 1 / K is all in one bin. It does not
    tell directions; look at the histogram: high ends mean intervals too narrow, a hump in the middle too
    wide, a slope a bias.
    """
    return float(0.5 * np.abs(shares - 1.0 / len(shares)).sum())


def _checked_samples(samples: FloatArray, target: FloatArray) -> int:
    """Return S."""
    if samples.ndim != 4 or samples.shape[:1] + samples.shape[2:] != target.shape:
        raise ValueError(
            f"samples must have shape [N, S, H, 3] for a target of shape {list(target.shape)}, "
            f"got {list(samples.shape)}"
        )
    if samples.shape[1] < 2:
        raise ValueError("scores from samples need at least 2 samples per window, got 1")
    return int(samples.shape[1])


def _pieces(count: int, values_per_window: int) -> list[slice]:
    size = max(1, _CHUNK // max(values_per_window, 1))
    return [slice(first, first + size) for first in range(0, count, size)]
