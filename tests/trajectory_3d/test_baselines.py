"""Baselines against numpy.polyfit, exact motions and noise they must survive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from examples.trajectory_3d.baselines import (
    LastValue,
    PolynomialExtrapolation,
    choose_fit_lengths,
    constant_acceleration,
    constant_velocity,
    extrapolation_matrix,
    standard_baselines,
)

RNG = np.random.default_rng(11)


def polynomial_paths(count, degree, length, seed=0):
    """Random polynomial motion of the given degree, [count, length, 3]."""
    rng = np.random.default_rng(seed)
    times = np.linspace(0.0, 1.0, length)
    coefficients = rng.normal(size=(count, degree + 1, 3))
    powers = times[:, None] ** np.arange(degree + 1)  # [length, degree + 1]
    return powers @ coefficients


def polyfit_forecast(points, count, degree, horizon):
    """One coordinate of one window at a time, through numpy's polynomial fit."""
    past, future = np.arange(-count + 1, 1), np.arange(1, horizon + 1)
    result = np.empty((len(points), horizon, 3))
    for window in range(len(points)):
        for axis in range(3):
            result[window, :, axis] = Polynomial.fit(past, points[window, -count:, axis], degree)(future)
    return result


@pytest.mark.parametrize(("degree", "count"), [(1, 2), (1, 7), (1, 24), (2, 3), (2, 5), (2, 48)])
def test_extrapolation_matrix_is_the_least_squares_fit(degree, count):
    points = RNG.normal(size=(4, 50, 3))
    expected = polyfit_forecast(points, count, degree, 12)
    actual = extrapolation_matrix(count, degree, 12) @ points[:, -count:]
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", [constant_velocity, constant_acceleration])
def test_forecast_is_the_fit_of_the_chosen_length_for_every_window(make):
    forecaster = make()
    smooth = polynomial_paths(12, 4, 60)
    context = smooth + RNG.normal(scale=0.02, size=smooth.shape) * np.linspace(0, 4, 12)[:, None, None]
    choice = choose_fit_lengths(context, 10, forecaster.degree, forecaster.candidates)
    assert len(set(choice.tolist())) > 1  # the windows differ enough to prefer different fits
    forecast = forecaster.forecast(context, 10).mean
    for window, index in enumerate(choice):
        count = forecaster.candidates[index]
        expected = polyfit_forecast(context[window : window + 1], count, forecaster.degree, 10)
        np.testing.assert_allclose(forecast[window], expected[0], rtol=1e-9, atol=1e-9)


