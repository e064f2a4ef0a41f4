"""Nonlinear least squares for many small problems at once.

Every window is a problem of its own with a handful of parameters. Calling a library's solver window by
window costs milliseconds of interpreter time each; here all windows take their steps together, and each
keeps its own damping and stops when it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.motions.registry import FloatArray

BoolArray = NDArray[np.bool_]
IndexArray = NDArray[np.int64]
# (parameters [K, P], which problems [K]) -> residuals [K, M]
ResidualFunction = Callable[[FloatArray, IndexArray], FloatArray]

MAX_ITERATIONS = 60
FIRST_DAMPING = 1e-3
LARGEST_DAMPING = 1e10
# A fit has converged when another Gauss-Newton step would lower the cost by less than this share of it.
RELATIVE_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Fits:
    """Minima of N least-squares problems.

    Attributes:
        parameters: [N, P].
        cost: sum of squared residuals, [N]; infinite where the residuals are not finite.
        converged: [N], whether the fit stopped because nothing is left to gain.
        normal: J^T J at the minimum, [N, P, P].
    """

    parameters: FloatArray
    cost: FloatArray
    converged: BoolArray
    normal: FloatArray


def fit_many(
    residuals: ResidualFunction,
    start: FloatArray,
    *,
    floor: FloatArray | None = None,
    max_iterations: int = MAX_ITERATIONS,
) -> Fits:
    """Minimise the sum of squared residuals of N problems by Levenberg-Marquardt.

    Damping scales with the diagonal of J^T J (J. Moré, "The Levenberg-Marquardt algorithm:
    implementation and theory", 1978) and is updated per problem. A step that does not lower the cost,
    or at which a residual is not finite, is refused, so that a result is never worse than its start.

    Args:
        residuals: of the problems named, at the parameters given.
        start: [N, P].
        floor: [N] cost below which a problem counts as solved exactly; zero if not given.
        max_iterations: steps tried per problem.

    Returns:
        The best parameters found for each problem.
    """
    state = _State(residuals, np.array(start, dtype=np.float64), floor)
    for _ in range(max_iterations):
        active = np.flatnonzero(state.active)
        if len(active) == 0:
            break
        state.step(active)
    state.linearise(np.arange(len(start)))
    return Fits(state.parameters, state.cost, state.converged, state.normal)


def jacobian(residuals: ResidualFunction, parameters: FloatArray, problems: IndexArray) -> FloatArray:
    """Central differences, [K, M, P]; entries that are not finite become zero.

    The perturbed copies of all problems are evaluated in one call. Steps of the cube root of the rounding
    unit balance truncation and rounding.
    """
    count, width = parameters.shape
    sizes = 6e-6 * np.maximum(np.abs(parameters), 0.1)  # [K, P]
    shifts = sizes[:, :, None] * np.eye(width)  # [K, P, P]
    shifted = np.stack([parameters[:, None] + shifts, parameters[:, None] - shifts])  # [2, K, P, P]
    repeated = np.broadcast_to(problems[None, :, None], (2, count, width)).reshape(-1)
    values = residuals(shifted.reshape(-1, width), repeated).reshape(2, count, width, -1)
    with np.errstate(invalid="ignore"):
        slopes = (values[0] - values[1]) / (2.0 * sizes[:, :, None])  # [K, P, M]
    return np.ascontiguousarray(np.moveaxis(np.nan_to_num(slopes, posinf=0.0, neginf=0.0), 1, 2))


class _State:
    """Where each of the N problems stands."""

    def __init__(self, residuals: ResidualFunction, start: FloatArray, floor: FloatArray | None) -> None:
        count, width = start.shape
        self._residuals = residuals
        self._floor = np.zeros(count) if floor is None else floor
        self.parameters = start
        self._values = residuals(start, np.arange(count))  # [N, M]
        self.cost = _cost(self._values)
        self.converged = np.zeros(count, dtype=np.bool_)
        self.active = np.isfinite(self.cost)
        self.normal = np.zeros((count, width, width))
        self._gradient = np.zeros((count, width))
        self._damping = np.full(count, FIRST_DAMPING)
        self._stale = np.ones(count, dtype=np.bool_)

    def linearise(self, problems: IndexArray) -> None:
        """Bring J^T J and J^T r of the problems up to date."""
        stale = problems[self._stale[problems] & np.isfinite(self.cost[problems])]
        if len(stale) == 0:
            return
        slopes = jacobian(self._residuals, self.parameters[stale], stale)  # [K, M, P]
        turned = np.swapaxes(slopes, 1, 2)
        self.normal[stale] = turned @ slopes
        self._gradient[stale] = (turned @ self._values[stale][:, :, None])[:, :, 0]
        self._stale[stale] = False

    def step(self, active: IndexArray) -> None:
        """Try one step for each of the active problems."""
        self.linearise(active)
        undamped = _damped_step(self.normal[active], self._gradient[active], np.full(len(active), 1e-12))
        gain = -(undamped * self._gradient[active]).sum(axis=1)
        done = gain <= RELATIVE_TOLERANCE * self.cost[active] + self._floor[active]
        # The last step is still taken where it helps: it is free accuracy.
        steps = _damped_step(self.normal[active], self._gradient[active], self._damping[active])
        trial = self.parameters[active] + np.where(done[:, None], undamped, steps)
        values = self._residuals(trial, active)
        cost = _cost(values)
        better = cost < self.cost[active]
        accepted = active[better]
        self.parameters[accepted] = trial[better]
        self._values[accepted] = values[better]
        self.cost[accepted] = cost[better]
        self._stale[accepted] = True
        factor = np.where(better, 0.2, 8.0)
        self._damping[active] = np.maximum(self._damping[active] * factor, 1e-12)
        self.converged[active[done]] = True
        self.active[active] = ~done & (self._damping[active] < LARGEST_DAMPING)


def _cost(values: FloatArray) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        cost = np.square(values).sum(axis=1)
    return np.where(np.isfinite(cost), cost, np.inf)


def _damped_step(normal: FloatArray, gradient: FloatArray, damping: FloatArray) -> FloatArray:
    """Solve (J^T J + damping diag(J^T J)) step = -J^T r after scaling the columns of J to length one."""
    diagonal = np.diagonal(normal, axis1=1, axis2=2)
    scale = np.sqrt(np.maximum(diagonal, 1e-30))  # [K, P]
    scaled = normal / (scale[:, :, None] * scale[:, None, :])
    # Absolute damping of the scaled matrix: a parameter without influence keeps a regular system.
    scaled += damping[:, None, None] * np.eye(normal.shape[1])
    scaled += 1e-14 * np.eye(normal.shape[1])
    solution: FloatArray = np.linalg.solve(scaled, -(gradient / scale)[:, :, None])[:, :, 0] / scale
    return solution
