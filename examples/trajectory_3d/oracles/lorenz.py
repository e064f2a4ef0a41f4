"""Oracle of the Lorenz system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray
from examples.trajectory_3d.motions.taylor import LorenzParameters, integrate_lorenz
from examples.trajectory_3d.oracles.base import Flavour, Oracle, register_oracle
from examples.trajectory_3d.oracles.family import Family, LikelihoodOracle, PosteriorOracle
from examples.trajectory_3d.oracles.least_squares import IndexArray, fit_many
from examples.trajectory_3d.oracles.priors import log_uniform_box, standardised, widened

FEWEST_POINTS = 6
CLASSICAL = (10.0, 28.0, 8.0 / 3.0)
TOLERANCE = 1e-9
DRAWS = 128  # fewer than elsewhere, as each one is an integration
GROWING_SHARES = (0.3, 0.6)
GROWING_STEPS = 6
PRIOR_SPREAD = 0.1
LONGEST_FIT = 2.0  # time units; over more, chaos folds the misfit and a fit from one start fails
# Trial steps are held where the integration neither overflows nor needs tiny steps.
LOWEST = np.array([-80.0, -80.0, -40.0, 0.5, 1.0, 0.1])
HIGHEST = np.array([80.0, 80.0, 120.0, 40.0, 80.0, 10.0])


class LorenzFlow(Family):
    """Solutions of the Lorenz equations; parameters: state at the first point, sigma, rho, beta, six.

    Args:
        scale: metres per Lorenz unit.
        time_scale: Lorenz time units per second.
    """

    def __init__(self, scale: float, time_scale: float) -> None:
        self._scale = scale
        self._time_scale = time_scale

    def points_used(self, length: int, dt: float) -> int:
        """The last two time units."""
        return min(length, max(FEWEST_POINTS, int(LONGEST_FIT / (dt * self._time_scale)) + 1))

    def path(self, parameters: FloatArray, times: FloatArray) -> FloatArray:
        """Positions [N, T, 3] metres."""
        held = np.clip(parameters, LOWEST, HIGHEST)
        constants = LorenzParameters(sigma=held[:, 3], rho=held[:, 4], beta=held[:, 5])
        state = np.ascontiguousarray(held[:, :3].T)
        path = integrate_lorenz(state, constants, times * self._time_scale, tolerance=TOLERANCE)
        return np.ascontiguousarray(np.moveaxis(path, 2, 0)) * self._scale

    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """A smoothed first point with parameters read off the derivatives, and with the classical ones."""
        units = times * self._time_scale
        smooth, slope = _smoothed(points / self._scale, units)
        fitted = np.clip(_read_parameters(smooth, slope), LOWEST[3:], HIGHEST[3:])
        classical = np.broadcast_to(CLASSICAL, fitted.shape)
        states = [np.concatenate([smooth[:, 0], p], axis=1) for p in (fitted, classical)]
        return np.stack([self._grown(points, times, state) for state in states])

    def _grown(self, points: FloatArray, times: FloatArray, start: FloatArray) -> FloatArray:
        """Starts [N, 6] fitted to growing first parts of the points.

        A start good enough for a third of the window need not be for the whole, as distances between
        solutions grow; the fit to a third is a good start for two thirds.
        """
        spread = PRIOR_SPREAD * points.std(axis=(1, 2))  # keeps short, ill-determined fits near the start
        for share in GROWING_SHARES:
            count = max(FEWEST_POINTS, round(share * len(times)))

            def residuals(
                parameters: FloatArray, windows: IndexArray, anchor: FloatArray = start, count: int = count
            ) -> FloatArray:
                data = self.path(parameters, times[:count]) - points[windows, :count]
                held = (parameters[:, 3:] - anchor[windows, 3:]) / anchor[windows, 3:]
                return np.concatenate([data.reshape(len(data), -1), spread[windows, None] * held], axis=1)

            start = fit_many(residuals, start, max_iterations=GROWING_STEPS).parameters
        return start


class KnownLorenzFlow(LorenzFlow):
    """The same with known ranges of sigma, rho and beta; the state is taken as uniform."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(float(options["scale"]), float(options["time_scale"]))
        self._ranges = [widened(options[name]) for name in ("sigma", "rho", "beta")]

    def penalty(self, parameters: FloatArray) -> FloatArray:
        """Distances from the middle of the ranges in standard deviations, [N, 3]."""
        return standardised(parameters[:, 3:], self._ranges)

    def log_prior(self, parameters: FloatArray) -> FloatArray:
        """Uniform within the ranges, [N]."""
        return log_uniform_box(parameters[:, 3:], self._ranges)

    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """A smoothed first point with the middle of the ranges."""
        smooth, _ = _smoothed(points / self._scale, times * self._time_scale)
        middle = [0.5 * (low + high) for low, high in self._ranges]
        state = np.concatenate([smooth[:, 0], np.broadcast_to(middle, (len(points), 3))], axis=1)
        return self._grown(points, times, state)[None]


def _smoothed(points: FloatArray, times: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Position and velocity [N, L, 3] from cubics fitted to 0.18 time units around each point."""
    length = len(times)
    step = float(times[1] - times[0])
    width = min(length, max(5, 2 * round(0.09 / step) + 1))
    value, slope = np.zeros((length, length)), np.zeros((length, length))
    for i in range(length):
        first = min(max(i - width // 2, 0), length - width)
        chosen = slice(first, first + width)
        inverse = np.linalg.pinv(np.vander((times[chosen] - times[i]) / step, 4, increasing=True))
        value[i, chosen], slope[i, chosen] = inverse[0], inverse[1] / step
    return np.einsum("il,nlc->nic", value, points), np.einsum("il,nlc->nic", slope, points)


def _read_parameters(state: FloatArray, slope: FloatArray) -> FloatArray:
    """sigma, rho, beta [N, 3]: given states and derivatives each equation is linear in its one parameter."""
    x, y, z = np.moveaxis(state, 2, 0)
    dx, dy, dz = np.moveaxis(slope, 2, 0)

    def ratio(response: FloatArray, factor: FloatArray) -> FloatArray:
        result: FloatArray = (response * factor).sum(axis=1) / np.maximum(
            np.square(factor).sum(axis=1), 1e-12
        )
        return result

    return np.stack([ratio(dx, y - x), ratio(dy + y + x * z, x), ratio(x * y - dz, z)], axis=1)


def _build(options: Mapping[str, Any], flavour: Flavour) -> Oracle:
    free = LorenzFlow(float(options["scale"]), float(options["time_scale"]))
    if flavour == "likelihood":
        return LikelihoodOracle(free, FEWEST_POINTS)
    return PosteriorOracle(free, KnownLorenzFlow(options), FEWEST_POINTS, draws=DRAWS)


register_oracle("lorenz", _build)
