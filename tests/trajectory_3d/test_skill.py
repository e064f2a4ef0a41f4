"""The headline figure and its companions against hand-made cases and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from examples.trajectory_3d.bootstrap import bootstrap_means, percentile_interval
from examples.trajectory_3d.skill import (
    SMALLEST_RATIO,
    context_std,
    normalised_distance,
    score_skill,
    valid_fraction,
)


def test_spread_of_a_context_is_one_number_for_three_axes():
    # +-1 on x, +-2 on y, nothing on z: mean variance (1 + 4 + 0) / 3.
    context = np.array([[[1.0, 2.0, 5.0], [-1.0, -2.0, 5.0]]])
    assert context_std(context) == pytest.approx(np.sqrt(5 / 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("place", [0.0, 0.1, 6.4e6, -1e7])
def test_a_body_at_rest_has_no_spread_wherever_it_rests(dtype, place):
    context = np.full((2, 33, 3), place, dtype=dtype)
    assert (context_std(context) == 0.0).all()
    if place:
        jitter = context.copy()
        jitter[:, 1::2] = np.nextafter(jitter[:, 1::2], dtype(np.inf))  # the last digit is no motion
        assert (context_std(jitter) == 0.0).all()


@given(st.floats(1e-3, 1e3), st.floats(-1e6, 1e6))
def test_normalised_distance_is_free_of_scale_and_place(factor, shift):
    rng = np.random.default_rng(0)
    context, target, predicted = rng.normal(size=(3, 4, 9, 3))
    one = normalised_distance(predicted, target, context_std(context))
    other = normalised_distance(
        factor * predicted + shift, factor * target + shift, context_std(factor * context + shift)
    )
    np.testing.assert_allclose(other, one, rtol=1e-5)


def test_valid_fraction_stops_at_the_first_excess():
    distance = np.array(
        [
            [0.1, 0.2, 0.3, 0.4],  # 0.4 does not exceed 0.4
            [0.1, 0.5, 0.1, 0.1],  # coming back does not count
            [0.9, 0.0, 0.0, 0.0],
            [np.nan] * 4,
        ]
    )
    np.testing.assert_array_equal(valid_fraction(distance), [1.0, 0.25, 0.0, np.nan])
    np.testing.assert_array_equal(valid_fraction(distance, 0.3), [0.75, 0.25, 0.0, np.nan])


def test_geometric_means_within_and_then_over_types():
    distance = np.array([[0.1, 0.3], [0.8, 0.8], [4.0, 4.0], [np.nan, np.nan]])
    types = {"a": np.array([0, 1]), "b": np.array([2, 3])}
    skill = score_skill(distance, types, seed=0)
    assert skill.gn == pytest.approx(np.sqrt(np.sqrt(0.2 * 0.8) * 4.0))
    assert skill.undefined == 1
    assert skill.valid_fraction == pytest.approx((1.0 + 0.0 + 0.0) / 3)
    assert np.isnan(skill.gn_interval).all()  # one window of type b cannot be resampled


def test_a_type_without_defined_windows_does_not_count():
    distance = np.array([[0.2], [0.2], [np.nan]])
    skill = score_skill(distance, {"a": np.array([0, 1]), "b": np.array([2])}, seed=0)
    assert skill.gn == pytest.approx(0.2)
    assert skill.gn_interval == pytest.approx((0.2, 0.2))


def test_exact_forecasts_count_as_the_smallest_ratio():
    skill = score_skill(np.zeros((3, 2)), {"a": np.arange(3)}, seed=0)
    assert skill.gn == pytest.approx(SMALLEST_RATIO)


def test_interval_of_gn_agrees_with_the_normal_approximation_of_the_logarithm():
    rng = np.random.default_rng(4)
    logs = [rng.normal(-2.0, 0.5, size=300), rng.normal(-1.0, 1.0, size=100)]
    distance = np.exp(np.concatenate(logs))[:, None]
    types = {"a": np.arange(300), "b": np.arange(300, 400)}
    skill = score_skill(distance, types, seed=1)
    centre = np.mean([values.mean() for values in logs])
    error = np.sqrt(sum(values.var() / len(values) for values in logs)) / 2
    low, high = np.log(skill.gn_interval)
    assert np.log(skill.gn) == pytest.approx(centre)
    assert low == pytest.approx(centre - stats.norm.ppf(0.975) * error, abs=0.25 * error)
    assert high == pytest.approx(centre + stats.norm.ppf(0.975) * error, abs=0.25 * error)


def test_resamples_of_types_are_independent():
    values = np.random.default_rng(0).normal(size=200)
    means = [bootstrap_means(values, (0, index)) for index in range(2)]
    assert abs(np.corrcoef(means)[0, 1]) < 0.15  # five standard errors of 1000 pairs
    assert percentile_interval(np.arange(1001.0)) == pytest.approx((25.0, 975.0))
