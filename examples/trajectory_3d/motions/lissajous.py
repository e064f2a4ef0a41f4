"""Lissajous curves: an independent harmonic oscillation on each axis."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.motions.draw import check_flag, phases, uniform
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion


@register_motion("lissajous")
def lissajous(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    amplitude: Range = (1.0, 3.0),
    frequency_ratio: Range = (1.0, 3.0),
    base_frequency: Range = (0.2, 0.5),
    integer_ratios: bool = False,
) -> FloatArray:
    """Draw windows of three-dimensional Lissajous curves.

    ::

        x_i(t) = A_i sin(2 pi f r_i t + phi_i),   i = 1, 2, 3

    so x_i'' = -(2 pi f r_i)^2 x_i on each axis. One axis, chosen at random, has ratio 1 and so
    swings at the base frequency f itself; the ratios of the two others and all phases and
    amplitudes are drawn independently. Uniform phases make a window a cut at a random time. Real
    ratios give curves that never close; ``integer_ratios`` rounds them, which closes the curve
    after 1/f seconds. Source: J. Lissajous, "Mémoire sur l'étude optique des mouvements
    vibratoires" (1857).

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window.
        amplitude: range of each A_i, metres.
        frequency_ratio: range of each r_i.
        base_frequency: range of f, Hz.
        integer_ratios: round the ratios to whole numbers.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    amplitudes = uniform(rng, "amplitude", amplitude, (count, 3), minimum=0.0)
    ratios = uniform(rng, "frequency_ratio", frequency_ratio, (count, 3), minimum=0.0)
    base = uniform(rng, "base_frequency", base_frequency, count, minimum=0.0)
    start = phases(rng, (count, 3))
    if check_flag("integer_ratios", integer_ratios):
        ratios = np.rint(ratios)
    ratios[np.arange(count), rng.integers(3, size=count)] = 1.0
    path = np.empty((count, len(times), 3))
    for axis in range(3):
        rate = 2.0 * np.pi * base * ratios[:, axis]  # [N] rad/s
        swing = np.sin(rate[:, None] * times + start[:, axis, None])  # [N, T]
        path[:, :, axis] = amplitudes[:, axis, None] * swing
    return path
