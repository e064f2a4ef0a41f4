"""The last value and polynomials in time, fitted by least squares to the recent past.

Observations are noisy, so a velocity from the last two points would be mostly noise and beating it would
prove nothing. The number k of points to fit is back-tested per window; so is the degree, where several are
offered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from examples.trajectory_3d.baselines.backtest import (
    BackTest,
    BackTested,
    checked_context,
    in_anchored_chunks,
)
from examples.trajectory_3d.forecasters import FloatArray, IntArray, PathForecast
from examples.trajectory_3d.metrics import Float64Array

VELOCITY_FITS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
ACCELERATION_FITS = (3, 4, 6, 8, 12, 16, 24, 32, 48)
POLYNOMIAL_FITS: tuple[tuple[int, int], ...] = tuple(
    (degree, count)
    for degree, shortest in ((1, 2), (2, 3), (3, 6), (4, 9))
    for count in (2, 3, 4, 6, 8, 9, 12, 16, 24, 32, 48, 64)
    if count >= shortest
)


@dataclass(frozen=True)
class LastValue:
    """The path stays at its last observed point."""

    name: str = "last value"

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Repeat the last point: [B, L, 3] -> [B, horizon, 3] metres. ValueError on a wrong shape."""
        points = checked_context(context, horizon)
        return PathForecast(mean=np.repeat(points[:, -1:], horizon, axis=1))


@dataclass(frozen=True)
class PolynomialFits:
    """Least-squares polynomials as a `Family`.

    Attributes:
        fits: (degree, number of points k) of each setting, k above the degree.
    """

    fits: tuple[tuple[int, int], ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """Degree and fit length of each setting."""
        return tuple(f"degree {degree} over {count} points" for degree, count in self.fits)

    def continuations(self, points: Float64Array, horizon: int) -> Float64Array:
        """Continue each fit: [B, L, 3] -> [C, B, horizon, 3]; NaN for fits longer than the path."""
        length = points.shape[1]
        paths = np.full((len(self.fits), len(points), horizon, 3), np.nan)
        for path, (degree, count) in zip(paths, self.fits, strict=True):
            if count <= length:
                path[...] = extrapolation_matrix(count, degree, horizon) @ points[:, length - count :]
        return paths


@dataclass(frozen=True)
class PolynomialExtrapolation:
    """A polynomial of one degree, fitted by least squares to the last k points, k back-tested per window.

    Attributes:
        name: how the forecaster is called in tables and titles.
        degree: of the polynomial; 1 is constant velocity, 2 constant acceleration.
        candidates: numbers of points k to choose from, each above the degree.

    A context of n points takes degree min(degree, n - 1): one point stays where it is, two give a velocity.
    """

    name: str
    degree: int
    candidates: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.degree < 1:
            raise ValueError(f"degree must be at least 1, got {self.degree}")
        if not self.candidates or min(self.candidates) <= self.degree:
            raise ValueError(
                f"candidates must name fits of more than {self.degree} points, got {self.candidates}"
            )

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Continue the fit: [B, L, 3] -> [B, horizon, 3] metres. ValueError on a wrong shape."""
        return PathForecast(mean=in_anchored_chunks(context, horizon, self.extend))

    def extend(self, points: Float64Array, horizon: int) -> Float64Array:
        """Continue the fit to anchored paths: [B, L, 3] -> [B, horizon, 3]."""
        length = points.shape[1]
        degree = min(self.degree, length - 1)
        # A context shorter than every candidate is fitted whole.
        fits = [count for count in self.candidates if count <= length] or [length]
        choice = choose_fit_lengths(points, horizon, degree, fits)  # [B]
        paths = PolynomialFits(tuple((degree, count) for count in fits)).continuations(points, horizon)
        chosen: Float64Array = paths[choice, np.arange(len(points))]
        return chosen


def constant_velocity() -> PolynomialExtrapolation:
    """Uniform straight motion, fitted to the last 2 to 32 points."""
    return PolynomialExtrapolation("constant velocity", 1, VELOCITY_FITS)


def constant_acceleration() -> PolynomialExtrapolation:
    """Uniformly accelerated motion, fitted to the last 3 to 48 points."""
    return PolynomialExtrapolation("constant acceleration", 2, ACCELERATION_FITS)


def back_tested_polynomial() -> BackTested:
    """A polynomial of degree 1 to 4 over the last 2 to 64 points, both chosen per window."""
    return BackTested("polynomial", PolynomialFits(POLYNOMIAL_FITS), constant_velocity().extend)


def choose_fit_lengths(points: FloatArray, horizon: int, degree: int, fits: Sequence[int]) -> IntArray:
    """Choose per window which of `fits` (numbers of points) forecasts its own recent past best.

    Each candidate forecasts half a horizon of points that were already observed, from eight moments near
    the end of the context. Half a horizon, because paths that turn quickly want shorter fits than a whole
    horizon back selects (measured on Lorenz paths: 5 to 30 % less error), and slow ones hardly change. A
    candidate too long to be tried is not chosen; if none can be tried, the longest is.

    Args:
        points: observed path, [B, L, 3] metres.
        horizon: steps that will be forecast, >= 1.
        degree: of the polynomial.
        fits: candidate numbers of points, each <= L.

    Returns:
        Index into `fits`, [B].
    """
    family = PolynomialFits(tuple((degree, count) for count in fits))
    scores = BackTest().scores(family, np.asarray(points, dtype=np.float64), horizon)  # [candidates, B]
    scores[int(np.argmax(fits)), ~np.isfinite(scores).any(axis=0)] = 0.0
    choice: IntArray = scores.argmin(axis=0)
    return choice


@lru_cache(maxsize=1024)
def extrapolation_matrix(count: int, degree: int, horizon: int) -> Float64Array:
    """Return W [horizon, count] with W @ (last `count` points) = least-squares polynomial continued.

    A least-squares fit is linear in the points, so W = V_future pinv(V_past) with V the Vandermonde
    matrices of the past times (-count+1, ..., 0) and the future times (1, ..., horizon), in steps. The
    matrix is kept for later calls and read-only.
    """
    past = np.arange(1 - count, 1, dtype=np.float64)
    future = np.arange(1, horizon + 1, dtype=np.float64)
    scale = max(count - 1, 1)  # past times within [-1, 0] keep the system well conditioned
    design = np.vander(past / scale, degree + 1)
    weights: Float64Array = np.vander(future / scale, degree + 1) @ np.linalg.pinv(design)
    weights.flags.writeable = False
    return weights