def naive_choice(points, horizon, degree, fits, moments=8):
    """Back-test one window at a time, as described in docs/metrics.md."""
    length = len(points)
    held_out = max(1, min((horizon + 1) // 2, length // 2))
    best, best_error = None, np.inf
    for index, count in enumerate(fits):
        errors = []
        for end in range(length - held_out, length - held_out - moments, -1):
            if end >= count:
                guess = polyfit_forecast(points[None, :end], count, degree, held_out)[0]
                errors.append(np.linalg.norm(guess - points[end : end + held_out], axis=-1).mean())
        if errors and np.mean(errors) < best_error:
            best, best_error = index, np.mean(errors)
    return best


@pytest.mark.parametrize(("degree", "length"), [(1, 40), (2, 40), (1, 9), (2, 9)])
def test_choice_equals_a_back_test_of_each_window_alone(degree, length):
    fits = [3, 5, 8, 16] if length > 16 else [3, 5]
    points = polynomial_paths(6, 5, length) + RNG.normal(scale=0.03, size=(6, length, 3))
    choice = choose_fit_lengths(points, 7, degree, fits)
    assert choice.tolist() == [naive_choice(window, 7, degree, fits) for window in points]


@given(length=st.integers(2, 80), horizon=st.integers(1, 40), seed=st.integers(0, 1000))
def test_exact_on_uniform_motion(length, horizon, seed):
    path = polynomial_paths(3, 1, length + horizon, seed)
    context, future = path[:, :length], path[:, length:]
    np.testing.assert_allclose(constant_velocity().forecast(context, horizon).mean, future, atol=1e-7)


@given(length=st.integers(3, 80), horizon=st.integers(1, 40), seed=st.integers(0, 1000))
def test_exact_on_uniformly_accelerated_motion(length, horizon, seed):
    path = polynomial_paths(3, 2, length + horizon, seed)
    context, future = path[:, :length], path[:, length:]
    np.testing.assert_allclose(constant_acceleration().forecast(context, horizon).mean, future, atol=1e-6)


def test_last_value_stays_at_the_last_point():
    context = RNG.normal(size=(4, 9, 3)).astype(np.float32)
    forecast = LastValue().forecast(context, 5).mean
    np.testing.assert_array_equal(forecast, np.broadcast_to(context[:, -1:], (4, 5, 3)))


@pytest.mark.parametrize("forecaster", standard_baselines(), ids=lambda f: f.name)
def test_one_point_stays_where_it_is(forecaster):
    forecast = forecaster.forecast(np.full((2, 1, 3), 1.5), 4).mean
    np.testing.assert_allclose(forecast, 1.5)


def test_two_points_give_a_velocity_even_to_constant_acceleration():
    context = np.array([[[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]])
    for forecaster in (constant_velocity(), constant_acceleration()):
        np.testing.assert_allclose(forecaster.forecast(context, 2).mean[0, -1], [3.0, 6.0, 9.0])


def test_noise_does_not_ruin_the_fitted_velocity():
    """A two-point velocity errs by about noise * sqrt(2) per step; the back-tested fit by far less."""
    path = polynomial_paths(300, 1, 80)
    context = path[:, :64] + RNG.normal(scale=0.02, size=(300, 64, 3))
    two_point = PolynomialExtrapolation("two points", 1, (2,))

    def error(forecaster):
        return np.linalg.norm(forecaster.forecast(context, 16).mean - path[:, 64:], axis=-1).mean()

    assert error(two_point) > 0.2
    assert error(constant_velocity()) < 0.1 * error(two_point)


def test_back_test_prefers_short_fits_on_curves_and_long_ones_on_noise():
    times = np.linspace(0, 4 * np.pi, 64)
    curve = np.stack([np.cos(times), np.sin(times), times], axis=-1)[None]
    noisy_line = polynomial_paths(1, 1, 64) + RNG.normal(scale=0.05, size=(1, 64, 3))
    forecaster = constant_velocity()
    on_curve, on_noise = (
        forecaster.candidates[choose_fit_lengths(points, 16, 1, forecaster.candidates)[0]]
        for points in (curve, noisy_line)
    )
    assert on_curve <= 3
    assert on_noise >= 16


def test_windows_do_not_influence_each_other():
    context = polynomial_paths(20, 3, 40) + RNG.normal(scale=0.01, size=(20, 40, 3))
    for forecaster in standard_baselines():
        together = forecaster.forecast(context, 8).mean
        alone = np.concatenate([forecaster.forecast(window[None], 8).mean for window in context])
        np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-12)


def test_an_empty_batch_gives_an_empty_forecast():
    for forecaster in standard_baselines():
        assert forecaster.forecast(np.zeros((0, 10, 3)), 4).mean.shape == (0, 4, 3)


def test_names_are_those_of_the_reports():
    assert [f.name for f in standard_baselines()] == [
        "last value",
        "constant velocity",
        "constant acceleration",
    ]


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"context must have shape \[B, L, 3\].*got \[5, 3\]"):
        LastValue().forecast(np.zeros((5, 3)), 2)
    with pytest.raises(ValueError, match="horizon must be at least 1 step, got 0"):
        constant_velocity().forecast(np.zeros((1, 5, 3)), 0)
    with pytest.raises(ValueError, match="more than 2 points"):
        PolynomialExtrapolation("quadratic", 2, (2, 3))
    with pytest.raises(ValueError, match="degree must be at least 1"):
        PolynomialExtrapolation("flat", 0, (2,))
