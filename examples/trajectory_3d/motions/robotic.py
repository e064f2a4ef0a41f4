"""Robot pick-and-place: smooth paths through waypoints, with optional rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.motions.draw import check_range, check_scalar, uniform, window_starts
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion


@register_motion("robotic")
def robotic(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    waypoints: tuple[int, int] = (3, 8),
    segment_duration: Range = (0.4, 1.2),
    dwell: float = 0.0,
    box: Range = (-1.5, 1.5),
) -> FloatArray:
    """Draw windows of robot motions through waypoints.

    Between waypoints the path is one cubic Bezier curve, with velocities chosen so that
    position and velocity are continuous everywhere (see `RobotPaths`). The motion starts and ends at
    rest. A window is cut at a uniform random time at which it still fits; where the whole motion
    is shorter than the window, the window holds all of it and then the last waypoint.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window.
        waypoints: smallest and largest number of waypoints, both included, at least 2.
        segment_duration: range of the time from one waypoint to the next, seconds.
        dwell: seconds of rest at each inner waypoint; 0 passes through without stopping.
        box: range of each waypoint coordinate, metres.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    paths = draw_robot_paths(
        rng, count, waypoints=waypoints, segment_duration=segment_duration, dwell=dwell, box=box
    )
    elapsed = times - times[0]
    starts = window_starts(rng, paths.total_duration - float(elapsed[-1]), count)
    return paths.position(starts[:, None] + elapsed)


@dataclass(frozen=True)
class RobotPaths:
    """N whole robot motions, each of up to S segments.

    Segment j leaves waypoint P_j at ``departures[j]`` and arrives at P_(j+1) after
    ``durations[j]`` seconds, along the cubic Bezier curve with control points::

        P_j,   P_j + v_j d_j / 3,   P_(j+1) - v_(j+1) d_j / 3,   P_(j+1)

    whose velocity is v_j at its start and v_(j+1) at its end, whatever the durations: the path is
    C1. An inner waypoint is passed with the velocity of the chord between its neighbours,
    v_j = (P_(j+1) - P_(j-1)) / (d_(j-1) + d_j) (Catmull-Rom in unequal time), or with zero
    velocity where the motion rests. The first and the last velocity are zero. Source:
    G. Farin, "Curves and Surfaces for CAGD" (2002), chapters 4, 7 and 9.

    Attributes:
        waypoints: [N, S + 1, 3] metres; the last one repeats where there are fewer.
        velocities: [N, S + 1, 3] m/s at the waypoints.
        departures: [N, S] seconds; infinite for segments that do not exist.
        durations: [N, S] seconds.
        counts: [N] number of waypoints.
        total_duration: [N] seconds until the last waypoint is reached.
    """

    waypoints: FloatArray
    velocities: FloatArray
    departures: FloatArray
    durations: FloatArray
    counts: NDArray[np.int64]
    total_duration: FloatArray

    def control_points(self) -> FloatArray:
        """Bezier control points, [N, S, 4, 3] metres."""
        third = self.durations[:, :, None] / 3.0
        first, last = self.waypoints[:, :-1], self.waypoints[:, 1:]
        leaving = first + third * self.velocities[:, :-1]
        arriving = last - third * self.velocities[:, 1:]
        return np.stack([first, leaving, arriving, last], axis=2)

    def position(self, times: FloatArray) -> FloatArray:
        """Positions at [N, T] seconds since departure, as [N, T, 3] metres.

        Before the start it is the first waypoint, after the end the last one.
        """
        count, segments = self.durations.shape
        segment = np.zeros(times.shape, dtype=np.int64)  # [N, T]
        for j in range(1, segments):
            segment += times >= self.departures[:, j, None]
        row = np.arange(count)[:, None] * segments + segment
        elapsed = times - self.departures.reshape(-1)[row]
        u = np.clip(elapsed / self.durations.reshape(-1)[row], 0.0, 1.0)  # rests stay at u = 1
        rest = 1.0 - u
        # Bernstein polynomials, each [N, T]; products, as integer powers of arrays are slow
        weights = (rest * rest * rest, 3.0 * u * rest * rest, 3.0 * u * u * rest, u * u * u)
        control = self.control_points().reshape(count * segments, 12)
        path = np.empty((*times.shape, 3))
        for axis in range(3):
            columns = np.ascontiguousarray(control[:, axis::3].T)  # [4, N S]
            total = weights[0] * columns[0][row]
            for weight, column in zip(weights[1:], columns[1:], strict=True):
                total += weight * column[row]
            path[:, :, axis] = total
        return path


def draw_robot_paths(
    rng: np.random.Generator,
    count: int,
    *,
    waypoints: Sequence[int] = (3, 8),
    segment_duration: Range = (0.4, 1.2),
    dwell: float = 0.0,
    box: Range = (-1.5, 1.5),
) -> RobotPaths:
    """Draw whole robot motions; the options are those of `robotic`.

    Raises:
        ValueError: an option is out of range.
    """
    fewest, most = check_range("waypoints", waypoints, minimum=2.0)
    if fewest != int(fewest) or most != int(most):
        raise ValueError(f"option 'waypoints' must be two whole numbers; got {waypoints!r}")
    rest = check_scalar("dwell", dwell, positive=False)
    segments = int(most) - 1
    counts = rng.integers(int(fewest), int(most), size=count, endpoint=True)
    points = uniform(rng, "box", box, (count, segments + 1, 3))
    durations = uniform(rng, "segment_duration", segment_duration, (count, segments), minimum=1e-3)
    last = counts[:, None] - 1  # [N, 1]
    points = np.take_along_axis(points, np.minimum(np.arange(segments + 1), last)[:, :, None], axis=1)
    exists = np.arange(segments) < last  # [N, S]
    departures = np.zeros((count, segments))
    np.cumsum(durations[:, :-1] + rest, axis=1, out=departures[:, 1:])
    arrivals = np.take_along_axis(departures + durations, last - 1, axis=1)[:, 0]
    return RobotPaths(
        waypoints=points,
        velocities=_waypoint_velocities(points, durations, last, rests=rest > 0.0),
        departures=np.where(exists, departures, np.inf),
        durations=durations,
        counts=counts,
        total_duration=arrivals,
    )


def _waypoint_velocities(
    points: FloatArray, durations: FloatArray, last: NDArray[np.int64], *, rests: bool
) -> FloatArray:
    """Velocities [N, S + 1, 3] in m/s: zero at both ends, at rests, and beyond the last waypoint."""
    velocities = np.zeros_like(points)
    if not rests:
        spans = durations[:, :-1] + durations[:, 1:]  # [N, S - 1]
        velocities[:, 1:-1] = (points[:, 2:] - points[:, :-2]) / spans[:, :, None]
        velocities[np.arange(points.shape[1]) >= last] = 0.0
    return velocities
