"""Bootstrap confidence intervals: what another draw of as many windows might have given.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile intervals).
"""

from collections.abc import Sequence

import numpy as np

from examples.trajectory_3d.arrays import Float64Array

CONFIDENCE = 0.95
RESAMPLES = 1000
CHUNK = 2_000_000  # resampled values held in memory at once


def bootstrap_means(values: Float64Array, seed: int | Sequence[int]) -> Float64Array:
    """Means of `RESAMPLES` draws with replacement from `values`, [N] with N >= 1 -> [RESAMPLES]."""
    count = len(values)
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // count)
    means = [
        values[rng.integers(count, size=(min(rows, RESAMPLES - done), count))].mean(axis=1)
        for done in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(means)


def percentile_interval(statistics: Float64Array) -> tuple[float, float]:
    """Central 95 % of resampled statistics, [RESAMPLES]."""
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(statistics, [tail, 1.0 - tail])
    return float(low), float(high)


def bootstrap_interval(values: Float64Array, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `values`, [N]; NaN for fewer than two values."""
    if len(values) < 2:
        return float("nan"), float("nan")
    return percentile_interval(bootstrap_means(values, seed))
