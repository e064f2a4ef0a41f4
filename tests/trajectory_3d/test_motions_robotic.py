"""Robot paths: waypoints, smoothness at the joints, rests and ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BPoly

from examples.trajectory_3d.motions import robotic
from examples.trajectory_3d.motions.robotic import draw_robot_paths

EPSILON = 1e-6


def arrivals(paths, n):
    """Times at which motion n reaches waypoints 1, 2, ..."""
    last = paths.counts[n] - 1
    return paths.departures[n, :last] + paths.durations[n, :last]


def one_sided_velocities(paths, n, moment):
    """Velocity just before and just after a moment of motion n, each [3]."""
    offsets = np.array([-2, -1, 0, 1, 2]) * EPSILON
    times = np.tile(moment + offsets, (len(paths.counts), 1))
    at = paths.position(times)[n]
    before = (3 * at[2] - 4 * at[1] + at[0]) / (2 * EPSILON)
    after = -(3 * at[2] - 4 * at[3] + at[4]) / (2 * EPSILON)
    return before, after


@given(seed=st.integers(0, 2**32), dwell=st.sampled_from([0.0, 0.3]), most=st.integers(2, 8))
@settings(max_examples=20, deadline=None)
def test_passes_its_waypoints_with_continuous_velocity(seed, dwell, most):
    paths = draw_robot_paths(np.random.default_rng(seed), 4, waypoints=(2, most), dwell=dwell)
    for n in range(4):
        for j, moment in enumerate(arrivals(paths, n), start=1):
            position = paths.position(np.full((4, 1), moment))[n, 0]
            np.testing.assert_allclose(position, paths.waypoints[n, j], atol=1e-12)
            before, after = one_sided_velocities(paths, n, moment)
            np.testing.assert_allclose(before, after, atol=2e-3)
            np.testing.assert_allclose(before, paths.velocities[n, j], atol=2e-3)


def test_inner_waypoints_are_passed_in_motion_without_dwell():
    paths = draw_robot_paths(np.random.default_rng(0), 200)
    inner = np.arange(1, 8) < paths.counts[:, None] - 1
    speed = np.linalg.norm(paths.velocities[:, 1:], axis=2)
    assert np.median(speed[inner]) > 0.3
    assert (speed[~inner] == 0).all()
    assert (paths.velocities[:, 0] == 0).all()


def test_position_agrees_with_scipys_bernstein_polynomials():
    paths = draw_robot_paths(np.random.default_rng(1), 6, waypoints=(3, 6))
    for n in range(6):
        segments = paths.counts[n] - 1
        knots = np.concatenate([[0.0], arrivals(paths, n)])
        control = paths.control_points()[n, :segments].transpose(1, 0, 2)  # [4, segments, 3]
        curve = BPoly(control, knots)
        times = np.linspace(0.0, knots[-1], 300)
        ours = paths.position(np.tile(times, (6, 1)))[n]
        np.testing.assert_allclose(ours, curve(times), atol=1e-12)


def test_dwell_holds_still_for_its_time():
    dwell = 0.25
    paths = draw_robot_paths(np.random.default_rng(2), 20, waypoints=(4, 8), dwell=dwell)
    for n in range(20):
        for j, moment in enumerate(arrivals(paths, n)[:-1], start=1):
            during = np.tile(np.linspace(moment, moment + dwell, 9), (20, 1))
            held = paths.position(during)[n]
            np.testing.assert_allclose(held, np.tile(paths.waypoints[n, j], (9, 1)), atol=1e-12)
            outside = np.tile([moment - 0.1, moment + dwell + 0.1], (20, 1))
            moved = paths.position(outside)[n] - paths.waypoints[n, j]
            assert (np.linalg.norm(moved, axis=1) > 1e-3).all()


def test_rests_before_the_start_and_after_the_end():
    paths = draw_robot_paths(np.random.default_rng(3), 10)
    after = paths.total_duration[:, None] + np.array([0.0, 0.5, 50.0])
    rows = np.arange(10)
    goal = paths.waypoints[rows, paths.counts - 1]
    np.testing.assert_allclose(paths.position(after), np.repeat(goal[:, None], 3, axis=1), atol=1e-12)
    np.testing.assert_allclose(
        paths.position(np.full((10, 1), -1.0))[:, 0], paths.waypoints[:, 0], atol=1e-12
    )


def test_waypoint_counts_and_box_are_respected():
    paths = draw_robot_paths(np.random.default_rng(4), 500, box=(-0.5, 2.0))
    assert set(paths.counts) == {3, 4, 5, 6, 7, 8}
    assert paths.waypoints.min() >= -0.5
    assert paths.waypoints.max() <= 2.0


def test_windows_stay_inside_the_motion_when_it_is_long_enough():
    """Eight waypoints 1 s apart take 7 s: no 1.6 s window is held at an end for its last half second."""
    options = {"waypoints": (8, 8), "segment_duration": (1.0, 1.0)}
    path = robotic(np.random.default_rng(5), 300, np.arange(80) / 50.0, **options)
    moved = np.linalg.norm(path[:, -1] - path[:, -25], axis=1)
    assert (moved > 1e-3).all()


def test_short_motions_are_held_at_the_last_waypoint():
    options = {"waypoints": (3, 3), "segment_duration": (0.2, 0.3)}
    path = robotic(np.random.default_rng(6), 50, np.arange(80) / 50.0, **options)  # motion takes <= 0.6 s
    np.testing.assert_allclose(path[:, 31:], np.repeat(path[:, 31:32], 49, axis=1), atol=1e-12)
    assert (np.linalg.norm(path[:, 0] - path[:, 31], axis=1) > 1e-2).all()


def test_windows_have_no_jumps():
    """Steps shrink in proportion to the sampling step, over every joint."""

    def largest_step(rate):
        times = np.arange(int(1.6 * rate)) / rate
        path = robotic(np.random.default_rng(7), 100, times)
        return np.linalg.norm(np.diff(path, axis=1), axis=2).max()

    assert largest_step(1000.0) == pytest.approx(largest_step(4000.0) * 4, rel=0.05)
