"""Random smooth splines: paths with continuous curvature and no equation of motion behind them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.motions.ranges import chosen, log_uniform
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion

_DEGREES = (3, 5)  # twice and four times continuously differentiable
_UNEVEN = (0.5, 1.5)  # knot intervals relative to the window's spacing
_WALK = 0.7  # step of a wandering path from control point to control point, in sizes


@register_motion("splines")
def splines(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    spacing: Range = (0.15, 0.8),
    size: Range = (0.3, 2.0),
    quintic_share: float = 0.5,
    wander_share: float = 0.5,
) -> FloatArray:
    """Draw windows of B-splines over random, unevenly spaced knots.

    ::

        x(t) = sum over j of c_j B_(j,p)(t),   knots t_(j+1) - t_j = spacing u_j,  u_j in [0.5, 1.5]

    of degree p = 3 (position, velocity and acceleration continuous) or 5 (four derivatives
    continuous). The control points c_j are independent Gaussians about a fixed place, or, in
    a share ``wander_share`` of the windows, a random walk. Source: C. de Boor, "A Practical Guide to
    Splines" (2001), chapters 9 and 10.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window.
        spacing: range of the mean time between knots, seconds, drawn log-uniformly.
        size: range of the standard deviation of the control points, or of 1.4 times the
            step of the walk, metres per axis, drawn log-uniformly.
        quintic_share: share of windows of degree 5.
        wander_share: share of windows whose control points walk.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    elapsed = times - times[0]
    between = log_uniform(rng, "spacing", spacing, (count, 1))
    metres = log_uniform(rng, "size", size, (count, 1, 1))
    quintic = chosen(rng, "quintic_share", quintic_share, count)
    wanders = chosen(rng, "wander_share", wander_share, count)
    most = max(_DEGREES)
    # As many intervals as the closest knots need, and ``most`` more on either side of the window.
    inner = math.ceil(float(elapsed[-1]) / (_UNEVEN[0] * spacing[0])) + 1
    intervals = between * rng.uniform(*_UNEVEN, size=(count, inner + 2 * most))
    knots = np.cumsum(intervals, axis=1)
    # The window starts inside interval ``most``, at a uniform time.
    knots -= knots[:, most - 1, None] + intervals[:, most, None] * rng.uniform(size=(count, 1))
    control = rng.standard_normal((count, inner + most, 3))
    control[wanders] = np.cumsum(_WALK * control[wanders], axis=1)
    control *= metres
    path = np.empty((count, len(times), 3))
    for degree, rows in zip(_DEGREES, (~quintic, quintic), strict=True):
        path[rows] = evaluate_splines(knots[rows], control[rows], degree, elapsed)
    return path


def evaluate_splines(knots: FloatArray, control: FloatArray, degree: int, times: FloatArray) -> FloatArray:
    """Evaluate N B-splines at common times by de Boor's algorithm.

    Args:
        knots: [N, J] increasing seconds. Between knots i and i + 1 of a window, i >= degree - 1, the
            spline is shaped by its control points i - degree + 1 to i + 1, both included.
        control: [N, M, 3] control points, metres.
        degree: p >= 1.
        times: [T] non-decreasing seconds, from ``knots[:, degree - 1]`` on and before
            ``knots[:, J - degree]``.

    Returns:
        [N, T, 3] metres.
    """
    count, length = len(knots), len(times)
    row = np.arange(count)[:, None]
    interval = _last_knot_at_or_before(knots, times)  # [N, T]
    near = [knots[row, interval + shift] for shift in range(1 - degree, degree + 1)]  # 2 p of [N, T]
    path = np.empty((count, length, 3))
    weights = {
        (level, j): (times - near[j - 1]) / (near[j + degree - level] - near[j - 1])
        for level in range(1, degree + 1)
        for j in range(level, degree + 1)
    }
    for axis in range(3):
        column = control[:, :, axis]
        points = [column[row, interval + shift] for shift in range(1 - degree, 2)]  # p + 1 of [N, T]
        for level in range(1, degree + 1):
            for j in range(degree, level - 1, -1):
                points[j] = points[j - 1] + weights[level, j] * (points[j] - points[j - 1])
        path[:, :, axis] = points[degree]
    return path


def _last_knot_at_or_before(knots: FloatArray, times: FloatArray) -> NDArray[np.int64]:
    """Index of the last knot at or before each time, [N, T], by counting the knots passed."""
    count, length = len(knots), len(times)
    first_after = np.searchsorted(times, knots.reshape(-1))  # first sample at or after each knot
    cell = np.repeat(np.arange(count), knots.shape[1]) * (length + 1) + first_after
    passed = np.bincount(cell, minlength=count * (length + 1)).reshape(count, length + 1)
    result: NDArray[np.int64] = np.cumsum(passed[:, :length], axis=1) - 1
    return result
