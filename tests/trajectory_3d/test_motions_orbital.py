"""Orbits against Newton's law and Kepler's laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from examples.trajectory_3d.motions import orbital
from examples.trajectory_3d.motions.orbital import eccentric_anomaly

MU = 67.7


def five_point_derivatives(path, step):
    """Velocity and acceleration of [N, T, 3] at the inner points, errors of order step^4."""
    a, b, c, d, e = (path[:, i : path.shape[1] - 4 + i] for i in range(5))
    velocity = (a - 8 * b + 8 * d - e) / (12 * step)
    acceleration = (-a + 16 * b - 30 * c + 16 * d - e) / (12 * step**2)
    return c, velocity, acceleration


@pytest.fixture(scope="module")
def motion():
    """Positions, velocities and accelerations of 60 orbits over 1.6 s."""
    step = 5e-4
    path = orbital(np.random.default_rng(0), 60, np.arange(3200) * step)
    return five_point_derivatives(path, step)


def test_acceleration_is_newtons(motion):
    position, _, acceleration = motion
    expected = -MU * position / np.linalg.norm(position, axis=2, keepdims=True) ** 3
    error = np.linalg.norm(acceleration - expected, axis=2) / np.linalg.norm(expected, axis=2)
    assert error.max() < 1e-4


def test_angular_momentum_is_conserved(motion):
    position, velocity, _ = motion
    momentum = np.cross(position, velocity)
    change = np.linalg.norm(momentum - momentum[:, :1], axis=2) / np.linalg.norm(momentum[:, :1], axis=2)
    assert change.max() < 1e-6


def test_energy_is_conserved_and_gives_the_semi_major_axis(motion):
    position, velocity, _ = motion
    energy = 0.5 * (velocity**2).sum(axis=2) - MU / np.linalg.norm(position, axis=2)
    axis = -MU / (2 * energy)
    assert (axis.min(axis=1) > 2.0 - 1e-4).all()
    assert (axis.max(axis=1) < 5.0 + 1e-4).all()
    assert (np.ptp(axis, axis=1) / axis[:, 0]).max() < 1e-5


def test_equal_areas_in_equal_times():
    """Areas swept in equal times are equal where speeds differ by a factor of nine."""
    steps = 2000
    period = 2 * np.pi * np.sqrt(3.0**3 / MU)
    path = orbital(
        np.random.default_rng(1),
        5,
        np.arange(steps + 1) * period / steps,
        semi_major_axis=(3.0, 3.0),
        eccentricity=(0.8, 0.8),
    )
    triangles = 0.5 * np.linalg.norm(np.cross(path[:, :-1], path[:, 1:]), axis=2)
    areas = triangles.reshape(5, 20, 100).sum(axis=2)
    ellipse = np.pi * 3.0**2 * np.sqrt(1 - 0.8**2)
    np.testing.assert_allclose(areas, ellipse / 20, rtol=2e-3)
    np.testing.assert_allclose(path[:, 0], path[:, -1], atol=1e-11)  # closes after one period
    speed = np.linalg.norm(np.diff(path, axis=1), axis=2)
    np.testing.assert_allclose(speed.max(axis=1) / speed.min(axis=1), 9.0, rtol=0.01)


def test_matches_numerical_integration_of_newtons_law():
    times = np.linspace(0.0, 6.0, 121)
    step = 1e-4
    path = orbital(np.random.default_rng(2), 3, np.concatenate([np.arange(-2, 3) * step, times]))
    start, velocity, _ = five_point_derivatives(path[:, :5], step)
    for n in range(3):
        solution = solve_ivp(
            lambda _, y: np.concatenate([y[3:], -MU * y[:3] / np.linalg.norm(y[:3]) ** 3]),
            (0.0, 6.0),
            np.concatenate([start[n, 0], velocity[n, 0]]),
            method="DOP853",
            rtol=1e-11,
            atol=1e-12,
            t_eval=times,
        )
        np.testing.assert_allclose(path[n, 5:], solution.y[:3].T, atol=1e-5)


def test_elements_orient_the_orbit():
    """Inclination tilts the orbit normal; node and argument of periapsis point its periapsis."""
    inclination, node, argument = 0.7, 1.1, 0.4
    period = 2 * np.pi * np.sqrt(2.5**3 / MU)
    path = orbital(
        np.random.default_rng(3),
        2,
        np.linspace(0, period, 20001),
        semi_major_axis=(2.5, 2.5),
        eccentricity=(0.5, 0.5),
        inclination=(inclination,) * 2,
        node=(node,) * 2,
        periapsis=(argument,) * 2,
    )
    normal = np.cross(path[:, 0], path[:, 4000])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    expected = [np.sin(inclination) * np.sin(node), -np.sin(inclination) * np.cos(node), np.cos(inclination)]
    np.testing.assert_allclose(np.abs(normal @ expected), 1.0, atol=1e-12)
    distance = np.linalg.norm(path, axis=2)
    closest = path[np.arange(2), distance.argmin(axis=1)] / (2.5 * 0.5)
    toward = [
        np.cos(node) * np.cos(argument) - np.sin(node) * np.sin(argument) * np.cos(inclination),
        np.sin(node) * np.cos(argument) + np.cos(node) * np.sin(argument) * np.cos(inclination),
        np.sin(argument) * np.sin(inclination),
    ]
    np.testing.assert_allclose(closest, np.broadcast_to(toward, (2, 3)), atol=2e-3)
    np.testing.assert_allclose(distance.max(axis=1), 2.5 * 1.5, rtol=1e-6)


def test_orbit_planes_point_everywhere():
    path = orbital(np.random.default_rng(4), 3000, np.array([0.0, 0.05]))
    normal = np.cross(path[:, 0], path[:, 1])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    np.testing.assert_allclose((normal**2).mean(axis=0), 1 / 3, atol=0.03)


@given(mean=st.floats(-100.0, 100.0), e=st.floats(0.0, 0.99))
@settings(max_examples=300, deadline=None)
def test_keplers_equation_is_solved(mean, e):
    anomaly = eccentric_anomaly(np.array([mean]), np.array([e]))[0]
    assert abs(anomaly - e * np.sin(anomaly) - mean) < 1e-12 * max(1.0, abs(mean))


def test_keplers_equation_on_a_grid_with_the_hard_corner():
    """e near 1 and M near 0, where Newton's method from M diverges."""
    mean = np.concatenate([[0.0], np.logspace(-12, np.log10(np.pi), 400)])
    mean = np.concatenate([-mean[::-1], mean])[None]
    e = np.concatenate([np.linspace(0, 0.9, 10), [0.95, 0.98, 0.99, 0.999]])[:, None]
    anomaly = eccentric_anomaly(mean, e)
    assert np.abs(anomaly - e * np.sin(anomaly) - mean).max() < 1e-13
    for m, ecc in [(0.001, 0.99), (0.3, 0.8), (3.0, 0.5)]:
        root = brentq(lambda x, m=m, ecc=ecc: x - ecc * np.sin(x) - m, 0.0, np.pi, xtol=1e-15)
        assert eccentric_anomaly(np.array([m]), np.array([ecc]))[0] == pytest.approx(root, abs=1e-12)
