"""Oracle of robot motions through waypoints.

The segment under way is one cubic; what comes after its waypoint depends on waypoints that nothing observed
so far tells of. "likelihood" follows the cubic under way to the end of the horizon. "posterior" averages over
the waypoints and times still to come, see `robotic_posterior`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray
from examples.trajectory_3d.oracles.base import Continuation, Flavour, Oracle, register_oracle
from examples.trajectory_3d.oracles.family import Family, fit_family
from examples.trajectory_3d.oracles.least_squares import BoolArray
from examples.trajectory_3d.oracles.robotic_posterior import WaypointPosterior, WaypointPrior

FEWEST_POINTS = 8
MOST_JOINTS = 3  # joints of cubics within the points fitted
GRID = 24  # places where a joint is looked for
APART = 4  # places between two joints, and before the first
SMALLEST_VARIANCE = 1e-20  # share of the spread; below, a fit counts as exact


class JoinedCubics(Family):
    """C1 curves of K + 1 cubics, joined at unknown times.

    Parameters are the K joints, then 3 (4 + 2 K) coefficients.
    In u = t / span of the fitted points the basis is 1, u, u^2, u^3 and, per joint, (u - j)^2 and (u - j)^3
    after it and zero before.
    """

    def __init__(self, joints: int, span: float) -> None:
        self._joints = joints
        self._span = span

    def path(self, parameters: FloatArray, times: FloatArray) -> FloatArray:
        """Positions [N, T, 3] metres; the last cubic goes on without end."""
        basis = _basis(parameters[:, : self._joints], times / self._span)
        coefficients = parameters[:, self._joints :].reshape(len(parameters), basis.shape[2], 3)
        result: FloatArray = basis @ coefficients
        return result

    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """The best joints of a grid, rest by linear least squares: [1, N, P]."""
        count, length, _ = points.shape
        flat = np.moveaxis(points, 1, 0).reshape(length, -1)  # [L, 3 N]
        lowest = np.full(count, np.inf)
        best = np.zeros((count, self._joints + 3 * (4 + 2 * self._joints)))
        for joints in _joint_grid(self._joints):
            basis = _basis(joints[None], times / self._span)[0]
            solution = np.linalg.pinv(basis) @ flat  # [C, 3 N]
            cost = np.square(flat - basis @ solution).sum(axis=0).reshape(count, 3).sum(axis=1)
            better = cost < lowest
            lowest[better] = cost[better]
            coefficients = np.moveaxis(solution.reshape(len(solution), count, 3), 1, 0).reshape(count, -1)
            best[better, : self._joints] = joints
            best[better, self._joints :] = coefficients[better]
        return best[None]


class CubicOracle(Oracle):
    """Follows the cubic under way, found by fitting joined cubics to the last part of the context.

    Args:
        longest: seconds of the longest segment; no more of the context is fitted, as it holds the start of
            the segment under way.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest

    @property
    def fewest_points(self) -> int:
        """Context points below which there is nothing to fit."""
        return FEWEST_POINTS

    def _continue(self, points: FloatArray, horizon: int, dt: float) -> Continuation:
        mean, converged, _ = self.continue_with_noise(points, horizon, dt)
        return Continuation(mean, converged)

    def continue_with_noise(
        self, points: FloatArray, horizon: int, dt: float
    ) -> tuple[FloatArray, BoolArray, FloatArray]:
        """Forecast [B, H, 3], whether the fit converged [B], and the noise it leaves [B] metres.

        The number of joints is that of the smallest Bayesian information criterion
        n log(RSS / n) + (number of parameters) log n (G. Schwarz, Ann. Statist. 6, 1978).
        """
        used = min(points.shape[1], max(FEWEST_POINTS, round(self._longest / dt)))
        fitted = points[:, -used:]
        times = np.arange(used + horizon) * dt
        size = used * 3
        exact = SMALLEST_VARIANCE * np.maximum(np.square(fitted).mean(axis=(1, 2)), 1e-300)
        lowest = np.full(len(points), np.inf)
        mean, noise = np.empty((len(points), horizon, 3)), np.empty(len(points))
        converged = np.zeros(len(points), dtype=np.bool_)
        for joints in range(MOST_JOINTS + 1):
            family = JoinedCubics(joints, float(times[used - 1]))
            width = joints + 3 * (4 + 2 * joints)
            if width + 3 > size:
                break
            fits = fit_family(family, fitted, times[:used])
            score = size * np.log(fits.cost / size + exact) + width * np.log(size)
            better = score < lowest
            lowest[better] = score[better]
            mean[better] = family.path(fits.parameters[better], times[used:])
            noise[better] = np.sqrt(fits.cost[better] / (size - width) + exact[better])
            converged[better] = fits.converged[better]
        return mean, converged, noise


class WaypointOracle(Oracle):
    """The posterior mean over waypoints and times, the noise estimated by `CubicOracle`."""

    def __init__(self, prior: WaypointPrior) -> None:
        self._posterior = WaypointPosterior(prior)
        self._cubic = CubicOracle(prior.longest)

    @property
    def fewest_points(self) -> int:
        """Context points below which there is nothing to fit."""
        return FEWEST_POINTS

    def _continue(self, points: FloatArray, horizon: int, dt: float) -> Continuation:
        _, _, noise = self._cubic.continue_with_noise(points, horizon, dt)
        mean, trusted = self._posterior.continue_paths(points, noise, horizon, dt)
        return Continuation(mean, trusted)


def _joint_grid(number: int) -> list[FloatArray]:
    """Joint times as shares of the span, [K] each, all kept apart."""
    places = range(APART, GRID - 1)
    return [
        np.array(chosen) / GRID
        for chosen in combinations(places, number)
        if all(after - before >= APART for before, after in pairwise(chosen))
    ]


def _basis(joints: FloatArray, u: FloatArray) -> FloatArray:
    """[N, T, 4 + 2 K] for joints [N, K] and times [T]."""
    count = len(joints)
    powers = np.broadcast_to(np.vander(u, 4, increasing=True), (count, len(u), 4))
    after = np.maximum(u[:, None] - joints[:, None, :], 0.0)  # [N, T, K]
    return np.concatenate([powers, after**2, after**3], axis=2)


def _build(options: Mapping[str, Any], flavour: Flavour) -> Oracle:
    prior = WaypointPrior.from_options(options)
    return CubicOracle(prior.longest) if flavour == "likelihood" else WaypointOracle(prior)


register_oracle("robotic", _build)
