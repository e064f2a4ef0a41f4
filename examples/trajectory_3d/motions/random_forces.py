"""Paths driven by random forces: what moves is known by its statistics alone, as with people and pilots."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import hyp1f1

from examples.trajectory_3d.motions.ranges import log_uniform, whole_range
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion

_NODES = 12  # of Gauss and Legendre, in a step: exact to rounding for correlation times down to half a step


@register_motion("random_forces", own_times=True)
def random_forces(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    derivative: tuple[int, int] = (0, 2),
    correlation_time: Range = (0.03, 3.0),
    wander: Range = (0.3, 10.0),
    cruise: Range = (0.1, 10.0),
    flatness: Range = (0.05, 1.0),
) -> FloatArray:
    """Draw windows whose position, velocity or acceleration is an Ornstein-Uhlenbeck process.

    On each axis, with n the derivative drawn for the window and W a Wiener process::

        d x^(n) = -(x^(n) - m) / tau dt + s sqrt(2 / tau) dW

    so that x^(n) has standard deviation s and forgets within tau. n = 0 hovers about a place, n = 1 is
    Langevin's particle (G. Uhlenbeck and L. Ornstein, Phys. Rev. 36, 823, 1930), n = 2 the
    manoeuvring target of R. Singer (IEEE Trans. AES-6, 473, 1970). m is 0, but for n = 1, where it is a
    cruising velocity; for n = 2 that is the velocity at the beginning. x^(n) begins in equilibrium. Steps are
    exact: all derivatives at the next sample are drawn from their joint Gaussian.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] or [N, T] seconds, uniform, from the first point of the window.
        derivative: lowest and highest n, both included, from 0 to 2.
        correlation_time: range of tau, seconds, drawn log-uniformly.
        wander: range of s on the widest axis, in m, m/s or m/s^2, drawn log-uniformly.
        cruise: range of the cruising speed, m/s, drawn log-uniformly; its direction is uniform.
        flatness: range of the factor by which s and the cruise are smaller on the third axis, drawn
            log-uniformly.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    lowest, highest = whole_range("derivative", derivative, minimum=0)
    if highest > 2:
        raise ValueError(f"option 'derivative' must be at most 2; got {derivative!r}")
    order = rng.integers(lowest, highest, size=count, endpoint=True)
    tau = log_uniform(rng, "correlation_time", correlation_time, count)
    flat = log_uniform(rng, "flatness", flatness, count)
    spread = log_uniform(rng, "wander", wander, (count, 1)) * rng.uniform(0.3, 1.0, size=(count, 3))
    heading = rng.standard_normal((count, 3))
    speed = log_uniform(rng, "cruise", cruise, (count, 1))
    velocity = speed * heading / np.linalg.norm(heading, axis=1, keepdims=True)
    spread[:, 2] *= flat
    velocity[:, 2] *= flat
    grid = np.broadcast_to(times, (count, times.shape[-1]))
    length = grid.shape[1]
    step = grid[:, 1] - grid[:, 0] if length > 1 else np.ones(count)
    noise = rng.standard_normal((count, length, 3, 3))  # [N, T, axis, derivative]
    path = np.empty((count, length, 3))
    for n in range(lowest, highest + 1):
        rows = np.flatnonzero(order == n)
        if rows.size:
            unit = step[rows, None] ** n  # from derivatives per step to derivatives per second
            drawn = integrated_wander(tau[rows] / step[rows], noise[rows, ..., : n + 1])
            path[rows] = drawn * (spread[rows] * unit)[:, None]
    moving = order > 0
    elapsed = grid - grid[:, :1]
    path[moving] += velocity[moving, None] * elapsed[moving, :, None]
    return path


def integrated_wander(tau: FloatArray, noise: FloatArray) -> FloatArray:
    """Integrals of Ornstein-Uhlenbeck processes of standard deviation 1, at times 0, 1, 2, ...

    Args:
        tau: [N] correlation times, in steps.
        noise: [N, T, A, n + 1] independent standard normals, for A independent axes.

    Returns:
        [N, T, A]: the n-fold integral of each process; it and its derivatives below the n-th are 0 at time 0.
    """
    count, length, axes, size = noise.shape
    transition, factor = _exact_step(tau, size)
    state = np.zeros((count, axes, size))
    state[..., -1] = noise[:, 0, :, -1]
    path = np.empty((count, length, axes))
    path[:, 0] = state[..., 0]
    kicks = noise @ factor.mT[:, None]
    for index in range(1, length):
        state = state @ transition.mT + kicks[:, index]
        path[:, index] = state[..., 0]
    return path


def _exact_step(tau: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Transition matrix and Cholesky factor of the noise's covariance over a step of 1, [N, size, size]."""
    transition = np.zeros((len(tau), size, size))
    for row in range(size):
        for column in range(row, size - 1):
            transition[:, row, column] = 1.0 / math.factorial(column - row)
    transition[:, :, -1] = _response(np.ones(1), tau, size)[:, :, 0]
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    response = _response(0.5 * (nodes + 1.0), tau, size)  # [N, size, K]
    covariance = (response * (0.5 * weights)) @ response.mT
    factor = np.linalg.cholesky(covariance) * np.sqrt(2.0 / tau)[:, None, None]
    return transition, factor.astype(np.float64, copy=False)


def _response(elapsed: FloatArray, tau: FloatArray, size: int) -> FloatArray:
    """All derivatives, position first, some time after a unit kick of the highest: [N, size, K].

    The j-fold integral of e^(-s / tau) is s^j 1F1(1; j + 1; -s / tau) / j!, free of cancellation.
    """
    decay = -elapsed / tau[:, None]  # [N, K]
    rows = [elapsed**j * hyp1f1(1.0, j + 1.0, decay) / math.factorial(j) for j in range(size)]
    return np.stack(rows[::-1], axis=1)
