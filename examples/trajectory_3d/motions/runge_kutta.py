"""Many initial-value problems at once, each with steps of its own, to a stated tolerance.

The eighth-order method of Dormand and Prince with an error estimate of order five corrected by one of order
three and an interpolant of order seven, DOP853 in E. Hairer, S. Norsett, G. Wanner, "Solving
Ordinary Differential Equations I" (1993), section II.10 and appendix. The coefficients are those of
``scipy.integrate.DOP853``, which solves one problem at a time; here the windows of a block advance
together, every one at its own pace.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import DOP853

from examples.trajectory_3d.motions.registry import FloatArray

_A = np.asarray(DOP853.A, dtype=np.float64)
_B = np.asarray(DOP853.B, dtype=np.float64)
_E3 = np.asarray(DOP853.E3, dtype=np.float64)
_E5 = np.asarray(DOP853.E5, dtype=np.float64)
_A_EXTRA = np.asarray(DOP853.A_EXTRA, dtype=np.float64)
_D = np.asarray(DOP853.D, dtype=np.float64)
_STAGES = len(_B)  # then the rate at the new point, then three more for the interpolant
_SAFETY, _SHRINK, _GROW = 0.9, 0.25, 5.0
_SHORTEST_STEP = 1e-6  # of the whole duration; a path that needs less is running away
_COMPRESS = 0.75  # finished windows are taken out when no more than this share is still under way


class VectorField(Protocol):
    """The right-hand sides x' = f(x) of N autonomous systems."""

    def __call__(self, state: FloatArray) -> FloatArray:
        """Rates [D, N] at states [D, N]."""
        ...

    def select(self, rows: NDArray[np.int64]) -> VectorField:
        """The same right-hand sides for some of the N systems."""
        ...


