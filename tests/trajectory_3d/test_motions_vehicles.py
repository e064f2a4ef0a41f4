"""Random forces and legs of vehicles against closed forms, quadrature and matrix exponentials."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad_vec

from examples.trajectory_3d.motions import legs, random_forces
from examples.trajectory_3d.motions.legs import _turn_integrals
from examples.trajectory_3d.motions.random_forces import _exact_step

TIMES = np.arange(40) / 50.0


def fixed(value):
    return (value, value)


# Random forces


@given(tau=st.floats(0.5, 1e4), size=st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_steps_are_those_of_the_matrix_exponential(tau, size):
    """C. Van Loan, IEEE Trans. AC-23, 395 (1978): transition and noise from one exponential."""
    drift = np.diag(np.ones(size - 1), 1)
    drift[-1, -1] = -1.0 / tau
    block = np.zeros((2 * size, 2 * size))
    block[:size, :size], block[size:, size:] = -drift, drift.T
    block[size - 1, -1] = 2.0 / tau
    exponential = scipy.linalg.expm(block)
    transition = exponential[size:, size:].T
    ours, factor = _exact_step(np.array([tau]), size)
    np.testing.assert_allclose(ours[0], transition, atol=1e-14)
    np.testing.assert_allclose(factor[0] @ factor[0].T, transition @ exponential[:size, size:], rtol=1e-11)


def draw(derivative, tau, count=20_000, cruise=1e-9):
    times = np.arange(12) * 0.1
    path = random_forces(
        np.random.default_rng(1),
        count,
        times,
        derivative=fixed(derivative),
        correlation_time=fixed(tau),
        wander=fixed(2.0),
        cruise=fixed(cruise),
        flatness=fixed(1.0),
    )
    return times, path


def test_a_hovering_position_forgets_exponentially():
    times, path = draw(0, 0.4)
    covariance = (path[:, :1] * path).mean(axis=(0, 2)) / (path[:, :1] ** 2).mean()
    np.testing.assert_allclose(covariance, np.exp(-times / 0.4), atol=0.02)
    variance = (path**2).mean(axis=(0, 2))
    np.testing.assert_allclose(variance, variance[0], rtol=0.03)  # in equilibrium from the start
    # The share of each axis is uniform in [0.3, 1], so the mean square is (1 + 0.3 + 0.09) / 3 of s^2.
    assert variance.mean() == pytest.approx(4.0 * 1.39 / 3.0, rel=0.02)


def test_langevin_particles_disperse_as_uhlenbeck_and_ornstein_say():
    times, path = draw(1, 0.4)
    x = times / 0.4
    expected = 2.0 * 4.0 * (1.39 / 3.0) * 0.4**2 * (x - 1.0 + np.exp(-x))
    np.testing.assert_allclose((path**2).mean(axis=(0, 2))[1:], expected[1:], rtol=0.03)


def test_singer_targets_disperse_as_their_autocorrelation_says():
    """The variance of position is the double integral of (t - u) (t - v) s^2 e^(-|u - v| / tau)."""
    times, path = draw(2, 0.4)
    for index in (3, 11):
        t = times[index]
        integral, _ = dblquad(
            lambda u, v, t=t: 2.0 * (t - u) * (t - v) * np.exp(-(v - u) / 0.4), 0, t, 0, lambda v: v
        )
        expected = 4.0 * (1.39 / 3.0) * integral
        assert (path[:, index] ** 2).mean() == pytest.approx(expected, rel=0.03)


def test_cruising_paths_keep_their_mean_velocity():
    times, path = draw(1, 0.1, count=400, cruise=50.0)
    velocity = (path[:, -1] - path[:, 0]) / times[-1]
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=1), 50.0, rtol=0.1)


def test_a_faster_clock_is_a_longer_memory():
    """tau counts in seconds: at half the step neighbouring samples are more alike."""
    common = {"derivative": (0, 0), "correlation_time": fixed(0.2)}
    rows = np.stack([np.arange(30) * 0.1, np.arange(30) * 0.05]).repeat(2_000, axis=0)
    path = random_forces(np.random.default_rng(2), 4_000, rows, **common)
    alike = (path[:, 1:] * path[:, :-1]).mean(axis=(1, 2)) / (path**2).mean(axis=(1, 2))
    assert np.median(alike[:2_000]) < np.median(alike[2_000:])
    both = [(group[:, 1:] * group[:, :-1]).sum() / (group[:, 1:] ** 2).sum() for group in np.split(path, 2)]
    np.testing.assert_allclose(both, np.exp([-0.5, -0.25]), atol=0.03)


# Legs

PLANE = {"climb": fixed(0.0), "stop_share": 0.0}


@given(angle=st.one_of(st.floats(-30, 30), st.floats(-0.02, 0.02)))
@settings(deadline=None)
def test_turn_integrals_match_quadrature(angle):
    ours = _turn_integrals(np.array([angle]))
    first, _ = quad_vec(lambda u: np.exp(1j * angle * u), 0, 1, epsabs=1e-13)
    second, _ = quad_vec(lambda u: u * np.exp(1j * angle * u), 0, 1, epsabs=1e-13)
    np.testing.assert_allclose([ours[0][0], ours[1][0]], [first, second], atol=1e-12)


def test_straight_legs_stay_on_a_line():
    path = legs(np.random.default_rng(0), 50, TIMES, straight_share=1.0, **PLANE)
    centred = path - path.mean(axis=1, keepdims=True)
    values = np.linalg.svd(centred, compute_uv=False)
    assert (values[:, 1] < 1e-12 * values[:, 0]).all()


def test_one_long_turn_is_a_circle_of_radius_speed_over_rate():
    times = np.arange(200) / 100.0
    options = {"duration": fixed(1e6), "speed": fixed(3.0), "turn_rate": fixed(4.0), "straight_share": 0.0}
    path = legs(np.random.default_rng(1), 30, times, **options, **PLANE)
    speed = np.linalg.norm(np.diff(path, axis=1), axis=2) * 100.0 / np.sinc(4.0 / 100.0 / (2.0 * np.pi))
    np.testing.assert_allclose(speed, speed[:, :1].repeat(199, axis=1), rtol=1e-4)
    heading = np.unwrap(np.arctan2(*np.diff(path[..., :2], axis=1).T[::-1]), axis=0)
    np.testing.assert_allclose(np.abs(np.diff(heading, axis=0)), 4.0 / 100.0, rtol=1e-4)


def test_speed_and_heading_are_continuous_and_legs_change_them():
    step = 1e-4
    path = legs(np.random.default_rng(2), 20, np.arange(8_000) * step, duration=fixed(0.2), speed=fixed(2.0))
    velocity = np.diff(path[..., :2], axis=1) / step
    assert np.abs(np.diff(velocity, axis=1)).max() < 0.02  # no jump: (20 m/s^2 + 2 m/s * 6 rad/s) * 1e-4 s
    assert np.linalg.norm(velocity, axis=2).max() <= 2.0 + 1e-9
    second = np.abs(np.diff(velocity, 2, axis=1)).max(axis=2) > 1e-5  # kinks, where legs meet
    assert np.median(second.sum(axis=1)) / 2 >= 2


def test_stops_stop():
    path = legs(np.random.default_rng(3), 30, TIMES, stop_share=1.0)
    np.testing.assert_array_equal(path, np.zeros_like(path))


def test_climbs_follow_the_gradient():
    path = legs(np.random.default_rng(4), 200, TIMES, climb=fixed(0.3), straight_share=1.0, stop_share=0.0)
    steps = np.diff(path, axis=1)
    gradient = np.abs(steps[..., 2]) / np.linalg.norm(steps[..., :2], axis=2)
    assert gradient.max() <= 0.3 + 1e-9
    assert gradient.max() > 0.28
