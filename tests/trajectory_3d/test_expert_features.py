"""What tokens saw, against paths whose speed, curvature and place are known."""

import numpy as np
import pytest
import torch

from examples.trajectory_3d.experts.features import (
    OCTANTS,
    bin_names,
    octants,
    quantile_bins,
    speed_and_curvature,
    window_middles,
)
from m.moe import AnchorConfig, ModelConfig, MoESequenceRegressor


def test_a_circle_has_its_speed_and_curvature():
    dt, radius, rate = 0.02, 2.0, 1.5
    angle = rate * dt * np.arange(64) + np.array([[0.0], [1.0]])
    path = radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    speed, curvature = speed_and_curvature(path, np.array([0, 1, 20, 63]), dt)
    assert np.isnan(speed[:, :2]).all()
    np.testing.assert_allclose(speed[:, 2:], radius * rate, rtol=0.01)
    np.testing.assert_allclose(curvature[:, 2:], 1 / radius, rtol=0.02)


def test_a_path_at_rest_has_no_curvature():
    speed, curvature = speed_and_curvature(np.ones((1, 20, 3)), np.array([19]), 0.1)
    np.testing.assert_allclose(speed, 0.0, atol=1e-12)
    assert np.isnan(curvature).all()


@pytest.mark.parametrize("orientation", ["none", "motion"])
def test_middles_of_windows_on_a_straight_path(orientation):
    config = ModelConfig(
        dim=16,
        n_layers=1,
        window=8,
        stride=4,
        anchor=AnchorConfig(orientation=orientation),
    )
    torch.manual_seed(0)
    model = MoESequenceRegressor(config)
    steps = np.arange(32)[:, None] * np.array([[0.0, 3.0, 0.0]])
    middles = window_middles(model, steps[None], np.array([3, 31]))[0]
    spread = np.sqrt(steps.var(axis=0).mean())
    # Four points at the beginning, eight at the end: their mean lies 1.5 and 3.5 steps behind.
    expected = np.array([-1.5, -3.5]) * 3.0 / spread
    along = 0 if orientation == "motion" else 1
    np.testing.assert_allclose(middles[:, along], expected, rtol=1e-6)
    np.testing.assert_allclose(np.delete(middles, along, axis=1), 0.0, atol=1e-6)


def test_octants_are_named_by_their_signs():
    signs = np.array([[-1, -1, -1], [1, -1, -1], [-1, 1, -1], [1, 1, 1]])
    assert [OCTANTS[i] for i in octants(signs)] == ["---", "+--", "-+-", "+++"]


def test_bins_hold_equal_numbers_and_leave_out_what_is_not_finite():
    values = np.concatenate([np.random.default_rng(0).lognormal(size=400), [np.nan, np.inf]])
    bins, edges = quantile_bins(values, 4)
    np.testing.assert_array_equal(np.bincount(bins[:400]), [100] * 4)
    assert bins[400:].tolist() == [-1, -1]
    assert len(bin_names(edges, "m/s")) == 4
    assert bin_names(edges, "m/s")[0].endswith("m/s")
    none, edges = quantile_bins(np.full(3, np.nan), 2)
    assert none.tolist() == [-1] * 3
    assert np.isnan(edges).all()
