"""Kalman forecasters against generalised least squares, a textbook loop and simulated motion."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.special import ndtr

from examples.trajectory_3d.baselines import kalman_constant_acceleration, kalman_constant_velocity
from examples.trajectory_3d.baselines.kalman import (
    KalmanForecaster,
    diffuse_start,
    position_variances,
    process_covariance,
    run_filters,
    transition_matrix,
)


def van_loan(order):
    """Transition and process covariance of an integrator chain over unit time, by one matrix exponential.

    Source: Van Loan, IEEE Trans. Automatic Control 23, 1978.
    """
    drift = np.diag(np.ones(order - 1), 1)
    noise = np.zeros((order, order))
    noise[-1, -1] = 1.0
    block = expm(np.block([[-drift, noise], [np.zeros((order, order)), drift.T]]))
    transition = block[order:, order:].T
    return transition, transition @ block[:order, order:]


def joint_covariance(order, ratio, count):
    """Covariance of `count` true positions that start at a known state, [count, count], by simulation of
    the linear map from all disturbances to all positions."""
    F, Q = van_loan(order)
    root = np.linalg.cholesky(Q)
    response = np.zeros((count, count, order))  # [position, time of disturbance, disturbance]
    for start in range(1, count):
        state = root
        for later in range(start, count):
            response[later, start] = state[0]
            state = F @ state
    flat = response.reshape(count, -1)
    return ratio * flat @ flat.T


def by_least_squares(series, order, ratio, horizon):
    """Best linear unbiased forecast (universal kriging) of one series, its variance, and the restricted
    log-likelihood with the noise variance profiled out."""
    length = len(series)
    total = length + horizon
    design = np.vander(np.arange(total, dtype=float), order, increasing=True)
    covariance = joint_covariance(order, ratio, total)
    known = covariance[:length, :length] + np.eye(length)
    inverse = np.linalg.inv(known)
    X, x = design[:length], design[length:]
    gram = X.T @ inverse @ X
    beta = np.linalg.solve(gram, X.T @ inverse @ series)
    cross = covariance[length:, :length] @ inverse
    residual = series - X @ beta
    gap = x - cross @ X
    variance = np.diag(
        covariance[length:, length:]
        - cross @ covariance[:length, length:]
        + gap @ np.linalg.solve(gram, gap.T)
    )
    freedom = length - order
    sigma2 = residual @ inverse @ residual / freedom
    likelihood = -0.5 * (freedom * np.log(sigma2) + np.linalg.slogdet(known)[1] + np.linalg.slogdet(gram)[1])
    return x @ beta + cross @ residual, variance, sigma2, likelihood


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_motion_model_is_the_integrated_white_noise(order):
    transition, covariance = van_loan(order)
    np.testing.assert_allclose(transition_matrix(order), transition, atol=1e-12)
    np.testing.assert_allclose(process_covariance(order), covariance, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("ratio", [1e-5, 1e-2, 1.0, 30.0])
def test_filter_is_the_best_linear_unbiased_forecast(order, ratio):
    """Mean, variance and noise of every axis, from the first innovation on: the start is exact."""
    rng = np.random.default_rng(order)
    for length in (order + 1, order + 2, 17):
        points = np.cumsum(rng.normal(size=(1, length, 3)), axis=1)
        filtered = run_filters(points, order, (ratio,))
        forecaster = KalmanForecaster("one ratio", order, (ratio,))
        mean, std = forecaster.distribution(points, 5)
        expected = [by_least_squares(points[0, :, axis], order, ratio, 5) for axis in range(3)]
        np.testing.assert_allclose(mean[0], np.stack([e[0] for e in expected], axis=1), rtol=1e-6, atol=1e-6)
        variances = position_variances(order, (ratio,), length, 5)[0]
        np.testing.assert_allclose(variances, expected[0][1], rtol=1e-5)  # the reference is ill-conditioned
        sigma2 = np.mean([e[2] for e in expected])
        np.testing.assert_allclose(filtered.noise_variance[0, 0], sigma2, rtol=1e-6)
        np.testing.assert_allclose(std[0], np.sqrt(sigma2 * variances), rtol=1e-5)


def test_filters_equal_a_textbook_loop():
    """Predict and update one series at a time with the plain formulas, from the same start."""
    rng = np.random.default_rng(5)
    points = rng.normal(size=(3, 12, 3)).cumsum(axis=1)
    ratios = (1e-3, 10.0)
    filtered = run_filters(points, 3, ratios)
    F = transition_matrix(3)
    H = np.array([[1.0, 0.0, 0.0]])
    for r, ratio in enumerate(ratios):
        for window in range(3):
            for axis in range(3):
                series = points[window, :, axis]
                start, P = diffuse_start(3, ratio)
                x = start @ series[:3]
                for value in series[3:]:
                    x, P = F @ x, F @ P @ F.T + ratio * process_covariance(3)
                    S = H @ P @ H.T + 1.0
                    K = P @ H.T / S
                    x, P = x + (K * (value - H @ x)).ravel(), P - K @ H @ P
                np.testing.assert_allclose(filtered.state[r, window, :, axis], x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("order", [2, 3])
def test_likelihood_is_the_restricted_one(order):
    series = np.random.default_rng(2).normal(size=20).cumsum()
    points = np.repeat(series[None, :, None], 3, axis=2)  # three equal axes: thrice the likelihood of one
    ratios = (1e-4, 1e-2, 1.0, 100.0)
    actual = run_filters(points, order, ratios).log_likelihood[:, 0]
    expected = np.array([3.0 * by_least_squares(series, order, ratio, 1)[3] for ratio in ratios])
    np.testing.assert_allclose(actual - actual[0], expected - expected[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("order", [2, 3])
def test_stated_intervals_hold_on_motion_of_the_model(order):
    """Simulated from the model itself, so that coverage is known: 80 % at each step."""
    rng = np.random.default_rng(7)
    F, Q = van_loan(order)
    root = np.linalg.cholesky(1e-2 * Q)
    state = np.zeros((400, 3, order))
    truth = np.empty((400, 76, 3))
    for step in range(76):
        truth[:, step] = state[..., 0]
        state = state @ F.T + rng.normal(size=state.shape) @ root.T
    context = truth[:, :64] + rng.normal(size=(400, 64, 3))
    forecast = KalmanForecaster("k", order).forecast(context, 12)
    inside = (forecast.quantiles[0.1] <= truth[:, 64:]) & (truth[:, 64:] <= forecast.quantiles[0.9])
    # 1200 coordinates a step, of which those of a window share one estimated ratio.
    assert np.all(np.abs(inside.mean(axis=(0, 2)) - 0.8) < 0.05)


def test_chosen_ratio_follows_the_noise():
    rng = np.random.default_rng(3)
    ratios = (1e-6, 1e-3, 1.0, 1e3)
    line = np.arange(64.0)[None, :, None] + rng.normal(size=(50, 64, 3))
    walk = np.cumsum(np.cumsum(rng.normal(size=(50, 64, 3)), axis=1), axis=1)
    calm, wild = (run_filters(points, 2, ratios).log_likelihood.argmax(axis=0) for points in (line, walk))
    assert np.all(calm <= 1)
    assert np.all(wild >= 2)


@pytest.mark.parametrize(
    ("make", "degree"), [(kalman_constant_velocity, 1), (kalman_constant_acceleration, 2)]
)
def test_exact_on_the_motion_it_assumes(make, degree):
    times = np.arange(40.0)[:, None]
    path = (np.array([3.0, -2.0, 1.0]) * times**degree / 30 + times - 5.0)[None]
    forecast = make().forecast(path[:, :24], 16)
    np.testing.assert_allclose(forecast.mean, path[:, 24:], atol=1e-8)
    # Certain up to rounding.
    np.testing.assert_allclose(forecast.quantiles[0.9], path[:, 24:], atol=1e-6)


def test_uncertainty_grows_with_the_horizon_and_with_the_unit():
    context = np.random.default_rng(1).normal(size=(5, 30, 3)).cumsum(axis=1)
    forecast = kalman_constant_velocity().forecast(context, 20)
    width = forecast.quantiles[0.9] - forecast.quantiles[0.1]
    assert np.all(np.diff(width, axis=1) > 0)
    scaled = kalman_constant_velocity().forecast(1024.0 * context, 20)
    np.testing.assert_array_equal(scaled.quantiles[0.9], 1024.0 * forecast.quantiles[0.9])
    # Quantiles are those of a normal distribution about the mean.
    std = (forecast.quantiles[0.9] - forecast.mean) / 1.2815515655446004
    np.testing.assert_allclose(ndtr((forecast.quantiles[0.25] - forecast.mean) / std), 0.25, atol=1e-9)


def test_short_contexts_lower_the_order():
    points = np.array([[[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]])
    one = kalman_constant_acceleration().forecast(points[:, :1], 2)
    assert one.quantiles is None
    np.testing.assert_array_equal(one.mean, np.zeros((1, 2, 3)))
    for length in (2, 3):
        forecast = kalman_constant_acceleration().forecast(points[:, :length], 2)
        assert np.all(forecast.quantiles[0.9] > forecast.quantiles[0.1])
        lower = KalmanForecaster("lower", length - 1).forecast(points[:, :length], 2)
        np.testing.assert_array_equal(forecast.mean, lower.mean)


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="noise ratios above 0"):
        KalmanForecaster("k", 2, (0.0, 1.0))
    with pytest.raises(ValueError, match="order >= 1"):
        KalmanForecaster("k", 0)
    with pytest.raises(ValueError, match=r"context must have shape \[B, L, 3\]"):
        kalman_constant_velocity().forecast(np.zeros((4, 3)), 2)
