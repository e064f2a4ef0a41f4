"""Throws through air: gravity, drag that grows with the square of the speed, and wind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.motions.draw import check_scalar, uniform
from examples.trajectory_3d.motions.ranges import log_uniform
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion
from examples.trajectory_3d.motions.runge_kutta import clock, integrate

_TOLERANCE = 1e-8


@register_motion("ballistic", own_times=True)
def ballistic(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    speed: Range = (1.0, 25.0),
    terminal_speed: Range = (5.0, 100.0),
    wind: Range = (0.0, 5.0),
    gravity: float = 9.81,
) -> FloatArray:
    """Draw windows of free flight.

    ::

        x'' = -g e_z - g |u| u / s^2,   u = x' - wind

    where s is the terminal speed, at which drag balances weight. The window starts at the
    origin with a velocity in any direction, so that it shows any part of a throw, and ends before any
    ground. Drag is that of a body with a constant drag coefficient (Newton's law of resistance).

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window, or [N, T], rows in proportion.
        speed: range of the speed at the start of the window, m/s, drawn log-uniformly.
        terminal_speed: range of s, m/s, drawn log-uniformly: a beach ball 5, a tennis ball 22, a stone 60.
        wind: range of the horizontal wind speed, m/s.
        gravity: g, m/s^2.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    weight = check_scalar("gravity", gravity)
    pace = log_uniform(rng, "speed", speed, count)
    terminal = log_uniform(rng, "terminal_speed", terminal_speed, count)
    blow = uniform(rng, "wind", wind, count, minimum=0.0)
    bearing = rng.uniform(0.0, 2.0 * np.pi, size=count)
    direction = rng.standard_normal((3, count))
    velocity = pace * direction / np.linalg.norm(direction, axis=0)
    air = np.stack([blow * np.cos(bearing), blow * np.sin(bearing), np.zeros(count)])
    fractions, seconds = clock(times, count)
    size = np.repeat([np.full(count, 1.0), np.maximum(pace, 1.0)], 3, axis=0)  # [6, N]
    path = integrate(
        _Flight(weight, weight / terminal**2, air),
        np.concatenate([np.zeros((3, count)), velocity]),
        seconds,
        fractions,
        size=size,
        tolerance=_TOLERANCE,
    )
    return np.ascontiguousarray(path[:, :, :3])


@dataclass(frozen=True)
class _Flight:
    """Rates of positions and velocities [6, N] under gravity and drag."""

    gravity: float
    drag: FloatArray  # [N] 1/m
    air: FloatArray  # [3, N] m/s

    def __call__(self, state: FloatArray) -> FloatArray:
        rates = np.empty_like(state)
        rates[:3] = state[3:]
        relative = state[3:] - self.air
        np.multiply(-self.drag * np.sqrt((relative * relative).sum(axis=0)), relative, out=rates[3:])
        rates[5] -= self.gravity
        return rates

    def select(self, rows: NDArray[np.int64]) -> _Flight:
        return _Flight(self.gravity, self.drag[rows], self.air[:, rows])
