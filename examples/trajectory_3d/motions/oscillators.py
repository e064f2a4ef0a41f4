"""Damped and driven oscillators: three normal modes along a random frame, in closed form."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.motions.draw import along_frame, phases, random_frames, uniform
from examples.trajectory_3d.motions.ranges import chosen, log_uniform
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion

_CRITICAL = 1e-6  # |damping ratio - 1| below which the critical limit is exact to rounding


@register_motion("oscillators")
def oscillators(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    frequency: Range = (0.2, 2.5),
    damping: Range = (0.0, 0.4),
    amplitude: Range = (0.3, 3.0),
    driven_share: float = 0.5,
    drive_frequency: Range = (0.2, 2.5),
    drive_amplitude: Range = (0.1, 1.5),
) -> FloatArray:
    """Draw windows of linear oscillators with viscous damping and a harmonic drive.

    Along each of three perpendicular directions, turned at random, the path obeys::

        x'' + 2 z w x' + w^2 x = f cos(W t + phi)

    each direction with its own w and z, all with the same drive frequency W. The solution is the
    transient e^(-z w t) [x0 C(t) + (v0 + z w x0) S(t)] plus the steady response D cos(W t + psi),
    with C, S = cos(q t), sin(q t) / q at z < 1, cosh, sinh at z > 1, and 1, t at z = 1, where
    q = w sqrt|1 - z^2|. The amplitude D of the steady response is drawn rather than f =
    D sqrt((w^2 - W^2)^2 + (2 z w W)^2), so that resonance cannot make paths huge. The transient starts as
    x0 = A cos a, v0 = w A sin a at the beginning of the window. Source: L. Landau and E. Lifshitz,
    "Mechanics", sections 22-26.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window.
        frequency: range of w / 2 pi, Hz, drawn log-uniformly.
        damping: range of the ratio z; from 1 on there is no swing.
        amplitude: range of A, metres, drawn log-uniformly.
        driven_share: share of windows with a drive.
        drive_frequency: range of W / 2 pi, Hz, drawn log-uniformly.
        drive_amplitude: range of D, metres.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    shape = (count, 3)
    rate = 2.0 * np.pi * log_uniform(rng, "frequency", frequency, shape)  # [N, 3] rad/s
    ratio = uniform(rng, "damping", damping, shape, minimum=0.0)
    swing = log_uniform(rng, "amplitude", amplitude, shape)
    angle = phases(rng, shape)
    driven = chosen(rng, "driven_share", driven_share, count)
    drive_rate = 2.0 * np.pi * log_uniform(rng, "drive_frequency", drive_frequency, count)
    steady = uniform(rng, "drive_amplitude", drive_amplitude, shape, minimum=0.0)
    lag = phases(rng, shape)
    frames = random_frames(rng, count)
    elapsed = times - times[0]
    modes = []
    for axis in range(3):
        position = swing[:, axis] * np.cos(angle[:, axis])
        velocity = swing[:, axis] * rate[:, axis] * np.sin(angle[:, axis])
        mode = free_oscillation(position, velocity, rate[:, axis], ratio[:, axis], elapsed)
        forced = np.cos(drive_rate[driven, None] * elapsed + lag[driven, axis, None])
        mode[driven] += steady[driven, axis, None] * forced
        modes.append(mode)
    return along_frame(modes, frames)


def free_oscillation(
    position: FloatArray, velocity: FloatArray, rate: FloatArray, damping: FloatArray, times: FloatArray
) -> FloatArray:
    """Solve x'' + 2 z w x' + w^2 x = 0 for N oscillators.

    Args:
        position: [N] metres at time 0.
        velocity: [N] m/s at time 0.
        rate: [N] undamped angular frequency w, rad/s.
        damping: [N] damping ratio z >= 0.
        times: [T] seconds >= 0.

    Returns:
        [N, T] metres.
    """
    push = velocity + damping * rate * position
    path = np.empty((len(rate), len(times)))
    under = damping < 1.0 - _CRITICAL
    over = damping > 1.0 + _CRITICAL
    critical = ~(under | over)

    w = rate[under, None]
    q = w * np.sqrt(1.0 - damping[under, None] ** 2)
    turn = q * times
    swing = position[under, None] * np.cos(turn) + push[under, None] / q * np.sin(turn)
    path[under] = np.exp(-damping[under, None] * w * times) * swing

    # Two decaying exponentials instead of cosh and sinh, which overflow at long times.
    w = rate[over, None]
    q = w * np.sqrt(damping[over, None] ** 2 - 1.0)
    slow, fast = (0.5 * (position[over, None] + sign * push[over, None] / q) for sign in (1.0, -1.0))
    centre = damping[over, None] * w
    path[over] = slow * np.exp((q - centre) * times) + fast * np.exp(-(q + centre) * times)

    w = rate[critical, None]
    path[critical] = np.exp(-w * times) * (position[critical, None] + push[critical, None] * times)
    return path
