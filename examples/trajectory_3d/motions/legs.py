"""Legs of vehicles: straight runs and coordinated turns, with changes of speed, climbs and stops."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.motions.draw import phases, uniform
from examples.trajectory_3d.motions.ranges import chosen, log_uniform
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion

_UNEVEN = (0.4, 1.6)  # lengths of the legs of one window, relative to their mean
_SERIES = 1e-2  # radians below which the integrals of a turn are summed as series


@register_motion("legs")
def legs(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    duration: Range = (0.15, 3.0),
    speed: Range = (0.3, 10.0),
    turn_rate: Range = (0.2, 6.0),
    straight_share: float = 0.4,
    stop_share: float = 0.08,
    climb: Range = (0.0, 0.4),
) -> FloatArray:
    """Draw windows of paths made of legs, each with a turn rate and a change of speed of its own.

    In the horizontal plane the velocity has the speed v(t) and the heading psi(t), both continuous; on a leg
    psi changes at a constant rate (zero on straight legs) and v linearly::

        x + i y = integral of v(t) e^(i psi(t)) dt,      z = integral of c(t) v(t) dt

    with the gradient c constant on a leg. Speeds at the ends of legs are drawn anew or held;
    at a share of them the vehicle stops. Positions are exact, and start at the origin. Source: the
    coordinated-turn model, Y. Bar-Shalom, X. Li and T. Kirubarajan, "Estimation with Applications to Tracking
    and Navigation" (2001), section 11.7.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window.
        duration: range of the mean duration of a window's legs, seconds, drawn log-uniformly.
        speed: range of the fastest speed of a window, m/s, drawn log-uniformly.
        turn_rate: range of turns, rad/s to either side, drawn log-uniformly.
        straight_share: share of straight legs.
        stop_share: share of legs' ends at rest.
        climb: range of the steepest gradient of a window, vertical over horizontal speed.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    elapsed = times - times[0]
    mean = log_uniform(rng, "duration", duration, (count, 1))
    number = math.ceil(float(elapsed[-1]) / (_UNEVEN[0] * duration[0])) + 2
    lasts = mean * rng.uniform(*_UNEVEN, size=(count, number))  # [N, J] seconds
    fastest = log_uniform(rng, "speed", speed, (count, 1))
    speeds = _speeds_at_ends(rng, fastest, number, stop_share)
    sides = rng.choice((-1.0, 1.0), (count, number))
    turns = sides * log_uniform(rng, "turn_rate", turn_rate, (count, number))
    turns[chosen(rng, "straight_share", straight_share, count * number).reshape(count, number)] = 0.0
    steepest = uniform(rng, "climb", climb, (count, 1), minimum=0.0)
    turned = turns * lasts
    route = _Legs(
        starts=np.cumsum(lasts, axis=1) - lasts,
        speed=speeds[:, :-1],
        push=np.diff(speeds, axis=1) / lasts,
        turn=turns,
        heading=phases(rng, (count, 1)) + np.cumsum(turned, axis=1) - turned,
        gradient=steepest * rng.uniform(-1.0, 1.0, size=(count, number)),
    )
    begins = lasts[:, :1] * rng.uniform(size=(count, 1))  # somewhere in the first leg
    return route.positions(begins + elapsed, lasts)


def _speeds_at_ends(
    rng: np.random.Generator, fastest: FloatArray, number: int, stop_share: float
) -> FloatArray:
    """Speeds where the legs of windows begin and end, [N, J + 1] m/s; some windows hold theirs for long."""
    count = len(fastest)
    speeds = fastest * rng.uniform(0.2, 1.0, size=(count, number + 1))
    held = rng.uniform(size=(count, 1)) < rng.uniform(size=(count, number))
    for leg in range(number):
        speeds[:, leg + 1] = np.where(held[:, leg], speeds[:, leg], speeds[:, leg + 1])
    rests = chosen(rng, "stop_share", stop_share, count * (number + 1))
    speeds[rests.reshape(count, number + 1)] = 0.0
    return speeds


@dataclass(frozen=True, kw_only=True)
class _Legs:
    """Legs, [N, J] each: when they start, and the motion on them as it starts.

    Attributes:
        starts: seconds.
        speed: horizontal, m/s.
        push: its change, m/s^2.
        turn: change of the heading, rad/s.
        heading: radians.
        gradient: vertical over horizontal speed.
    """

    starts: FloatArray
    speed: FloatArray
    push: FloatArray
    turn: FloatArray
    heading: FloatArray
    gradient: FloatArray

    def positions(self, times: FloatArray, lasts: FloatArray) -> FloatArray:
        """Where windows are at ``times`` [N, T], before the end of their legs of ``lasts`` [N, J] seconds."""
        whole = self._travelled(lasts)  # [N, J, 3]
        corners = np.cumsum(whole, axis=1) - whole  # where legs start
        leg = (self.starts[:, :, None] <= times[:, None]).sum(axis=1) - 1  # [N, T]
        row = np.arange(len(leg))[:, None]
        at = _Legs(**{f.name: getattr(self, f.name)[row, leg] for f in fields(self)})
        path: FloatArray = corners[row, leg] + at._travelled(times - at.starts)
        return path - path[:, :1]

    def _travelled(self, time: FloatArray) -> FloatArray:
        """Displacement ``time`` seconds after the start of each leg, [..., 3] metres."""
        first, second = _turn_integrals(self.turn * time)
        along = time * (self.speed * first + self.push * time * second) * np.exp(1j * self.heading)
        up = self.gradient * time * (self.speed + 0.5 * self.push * time)
        return np.stack([along.real, along.imag, up], axis=-1)


def _turn_integrals(angle: FloatArray) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Integrals of e^(i angle u) and u e^(i angle u) over u from 0 to 1."""
    small = np.abs(angle) < _SERIES
    z = 1j * np.where(small, 1.0, angle)
    turned = np.exp(z)
    first = (turned - 1.0) / z
    second = (turned - first) / z
    s = 1j * np.where(small, angle, 0.0)
    series = sum(s**k / math.factorial(k + 1) for k in range(7))
    weighted = sum(s**k / (math.factorial(k) * (k + 2)) for k in range(7))
    return np.where(small, series, first), np.where(small, weighted, second)