def integrate(
    field: VectorField,
    start: FloatArray,
    durations: FloatArray,
    fractions: FloatArray,
    *,
    size: FloatArray,
    tolerance: float,
    reach: float = np.inf,
) -> FloatArray:
    """Follow N paths, each for its own duration, and sample them at common fractions of it.

    Args:
        field: the rates.
        start: [D, N] states at time 0.
        durations: [N] >= 0, in the field's unit of time.
        fractions: [T] non-decreasing, from 0 to 1.
        size: [D, N] or [N], the extent of each path to which errors are relative.
        tolerance: bound on the root mean square over D of error / size in one step.
        reach: sizes from its start beyond which a path is given up.

    Returns:
        [N, T, D]; NaN from where a path was given up, for its reach or because it needs steps
        below 1e-6 of its duration, as paths do that grow without bound in finite time.
    """
    extent = np.broadcast_to(size, start.shape)
    work = _Paths(field, start, durations, size=extent, tolerance=tolerance, reach=reach)
    result = np.full((start.shape[1], len(fractions), start.shape[0]), np.nan)
    at_start = int(np.searchsorted(fractions, 0.0, side="right"))
    result[:, :at_start] = start.T[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        while len(work.rows):
            work.step(fractions, result)
            work.compress()
    return result


def clock(times: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Split window times into fractions of a window and durations.

    Args:
        times: [T] seconds for all windows, or [N, T], where each row is the first row times a factor.
        count: N.

    Returns:
        [T] fractions from 0 to 1, and [N] seconds.
    """
    rows = np.atleast_2d(times)
    elapsed = rows[0] - rows[0, 0]
    fractions = elapsed / elapsed[-1] if elapsed[-1] > 0.0 else np.zeros(len(elapsed))
    return fractions, np.broadcast_to(rows[:, -1] - rows[:, 0], count)


class _Paths:
    """The paths still under way: where each is, and how long its next step is.

    Time runs from 0 to 1 for all; the rates are stretched by the durations.
    """

    def __init__(
        self,
        field: VectorField,
        start: FloatArray,
        durations: FloatArray,
        *,
        size: FloatArray,
        tolerance: float,
        reach: float,
    ) -> None:
        self.field = field
        self.rows: NDArray[np.int64] = np.arange(start.shape[1])
        self.state = np.array(start, dtype=np.float64)  # [D, N]
        self.durations = durations
        self.allowed = tolerance * size  # [D, N]
        self.lowest, self.highest = start - reach * size, start + reach * size  # [D, N]
        self.now = np.zeros(start.shape[1])
        self.ended = np.zeros(start.shape[1], dtype=np.bool_)
        self.rate = field(self.state)
        # A first guess that moves a path by a twentieth of its size; the error estimate corrects it.
        speed = np.abs(self.rate * durations / size).max(axis=0, initial=0.0)
        self.length = np.minimum(1.0, 0.05 / np.maximum(speed, 1e-12))

    def step(self, fractions: FloatArray, result: FloatArray) -> None:
        """Try one step of every path; sample those whose error is small enough; set the next lengths."""
        last = self.length >= 1.0 - self.now
        length = np.where(last, 1.0 - self.now, self.length)
        stretch = length * self.durations  # [N]
        rates, reached = self._stages(stretch)
        error = self._error(rates, stretch)
        accepted = (error < 1.0) & ~self.ended
        factor = _SAFETY * np.maximum(error, 1e-16) ** -0.125
        factor = np.clip(np.where(np.isfinite(factor), factor, 0.0), _SHRINK, _GROW)
        after = np.where(last, 1.0, self.now + length)
        self._sample(fractions, result, accepted, after, (rates, reached, stretch, length))
        self.state = np.where(accepted, reached, self.state)
        self.rate = np.where(accepted, rates[_STAGES], self.rate)
        self.now = np.where(accepted, after, self.now)
        self.length = length * factor
        inside = ((self.state >= self.lowest) & (self.state <= self.highest)).all(axis=0)
        self.ended |= (accepted & last) | (self.length < _SHORTEST_STEP) | ~inside

    def compress(self) -> None:
        """Take the finished paths out, once there are enough of them to be worth the copying."""
        left = np.flatnonzero(~self.ended)
        if len(left) > _COMPRESS * len(self.rows):
            return
        self.field = self.field.select(left)
        self.rows = self.rows[left]
        for name in ("state", "rate", "allowed", "lowest", "highest"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name)[:, left]))
        for name in ("durations", "now", "ended", "length"):
            setattr(self, name, getattr(self, name)[left])

    def _stages(self, stretch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rates [16, D, N] at the stages, the last three not yet filled, and the new states [D, N]."""
        rates = np.empty((_STAGES + 4, *self.state.shape))
        rates[0] = self.rate
        for stage in range(1, _STAGES):
            rates[stage] = self.field(self.state + stretch * _combine(_A[stage, :stage], rates))
        reached = self.state + stretch * _combine(_B, rates)
        rates[_STAGES] = self.field(reached)
        return rates, reached

    def _error(self, rates: FloatArray, stretch: FloatArray) -> FloatArray:
        """Estimated error of a step, in units of what is allowed, [N]."""
        fifth = np.mean((_combine(_E5, rates) / self.allowed) ** 2, axis=0)
        third = np.mean((_combine(_E3, rates) / self.allowed) ** 2, axis=0)
        scale = np.sqrt(fifth + 0.01 * third)
        estimate: FloatArray = stretch * fifth / np.where(scale > 0.0, scale, 1.0)
        return estimate

    def _sample(
        self,
        fractions: FloatArray,
        result: FloatArray,
        accepted: NDArray[np.bool_],
        after: FloatArray,
        taken: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    ) -> None:
        """Write the samples that lie within the accepted steps."""
        rates, reached, stretch, length = taken
        first = np.searchsorted(fractions, self.now, side="right")
        counts = np.where(accepted, np.searchsorted(fractions, after, side="right") - first, 0)
        if not counts.any():
            return
        for extra, weights in enumerate(_A_EXTRA):
            stage = _STAGES + 1 + extra
            rates[stage] = self.field(self.state + stretch * _combine(weights[:stage], rates))
        series = self._interpolant(rates, reached, stretch)  # [7, D, N]
        path = np.repeat(np.arange(len(counts)), counts)
        sample = np.arange(len(path)) - np.repeat(np.cumsum(counts) - counts, counts) + first[path]
        inside = (fractions[sample] - self.now[path]) / length[path]
        value = np.zeros((self.state.shape[0], len(path)))
        for power in range(len(series) - 1, -1, -1):
            value += series[power][:, path]
            value *= inside if power % 2 == 0 else 1.0 - inside
        value += self.state[:, path]
        result[self.rows[path], sample] = value.T

    def _interpolant(self, rates: FloatArray, reached: FloatArray, stretch: FloatArray) -> FloatArray:
        """Coefficients [7, D, N] of x_old + u (c0 + (1 - u) (c1 + u (c2 + (1 - u) (...))))."""
        series = np.empty((3 + len(_D), *self.state.shape))
        moved = reached - self.state
        series[0] = moved
        series[1] = stretch * rates[0] - moved
        series[2] = 2.0 * moved - stretch * (rates[_STAGES] + rates[0])
        for j, weights in enumerate(_D):
            series[3 + j] = stretch * _combine(weights, rates)
        return series


def _combine(weights: FloatArray, rates: FloatArray) -> FloatArray:
    """Weighted sum [D, N] of the first stages' rates."""
    total: FloatArray = np.einsum("s,sdn->dn", weights, rates[: len(weights)])
    return total
