"""Classical forecasters: what a trained model must beat.

Observations are noisy, so a velocity from the last two points would be mostly noise and beating it would
prove nothing. The velocity and acceleration used here are least-squares fits to the last k points. k is
chosen per window by back-testing: every candidate forecasts points that were already observed, and the
candidate with the smallest mean distance wins. All windows are handled at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.forecasters import FloatArray, Forecaster, IntArray, PathForecast
from examples.trajectory_3d.metrics import Float64Array

# Number of moments in the observed path at which each candidate is back-tested.
BACK_TESTS = 8


BASELINE_NAMES = ("last value", "constant velocity", "constant acceleration")


@dataclass(frozen=True)
class LastValue:
    """The path stays at its last observed point."""

    name: str = BASELINE_NAMES[0]

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Repeat the last point: [B, L, 3] -> [B, horizon, 3] metres. ValueError on a wrong shape."""
        points = _checked_context(context, horizon)
        return PathForecast(mean=np.repeat(points[:, -1:], horizon, axis=1))


@dataclass(frozen=True)
class PolynomialExtrapolation:
    """A polynomial in time, fitted by least squares to the last k points, k back-tested per window.

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
        points = _checked_context(context, horizon)
        length = points.shape[1]
        degree = min(self.degree, length - 1)
        # A context shorter than every candidate is fitted whole.
        fits = [count for count in self.candidates if count <= length] or [length]
        choice = choose_fit_lengths(points, horizon, degree, fits)  # [B]
        mean = np.empty((len(points), horizon, 3))
        for index, count in enumerate(fits):
            chosen = choice == index
            if chosen.any():
                mean[chosen] = extrapolation_matrix(count, degree, horizon) @ points[chosen, -count:]
        return PathForecast(mean=mean)


def constant_velocity() -> PolynomialExtrapolation:
    """Uniform straight motion, fitted to the last 2 to 32 points."""
    return PolynomialExtrapolation(BASELINE_NAMES[1], 1, (2, 3, 4, 6, 8, 12, 16, 24, 32))


def constant_acceleration() -> PolynomialExtrapolation:
    """Uniformly accelerated motion, fitted to the last 3 to 48 points."""
    return PolynomialExtrapolation(BASELINE_NAMES[2], 2, (3, 4, 6, 8, 12, 16, 24, 32, 48))


def standard_baselines() -> tuple[Forecaster, ...]:
    """Return the three baselines that every evaluation shows, simplest first."""
    return (LastValue(), constant_velocity(), constant_acceleration())


def extrapolation_matrix(count: int, degree: int, horizon: int) -> Float64Array:
    """Return W [horizon, count] with W @ (last `count` points) = least-squares polynomial continued.

    A least-squares fit is linear in the points, so W = V_future pinv(V_past) with V the Vandermonde
    matrices of the past times (-count+1, ..., 0) and the future times (1, ..., horizon), in steps.
    """
    past = np.arange(1 - count, 1, dtype=np.float64)
    future = np.arange(1, horizon + 1, dtype=np.float64)
    scale = max(count - 1, 1)  # past times within [-1, 0] keep the system well conditioned
    design = np.vander(past / scale, degree + 1)
    weights: Float64Array = np.vander(future / scale, degree + 1) @ np.linalg.pinv(design)
    return weights


def choose_fit_lengths(points: FloatArray, horizon: int, degree: int, fits: Sequence[int]) -> IntArray:
    """Choose per window which of `fits` (numbers of points) forecasts its own recent past best.

    Each candidate forecasts half a horizon of points that were already observed, from several moments near
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
    held_out = max(1, min((horizon + 1) // 2, points.shape[1] // 2))
    scores = np.stack([_back_test(points, count, degree, held_out) for count in fits])  # [candidates, B]
    if not np.isfinite(scores).any():
        return np.full(len(points), int(np.argmax(fits)))
    choice: IntArray = np.argmin(scores, axis=0)
    return choice


def _back_test(points: FloatArray, count: int, degree: int, held_out: int) -> Float64Array:
    """Mean distance, [B] metres, of `held_out`-step forecasts fitted to `count` points; inf if untestable."""
    weights = extrapolation_matrix(count, degree, held_out)
    last_end = points.shape[1] - held_out  # the fit ends before this index
    ends = [end for end in range(last_end, last_end - BACK_TESTS, -1) if end >= count]
    if not ends:
        return np.full(len(points), np.inf)
    total = np.zeros(len(points))
    for end in ends:
        error = weights @ points[:, end - count : end] - points[:, end : end + held_out]
        total += np.sqrt(np.square(error).sum(axis=-1)).mean(axis=-1)
    return total / len(ends)


def _checked_context(context: FloatArray, horizon: int) -> Float64Array:
    points = np.asarray(context, dtype=np.float64)
    if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] < 1:
        raise ValueError(f"context must have shape [B, L, 3] with L >= 1, got {list(points.shape)}")
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1 step, got {horizon}")
    return points
