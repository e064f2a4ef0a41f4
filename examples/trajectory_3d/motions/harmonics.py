"""Random sums of harmonics: smooth, almost periodic paths with a power-law spectrum."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.motions.draw import phases, uniform
from examples.trajectory_3d.motions.ranges import chosen, log_uniform, whole_range
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion


@register_motion("harmonics")
def harmonics(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    components: tuple[int, int] = (1, 6),
    frequency: Range = (0.1, 2.5),
    decay: Range = (0.5, 2.5),
    size: Range = (0.5, 3.0),
    joint_share: float = 0.5,
    drift: Range = (0.0, 1.0),
) -> FloatArray:
    """Draw windows of sums of sines plus a steady drift.

    ::

        x_i(t) = v_i t + sum over k of a_ik sin(2 pi f_ik t + phi_ik),   i = 1, 2, 3
        a_ik = |g_ik| (f_ik / f_min)^-b s_i,   g_ik standard normal

    A share ``joint_share`` of the windows has the same frequencies on all axes, so that each
    component is an ellipse in space; in the others every axis has its own. The s_i make the root mean
    square of the sum over k on each axis, taken over all time, ``size`` times a factor uniform in
    [0.2, 1]. All phases are independent: a sum of independent sines whose amplitudes fall as f^-b
    has a power spectrum that falls as f^-2b.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window.
        components: fewest and most sines per axis, both included, at least 1.
        frequency: range of each f_ik, Hz, drawn log-uniformly.
        decay: range of the exponent b.
        size: range of the root mean square of the largest axis, metres, drawn log-uniformly.
        joint_share: share of windows whose axes have the same frequencies.
        drift: range of the speed |v|, m/s; its direction is uniform.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    fewest, most = whole_range("components", components, minimum=1)
    kept = rng.integers(fewest, most, size=count, endpoint=True)
    frequencies = log_uniform(rng, "frequency", frequency, (count, 3, most))
    joint = chosen(rng, "joint_share", joint_share, count)
    frequencies[joint] = frequencies[joint, :1]
    exponent = uniform(rng, "decay", decay, (count, 1, 1), minimum=0.0)
    amplitudes = np.abs(rng.standard_normal((count, 3, most)))
    amplitudes *= (frequencies / frequency[0]) ** -exponent
    amplitudes *= np.arange(most) < kept[:, None, None]
    energy = np.sqrt((amplitudes**2).sum(axis=2, keepdims=True) / 2.0)  # rms of each axis over all time
    target = log_uniform(rng, "size", size, (count, 1, 1)) * rng.uniform(0.2, 1.0, size=(count, 3, 1))
    amplitudes *= target / energy
    start = phases(rng, (count, 3, most))
    velocity = rng.standard_normal((count, 3))
    velocity *= uniform(rng, "drift", drift, (count, 1), minimum=0.0) / np.linalg.norm(
        velocity, axis=1, keepdims=True
    )
    elapsed = times - times[0]
    path = np.empty((count, len(times), 3))
    for axis in range(3):
        total = velocity[:, axis, None] * elapsed  # [N, T]
        for k in range(most):
            rows = np.flatnonzero(kept > k)
            rate = 2.0 * np.pi * frequencies[rows, axis, k, None]
            total[rows] += amplitudes[rows, axis, k, None] * np.sin(
                rate * elapsed + start[rows, axis, k, None]
            )
        path[:, :, axis] = total
    return path
