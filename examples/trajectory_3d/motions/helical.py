"""Helices: steady turning about an axis with steady advance along it."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.motions.draw import (
    along_frame,
    check_flag,
    check_scalar,
    phases,
    random_frames,
    uniform,
    window_starts,
)
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion


@register_motion("helical")
def helical(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    radius: Range = (1.0, 3.0),
    pitch: Range = (0.2, 1.0),
    turns: Range = (2.0, 6.0),
    duration: float = 10.0,
    any_axis: bool = True,
    centre: Range = (0.0, 0.0),
) -> FloatArray:
    """Draw windows of circular helices at constant speed.

    The whole motion makes ``turns`` turns in ``duration`` seconds about an axis w with unit
    vectors u, v across it::

        x(s) = c + r (cos a u + h sin a v) + p (a - pi turns) / (2 pi) w,   a = 2 pi turns s / duration

    with handedness h = +1 or -1 at equal odds and the start angle drawn uniformly, and a
    window is a cut of it at a uniform random start s. Speed is constant, |x'| = a' sqrt(r^2 +
    (p / 2 pi)^2), and curvature r / (r^2 + (p / 2 pi)^2). A window longer than ``duration`` goes on
    along the same helix. Source: the circular helix, e.g. M. do Carmo, "Differential Geometry
    of Curves and Surfaces", section 1-5.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window.
        radius: range of r, metres.
        pitch: range of p, metres of advance per turn.
        turns: range of the number of turns in ``duration``.
        duration: seconds the whole motion takes.
        any_axis: draw the axis uniformly from all directions; false keeps it along z.
        centre: range of each coordinate of c, the middle of the whole helix, metres.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    seconds = check_scalar("duration", duration)
    r = uniform(rng, "radius", radius, (count, 1), minimum=0.0)
    p = uniform(rng, "pitch", pitch, (count, 1), minimum=0.0)
    n = uniform(rng, "turns", turns, (count, 1), minimum=0.0)
    middle = uniform(rng, "centre", centre, (count, 1, 3))
    handed = rng.choice((-1.0, 1.0), size=(count, 1))
    frames = random_frames(rng, count)
    if not check_flag("any_axis", any_axis):
        frames[:] = np.eye(3)
    start_angle = phases(rng, (count, 1))
    starts = window_starts(rng, seconds - float(times[-1] - times[0]), count)
    progress = (starts[:, None] + times) / seconds  # [N, T]
    angle = 2.0 * np.pi * n * progress + start_angle
    across = (r * np.cos(angle), r * handed * np.sin(angle))
    advance = p * n * (progress - 0.5)
    return along_frame((*across, advance), frames) + middle
