"""Densities against scipy.stats and against numerical integrals; forecasts that carry them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from examples.trajectory_3d.densities import LocationScaleDensity
from examples.trajectory_3d.forecasters import (
    QUANTILE_LEVELS,
    PathForecast,
    gaussian_forecast,
    join_forecasts,
)

FAMILIES = {
    "gaussian": (stats.norm, float("inf")),
    "laplace": (stats.laplace, float("inf")),
    "student_t": (stats.t(3.7), 3.7),
}
SHAPE = (2, 4, 3)


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=SHAPE), rng.uniform(0.1, 2.0, size=SHAPE), 2.0 * rng.normal(size=SHAPE)


@pytest.mark.parametrize("family", FAMILIES)
def test_density_probability_and_quantile_agree_with_scipy(family):
    reference, freedom = FAMILIES[family]
    location, scale, points = arrays()
    density = LocationScaleDensity(family, location, scale, freedom)
    standard = (points - location) / scale
    np.testing.assert_allclose(density.log_density(points), reference.logpdf(standard) - np.log(scale))
    np.testing.assert_allclose(density.cdf(points), reference.cdf(standard), atol=1e-14)
    for level in (*QUANTILE_LEVELS, 1e-6):
        np.testing.assert_allclose(
            density.quantile(level), location + scale * reference.ppf(level), atol=1e-12
        )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("truth", [-2.5, 0.0, 0.3, 4.0])
def test_crps_is_the_integral_of_the_squared_difference_of_probabilities(family, truth):
    reference, freedom = FAMILIES[family]
    scale = 0.7
    below, _ = integrate.quad(lambda x: reference.cdf(x / scale) ** 2, -np.inf, truth)
    above, _ = integrate.quad(lambda x: reference.sf(x / scale) ** 2, truth, np.inf)
    density = LocationScaleDensity(family, np.zeros((1, 1, 3)), np.full((1, 1, 3), scale), freedom)
    np.testing.assert_allclose(density.crps(np.full((1, 1, 3), truth)), below + above, rtol=1e-6)


def test_student_t_without_a_mean_has_no_closed_crps():
    density = LocationScaleDensity("student_t", np.zeros(SHAPE), np.ones(SHAPE), 0.9)
    assert np.isnan(density.crps(np.ones(SHAPE))).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_certainty_is_the_limit_of_small_scales(family):
    freedom = FAMILIES[family][1]
    location, _, points = arrays()
    certain = LocationScaleDensity(family, location, np.zeros(SHAPE), freedom)
    nearly = LocationScaleDensity(family, location, np.full(SHAPE, 1e-12), freedom)
    np.testing.assert_allclose(certain.crps(points), nearly.crps(points), rtol=1e-9)
    np.testing.assert_allclose(certain.cdf(points), nearly.cdf(points), atol=1e-9)
    assert (certain.log_density(points) == -np.inf).all()
    assert (certain.log_density(location) == np.inf).all()
    assert (certain.cdf(location) == 0.5).all()


@given(st.sampled_from(list(FAMILIES)), st.floats(1e-3, 1e3), st.floats(-1e6, 1e6))
def test_scores_move_with_shift_and_scale(family, factor, shift):
    freedom = FAMILIES[family][1]
    location, scale, points = arrays()
    density = LocationScaleDensity(family, location, scale, freedom)
    moved = LocationScaleDensity(family, factor * location + shift, factor * scale, freedom)
    at = factor * points + shift
    rounding = 1e-6 * factor + 1e-12 * abs(shift)
    np.testing.assert_allclose(moved.crps(at), factor * density.crps(points), rtol=1e-6, atol=rounding)
    np.testing.assert_allclose(
        moved.log_density(at), density.log_density(points) - np.log(factor), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cauchy", np.zeros(SHAPE), np.ones(SHAPE)), "unknown family 'cauchy'; known"),
        (("gaussian", np.zeros(SHAPE), np.ones((2, 4, 1))), r"must both have shape \[B, H, 3\]"),
        (("gaussian", np.zeros(SHAPE), np.full(SHAPE, -1.0)), r">= 0, got -1.0 at index \[0, 0, 0\]"),
        (("gaussian", np.zeros(SHAPE), np.full(SHAPE, np.nan)), ">= 0, got nan"),
        (("student_t", np.zeros(SHAPE), np.ones(SHAPE)), "student_t needs finite degrees_of_freedom"),
    ],
)
def test_impossible_densities_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocationScaleDensity(*arguments)


def test_wrong_points_levels_and_partners_are_refused():
    density = LocationScaleDensity("gaussian", np.zeros(SHAPE), np.ones(SHAPE))
    with pytest.raises(ValueError, match=r"points have shape \[2, 4\]"):
        density.cdf(np.zeros((2, 4)))
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        density.quantile(1.0)
    with pytest.raises(ValueError, match="differ in kind"):
        density.joined([LocationScaleDensity("laplace", np.zeros(SHAPE), np.ones(SHAPE))])


def test_gaussian_forecast_states_quantiles_and_density():
    mean, std, points = arrays()
    forecast = gaussian_forecast(mean, std)
    assert tuple(forecast.quantiles) == QUANTILE_LEVELS
    np.testing.assert_allclose(forecast.quantiles[0.9], stats.norm.ppf(0.9, mean, std))
    np.testing.assert_allclose(forecast.density.log_density(points), stats.norm.logpdf(points, mean, std))


def test_a_forecast_cut_in_pieces_and_joined_is_the_same():
    mean, std, points = arrays()
    samples = np.random.default_rng(1).normal(size=(2, 5, 4, 3))
    whole = gaussian_forecast(mean, std)
    whole = PathForecast(whole.mean, whole.quantiles, np.arange(8).reshape(2, 4), samples, whole.density)
    joined = join_forecasts([whole.select([0]), whole.select(slice(1, 2))])
    np.testing.assert_array_equal(joined.mean, whole.mean)
    np.testing.assert_array_equal(joined.samples, samples)
    np.testing.assert_array_equal(joined.expert_ids, whole.expert_ids)
    np.testing.assert_array_equal(joined.quantiles[0.1], whole.quantiles[0.1])
    np.testing.assert_array_equal(joined.density.cdf(points), whole.density.cdf(points))
    partly = join_forecasts([whole.select([0]), PathForecast(mean[1:])])
    assert (partly.samples, partly.density, partly.quantiles, partly.expert_ids) == (None,) * 4
    with pytest.raises(ValueError, match="at least one forecast"):
        join_forecasts([])


def test_parts_of_other_shapes_are_refused():
    mean, std, _ = arrays()
    for shape in ((2, 4, 3), (2, 0, 4, 3), (2, 5, 3, 3), (1, 5, 4, 3), (2, 5, 4, 2)):
        with pytest.raises(ValueError, match=r"S >= 1 whole paths per window, \[2, S, 4, 3\]"):
            PathForecast(mean, samples=np.zeros(shape))
    with pytest.raises(ValueError, match=r"density speaks of \[2, 4, 3\]"):
        PathForecast(mean[:1], density=gaussian_forecast(mean, std).density)
