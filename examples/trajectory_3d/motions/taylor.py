"""Batched Taylor-series integration of the Lorenz equations, to a stated tolerance.

The equations are quadratic, so every Taylor coefficient of the solution follows exactly from
the lower ones by a convolution, to any order, and the series itself gives the solution between
steps. Steps therefore never depend on where the path is sampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray


@dataclass(frozen=True)
class LorenzParameters:
    """Per-window parameters of the Lorenz equations, each [N]."""

    sigma: FloatArray
    rho: FloatArray
    beta: FloatArray


def integrate_lorenz(
    state: FloatArray, parameters: LorenzParameters, times: FloatArray, *, tolerance: float = 1e-10
) -> FloatArray:
    """Integrate dx = sigma (y - x), dy = x (rho - z) - y, dz = x y - beta z for N windows at once.

    Order and step follow A. Jorba and M. Zou, "A software package for the numerical integration
    of ODEs by means of high-order Taylor methods", Experimental Mathematics 14 (2005): the order
    is set by the tolerance, and the step by the last two coefficients, here of the window that
    needs the shortest one.

    Args:
        state: [3, N] positions at time 0.
        parameters: sigma, rho, beta, each [N].
        times: [T] non-decreasing times >= 0, T >= 1, at which the solution is wanted.
        tolerance: bound on the truncation error of one step, relative to the window's largest
            of |x|, |y|, |rho - z|. The flow itself stretches errors by e^(0.9 t) on average.

    Returns:
        [T, 3, N].

    Raises:
        FloatingPointError: the solution left the range of floating-point numbers.
    """
    # For a cost of order^2 the best order is -ln(tolerance) / 2 + 1; a good part of the cost here
    # is per call, and so grows with the order alone, which favours more terms and longer steps.
    order = math.ceil(-0.8 * math.log(tolerance)) + 1
    result = np.empty((len(times), *state.shape))
    series = np.empty((order + 1, *state.shape))  # [order + 1, 3, N]
    # With w = rho - z the equations need fewer operations: dy = x w - y, dw = beta (rho - w) - x y.
    series[0] = state
    np.subtract(parameters.rho, state[2], out=series[0, 2])
    now, done = 0.0, 0
    while done < len(times):
        _fill_series(series, parameters)
        step = min(_step_length(series, tolerance), float(times[-1]) - now)
        reached = int(np.searchsorted(times, now + step, side="right"))
        values = _evaluate(series, np.append(times[done:reached] - now, step))
        result[done:reached] = values[:-1]
        series[0] = values[-1]
        now, done = now + step, reached
    np.subtract(parameters.rho, result[:, 2], out=result[:, 2])
    return result


def _fill_series(series: FloatArray, parameters: LorenzParameters) -> None:
    """Complete the Taylor coefficients [order + 1, 3, N] of (x, y, w) in place from the zeroth."""
    sigma, minus_beta = parameters.sigma, -parameters.beta
    for k in range(len(series) - 1):
        x, y, w = series[k]
        dx, dy, dw = series[k + 1]
        xy, xw = np.einsum("kn,kjn->jn", series[: k + 1, 0], series[k::-1, 1:])  # sums over i of x_i y_(k-i)
        np.subtract(y, x, out=dx)
        dx *= sigma
        np.subtract(xw, y, out=dy)
        np.multiply(minus_beta, w, out=dw)
        dw -= xy
        if k == 0:
            dw += parameters.beta * parameters.rho
        series[k + 1] *= 1.0 / (k + 1)


def _step_length(series: FloatArray, tolerance: float) -> float:
    """Longest step at which the last two terms of every window stay below the tolerance."""
    if series.shape[2] == 0:
        return math.inf
    order = len(series) - 1
    size = np.abs(series[0]).max(axis=0)  # [N]
    steps = []
    for power in (order - 1, order):
        ratio = float((np.abs(series[power]).max(axis=0) / np.maximum(size, 1e-300)).max())
        if not math.isfinite(ratio):
            raise FloatingPointError(
                "Lorenz integration overflowed; check the ranges of sigma, rho, beta and time_scale"
            )
        steps.append((tolerance / ratio) ** (1.0 / power) if ratio > 0.0 else math.inf)
    return min(steps)


def _evaluate(series: FloatArray, offsets: FloatArray) -> FloatArray:
    """Sum the series at M offsets from its centre: [M, 3, N]."""
    powers = offsets[:, None] ** np.arange(len(series))  # [M, order + 1]
    result: FloatArray = np.einsum("mk,kjn->mjn", powers, series)
    return result
