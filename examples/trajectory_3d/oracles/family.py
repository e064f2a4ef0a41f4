"""Oracles of motions that a few parameters describe: fit them to the context, then follow the curve.

Maximum likelihood takes the least-squares fit. The posterior mean averages the curves of many parameter
values, each weighted by how well it explains the context and how often it is drawn: the forecast with the
smallest expected squared error there is, for whoever knows the generator and its noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray
from examples.trajectory_3d.oracles.base import Continuation, Oracle
from examples.trajectory_3d.oracles.importance import Observed, posterior_mean
from examples.trajectory_3d.oracles.least_squares import BoolArray, Fits, IndexArray, fit_many

# Noise below this share of the context's spread cannot be told from rounding.
SMALLEST_NOISE = 1e-7


class Family(ABC):
    """Curves x(t; parameters) of one motion type, and what is known about the parameters.

    Without prior knowledge `penalty` has no columns and `log_prior` is zero.
    """

    @abstractmethod
    def path(self, parameters: FloatArray, times: FloatArray) -> FloatArray:
        """Positions [N, T, 3] at parameters [N, P] and times [T] in seconds from the first point fitted.

        NaN where the parameters describe no such motion.
        """

    @abstractmethod
    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """Where fits to points [N, L, 3] at times [L] should start, [S, N, P]."""

    def points_used(self, length: int, dt: float) -> int:  # noqa: ARG002
        """How many of the last context points are fitted; all unless overridden."""
        return length

    def penalty(self, parameters: FloatArray) -> FloatArray:
        """Distance from the prior mean in prior standard deviations, [N, R].

        A Gaussian stand-in with the mean and variance of the true prior: it has no edges for a fit to
        get caught at, and only says where `posterior_mean` begins to look.
        """
        return np.zeros((len(parameters), 0))

    def log_prior(self, parameters: FloatArray) -> FloatArray:
        """Logarithm of the true prior density up to a constant, [N]; -inf where it is zero."""
        return np.zeros(len(parameters))


class LikelihoodOracle(Oracle):
    """Continues the least-squares curve of a family."""

    def __init__(self, family: Family, fewest_points: int) -> None:
        self._family = family
        self._fewest_points = fewest_points

    @property
    def fewest_points(self) -> int:
        """Context points below which there is nothing to fit."""
        return self._fewest_points

    def _continue(self, points: FloatArray, horizon: int, dt: float) -> Continuation:
        fitted, past, future = split_times(self._family, points, horizon, dt)
        fits = fit_family(self._family, fitted, past)
        return Continuation(self._family.path(fits.parameters, future), fits.converged)


class PosteriorOracle(Oracle):
    """Averages the curves of a family over the posterior of their parameters.

    The noise is not told: its level is estimated from what the likelihood fit leaves over.

    Args:
        free: the family without prior knowledge.
        informed: the family with it; may have other parameters.
        fewest_points: context points below which there is nothing to fit.
        draws: parameter values averaged per window.
    """

    def __init__(self, free: Family, informed: Family, fewest_points: int, draws: int = 256) -> None:
        self._free = free
        self._informed = informed
        self._fewest_points = fewest_points
        self._draws = draws

    @property
    def fewest_points(self) -> int:
        """Context points below which there is nothing to fit."""
        return self._fewest_points

    def _continue(self, points: FloatArray, horizon: int, dt: float) -> Continuation:
        fitted, past, future = split_times(self._informed, points, horizon, dt)
        noise = noise_level(self._free, fitted, past)
        fits = fit_family(self._informed, fitted, past, noise)
        observed = Observed(fitted, noise, past)
        mean, trusted = posterior_mean(self._informed, observed, fits, future, self._draws)
        return Continuation(mean, fits.converged & trusted)


def split_times(
    family: Family, points: FloatArray, horizon: int, dt: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The points to fit [B, L', 3], their times [L'] from 0, and the times to forecast [H]."""
    used = family.points_used(points.shape[1], dt)
    times: FloatArray = np.arange(used + horizon, dtype=np.float64) * dt
    return points[:, -used:], times[:used], times[used:]


def noise_level(family: Family, points: FloatArray, times: FloatArray) -> FloatArray:
    """Standard deviation of the noise per coordinate, [B], from the residuals of the likelihood fit."""
    fits = fit_family(family, points, times)
    spread = points.std(axis=(1, 2))
    freedom = max(points.shape[1] * 3 - fits.parameters.shape[1], 1)
    smallest = SMALLEST_NOISE * np.maximum(spread, 1e-30)
    estimate: FloatArray = np.sqrt(fits.cost / freedom)
    # No curve at all: the whole spread counts as noise, and the prior alone speaks.
    fitted = np.maximum(estimate, smallest)
    level: FloatArray = np.where(np.isfinite(estimate), fitted, spread + smallest)
    return level


def fit_family(
    family: Family, points: FloatArray, times: FloatArray, noise: FloatArray | None = None
) -> Fits:
    """Fit a family to points [B, L, 3] from each of its starts and keep the best.

    Args:
        family: the curves.
        points: to fit.
        times: [L] seconds.
        noise: [B]; when given, the family's penalty takes part, weighed against this noise.
    """
    starts = family.starts(points, times)
    number, count, width = starts.shape
    owner = np.tile(np.arange(count), number)
    flat = points.reshape(count, -1)

    def residuals(parameters: FloatArray, problems: IndexArray) -> FloatArray:
        windows = owner[problems]
        data = family.path(parameters, times).reshape(len(parameters), -1) - flat[windows]
        if noise is None:
            return data
        return np.concatenate([data, noise[windows, None] * family.penalty(parameters)], axis=1)

    floor = 1e-24 * np.square(flat).sum(axis=1)
    fits = fit_many(residuals, starts.reshape(-1, width), floor=floor[owner])
    return best_of(fits, number)


def best_of(fits: Fits, number: int) -> Fits:
    """Of fits [number * N] from several starts, the one with the smallest cost per problem, [N]."""
    count = len(fits.cost) // number
    chosen = np.argmin(fits.cost.reshape(number, count), axis=0) * count + np.arange(count)
    converged: BoolArray = fits.converged[chosen]
    return Fits(fits.parameters[chosen], fits.cost[chosen], converged, fits.normal[chosen])
