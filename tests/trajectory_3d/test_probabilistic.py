"""Scores of distributions against naive loops, closed forms and what calibration must give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.trajectory_3d import probabilistic
from examples.trajectory_3d.densities import LocationScaleDensity
from examples.trajectory_3d.probabilistic import (
    crps_of_samples,
    energy_score,
    negative_log_likelihood,
    rank_histogram,
    ranks_of_samples,
    unevenness,
)


def cases(windows=4, count=7, horizon=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(windows, count, horizon, 3)), rng.normal(size=(windows, horizon, 3))


def naive_crps(samples, truth):
    """Fair estimator for one coordinate, by two loops."""
    count = len(samples)
    pairs = sum(abs(a - b) for a in samples for b in samples)
    return np.mean([abs(a - truth) for a in samples]) - pairs / (2 * count * (count - 1))


def test_crps_equals_the_double_loop(monkeypatch):
    samples, truth = cases()
    monkeypatch.setattr(probabilistic, "_CHUNK", 100)  # several pieces
    result = crps_of_samples(samples, truth)
    for index in np.ndindex(truth.shape):
        window, step, axis = index
        assert result[index] == pytest.approx(naive_crps(samples[window, :, step, axis], truth[index]))


def test_energy_score_equals_the_double_loop(monkeypatch):
    samples, truth = cases()
    monkeypatch.setattr(probabilistic, "_CHUNK", 100)
    result = energy_score(samples, truth)
    count, horizon = samples.shape[1:3]
    for window, paths in enumerate(samples):
        to_truth = np.mean([np.linalg.norm(path - truth[window]) for path in paths])
        pairs = sum(np.linalg.norm(a - b) for a in paths for b in paths)
        expected = (to_truth - pairs / (2 * count * (count - 1))) / np.sqrt(horizon)
        assert result[window] == pytest.approx(expected)


def test_fair_estimates_from_few_samples_agree_with_the_closed_form():
    rng = np.random.default_rng(1)
    samples, truth = rng.normal(size=(4000, 3, 2, 3)), 0.5 + rng.normal(size=(4000, 2, 3))
    exact = LocationScaleDensity("gaussian", np.zeros(truth.shape), np.ones(truth.shape)).crps(truth).mean()
    estimates = crps_of_samples(samples, truth).mean(axis=(1, 2))
    error = estimates.std() / np.sqrt(len(estimates))
    assert estimates.mean() == pytest.approx(exact, abs=5 * error)
    # Dividing the pairs by S squared, as for a whole distribution, would be found out.
    pairs = np.abs(samples[:, :, None] - samples[:, None]).mean(axis=(1, 2))
    unfair = np.abs(samples - truth[:, None]).mean(axis=1) - pairs / 2
    assert unfair.mean() > exact + 10 * error


@given(st.integers(2, 6), st.integers(1, 4), st.floats(-1e6, 1e6))
def test_scores_do_not_depend_on_place_or_order(count, horizon, shift):
    samples, truth = cases(2, count, horizon, seed=3)
    other = samples[:, ::-1] + shift
    np.testing.assert_allclose(
        crps_of_samples(other, truth + shift), crps_of_samples(samples, truth), atol=1e-8
    )
    np.testing.assert_allclose(energy_score(other, truth + shift), energy_score(samples, truth), atol=1e-8)


def test_equal_samples_score_their_distance():
    samples = np.full((1, 5, 4, 3), 2.0)
    truth = np.zeros((1, 4, 3))
    np.testing.assert_allclose(crps_of_samples(samples, truth), 2.0)
    np.testing.assert_allclose(energy_score(samples, truth), 2.0 * np.sqrt(3))


def test_a_far_miss_costs_no_digits_of_the_energy_score():
    samples, truth = cases(1)

    def half_spread(drawn):
        """What the score takes off the mean distance to the truth."""
        distance = np.sqrt(np.square(drawn - truth[:, None]).sum(axis=(2, 3)) / truth.shape[1])
        return distance.mean(axis=1) - energy_score(drawn, truth)

    np.testing.assert_allclose(half_spread(samples + 1e7), half_spread(samples), atol=1e-6)


def test_scores_prefer_the_true_distribution_to_a_shifted_a_wide_and_a_narrow_one():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=(3000, 2, 3))
    normal = rng.normal(size=(3000, 20, 2, 3))
    for score in (crps_of_samples, energy_score):
        honest = score(normal, truth).mean()
        for other in (normal + 0.5, 2.0 * normal, 0.5 * normal):
            assert score(other, truth).mean() > 1.02 * honest


def test_ranks_of_draws_from_the_same_distribution_are_uniform():
    rng = np.random.default_rng(5)
    ranks = ranks_of_samples(rng.normal(size=(3000, 9, 1, 3)), rng.normal(size=(3000, 1, 3)), seed=0)
    shares = rank_histogram(ranks, 20)
    assert shares.sum() == pytest.approx(1.0)
    # Multinomial of 9000 ranks over 20 bins: five standard deviations of a share.
    np.testing.assert_allclose(shares, 0.05, atol=5 * np.sqrt(0.05 * 0.95 / 9000))
    assert unevenness(shares) < 0.03


def test_ranks_count_the_samples_below_and_draw_a_place_among_equals():
    samples = np.arange(4.0)[None, :, None, None] * np.ones((1, 4, 1, 3))
    truth = np.array([[[2.5, -1.0, 9.0]]])
    ranks = ranks_of_samples(samples, truth, seed=0)[0, 0]
    for rank, low in zip(ranks, (3, 0, 4), strict=True):
        assert low / 5 <= rank <= (low + 1) / 5
    still = ranks_of_samples(np.zeros((1000, 4, 1, 3)), np.zeros((1000, 1, 3)), seed=0)
    assert unevenness(rank_histogram(still, 5)) < 0.05


def test_unevenness_is_the_misplaced_share():
    assert unevenness(np.full(4, 0.25)) == 0.0
    assert unevenness(np.array([1.0, 0.0, 0.0, 0.0])) == 0.75
    assert unevenness(np.array([0.35, 0.25, 0.25, 0.15])) == pytest.approx(0.1)


def test_likelihood_is_averaged_over_coordinates():
    density = LocationScaleDensity("laplace", np.zeros((2, 2, 3)), np.ones((2, 2, 3)))
    truth = np.stack([np.zeros((2, 3)), np.ones((2, 3))])
    np.testing.assert_allclose(negative_log_likelihood(density, truth), [np.log(2), np.log(2) + 1])


def test_wrong_shapes_and_single_samples_are_refused():
    samples, truth = cases()
    for score in (crps_of_samples, energy_score):
        with pytest.raises(ValueError, match="at least 2 samples"):
            score(samples[:, :1], truth)
        with pytest.raises(ValueError, match=r"samples must have shape \[N, S, H, 3\]"):
            score(samples[:, :, :2], truth)
