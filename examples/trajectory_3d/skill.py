"""The headline: errors relative to how far the observed path spreads, so that scales and types compare.

`gn` of a window is its position error averaged over the horizon, divided by the standard deviation of its
context (one for the three axes: the root of the mean variance). Over windows of a type it is averaged
geometrically, then geometrically over types, each type counting the same however many windows it has. A
geometric mean asks by what factor a forecaster is better, and no type with large errors drowns the others.

Rules at the edges. A context that stands still has no spread: its window has no gn and no valid fraction,
is left out of both, and counted in `Skill.undefined`. An error of exactly zero has no logarithm: ratios
below `SMALLEST_RATIO` count as `SMALLEST_RATIO`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, FloatArray, IntArray
from examples.trajectory_3d.bootstrap import bootstrap_means, percentile_interval

SMALLEST_RATIO = 1e-9
VALID_THRESHOLD = 0.4  # normalised distance up to which a forecast counts as valid


@dataclass(frozen=True)
class Skill:
    """Scale-free errors of one forecaster on one group of windows.

    Attributes:
        gn: position error over context spread, geometric mean (of all windows: over types); no unit, lower
            is better; NaN when no window defines it.
        gn_interval: 95 % bootstrap interval of gn, windows resampled within types; NaN when a type that
            counts has fewer than two windows.
        valid_fraction: mean share of the horizon before the distance first exceeds 0.4 context spreads, 0
            to 1, higher is better.
        undefined: windows left out because their context stands still.
    """

    gn: float
    gn_interval: tuple[float, float]
    valid_fraction: float
    undefined: int


def context_std(context: FloatArray) -> Float64Array:
    """Root over the axes' mean variance of each context, [N, L, 3] m -> [N] m; 0 where it stands still.

    Still means: spread no further than the rounding of the coordinates themselves, as far-off points that
    repeat would otherwise spread by their last digit.
    """
    eps = float(np.finfo(context.dtype).eps)
    relative = np.asarray(context, dtype=np.float64) - np.asarray(context[:, :1], dtype=np.float64)
    scale = np.sqrt(relative.var(axis=1).mean(axis=-1))
    floor = 4.0 * eps * np.abs(context).max(axis=(1, 2)).astype(np.float64)
    return np.where(scale > floor, scale, 0.0)


def normalised_distance(predicted: FloatArray, target: FloatArray, scale: Float64Array) -> Float64Array:
    """Distance at each step over the context's spread, [N, H]; NaN where `scale`, [N], is zero."""
    error = np.asarray(predicted, dtype=np.float64) - np.asarray(target, dtype=np.float64)
    spread = np.where(scale > 0, scale, np.nan)
    return np.asarray(np.sqrt(np.square(error).sum(axis=-1)) / spread[:, None])


def valid_fraction(distance: Float64Array, threshold: float = VALID_THRESHOLD) -> Float64Array:
    """Share of the horizon before `distance`, [N, H], first exceeds the threshold, [N]; NaN stays NaN."""
    exceeds = distance > threshold
    first = np.where(exceeds.any(axis=1), exceeds.argmax(axis=1), distance.shape[1])
    return np.where(np.isnan(distance).any(axis=1), np.nan, first / distance.shape[1])


def score_skill(distance: Float64Array, types: Mapping[str, IntArray], seed: int) -> Skill:
    """Score the windows of one or several types.

    Args:
        distance: normalised distance of all windows, [N, H], see `normalised_distance`.
        types: the types that count and the numbers of their windows.
        seed: of the bootstrap.
    """
    windows = np.concatenate(list(types.values()))
    valid = valid_fraction(distance[windows])
    defined = np.isfinite(valid)
    logs = [log_ratios(distance[members]) for members in types.values()]
    logs = [values for values in logs if values.size]
    return Skill(
        gn=float(np.exp(np.mean([values.mean() for values in logs]))) if logs else float("nan"),
        gn_interval=_gn_interval(logs, seed),
        valid_fraction=float(valid[defined].mean()) if defined.any() else float("nan"),
        undefined=int(len(windows) - defined.sum()),
    )


def log_ratios(distance: Float64Array) -> Float64Array:
    """Logarithm of each defined window's mean normalised distance, [N, H] -> [at most N]."""
    ratio = distance.mean(axis=1)
    return np.asarray(np.log(np.maximum(ratio[np.isfinite(ratio)], SMALLEST_RATIO)))


def _gn_interval(logs: list[Float64Array], seed: int) -> tuple[float, float]:
    if not logs or min(values.size for values in logs) < 2:
        return float("nan"), float("nan")
    # A seed of its own for each type: resamples of different types are independent.
    means = [bootstrap_means(values, (seed, index)) for index, values in enumerate(logs)]
    low, high = percentile_interval(np.mean(means, axis=0))
    return float(np.exp(low)), float(np.exp(high))
