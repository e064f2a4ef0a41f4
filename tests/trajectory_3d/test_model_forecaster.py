"""What a model states about its forecasts, against the model's own distribution and samples."""

import numpy as np
import pytest
import torch
from scipy import stats

from examples.trajectory_3d.forecasters import QUANTILE_LEVELS
from examples.trajectory_3d.model_forecaster import ModelForecaster, path_forecast
from examples.trajectory_3d.visualization import plot_forecast
from m.config import from_dict
from m.moe import ModelConfig, MoESequenceRegressor

STEPS, SAMPLES = 4, 400


def build(distribution="laplace"):
    torch.manual_seed(0)
    config = from_dict(
        ModelConfig,
        {
            "input_dim": 3,
            "dim": 16,
            "n_layers": 1,
            "window": 4,
            "attention": {"n_heads": 2},
            "router": {"kind": "topk", "n_experts": 2, "top_k": 1},
            "experts": {"hidden_dim": 16},
            "head": {"prediction_steps": STEPS, "distribution": distribution},
        },
    )
    return MoESequenceRegressor(config)


def contexts(count=3):
    return np.cumsum(np.random.default_rng(0).normal(size=(count, 12, 3)), axis=1)


@pytest.mark.parametrize("distribution", ["gaussian", "laplace", "student_t"])
def test_density_quantiles_and_samples_are_of_one_distribution(distribution):
    forecaster = ModelForecaster(build(distribution), "model", samples=SAMPLES)
    forecast = forecaster.forecast(contexts(), STEPS)
    assert tuple(forecast.quantiles) == QUANTILE_LEVELS
    for level, values in forecast.quantiles.items():
        np.testing.assert_allclose(forecast.density.cdf(values), level, atol=1e-5)
    # Samples, pushed through the stated distribution, are uniform (Kolmogorov-Smirnov, one coordinate).
    assert forecast.samples.shape == (3, SAMPLES, STEPS, 3)
    for step in range(STEPS):
        ranks = [
            forecast.density.select([0]).cdf(np.broadcast_to(path, (1, STEPS, 3)))[0, step, 0]
            for path in forecast.samples[0]
        ]
        assert stats.kstest(ranks, "uniform").pvalue > 1e-4


def test_log_density_is_the_likelihood_that_the_model_trains_on():
    model = build()
    forecast = ModelForecaster(model, "model").forecast(contexts(), STEPS)
    truth = forecast.mean + 0.3
    marginals = model.forecast(contexts(), STEPS).marginals
    expected = -marginals.negative_log_likelihood(torch.from_numpy(truth)).numpy()
    np.testing.assert_allclose(forecast.density.log_density(truth), expected, rtol=1e-5)


def test_a_shorter_horizon_keeps_its_density_and_a_rolled_on_one_has_none():
    forecaster = ModelForecaster(build(), "model", samples=5)
    short = forecaster.forecast(contexts(), STEPS - 1)
    assert short.density.shape == short.mean.shape == (3, STEPS - 1, 3)
    rolled = forecaster.forecast(contexts(), 2 * STEPS + 1)
    assert rolled.density is None
    assert rolled.samples.shape == (3, 5, 2 * STEPS + 1, 3)
    assert all(np.isfinite(values).all() for values in rolled.quantiles.values())


def test_samples_repeat_for_a_batch_and_differ_between_batches():
    forecaster = ModelForecaster(build(), "model", samples=3)
    first, again = (forecaster.forecast(contexts(), STEPS).samples for _ in range(2))
    np.testing.assert_array_equal(first, again)
    shifted = forecaster.forecast(contexts() + 1.0, STEPS)
    assert np.abs((shifted.samples - shifted.mean[:, None]) - (first - forecaster.forecast(
        contexts(), STEPS).mean[:, None])).max() > 1e-3  # fmt: skip


def test_by_default_no_path_is_sampled():
    assert ModelForecaster(build(), "model").forecast(contexts(), STEPS).samples is None
    with pytest.raises(ValueError, match="samples must be 0"):
        ModelForecaster(build(), "model", samples=-1)


def test_marginals_of_a_single_path_have_no_batch_axis():
    model = build()
    single, batch = model.forecast(contexts()[0], STEPS), model.forecast(contexts()[:1], STEPS)
    assert single.marginals.location.shape == (STEPS, 3)
    np.testing.assert_array_equal(single.marginals.scale, batch.marginals.scale[0])
    assert model.forecast(contexts(), STEPS + 1).marginals is None


def test_a_models_own_forecast_becomes_a_path_forecast_of_one_window():
    model, context = build(), contexts(1)
    own = path_forecast(model.forecast(context[0], STEPS, num_samples=5, seed=0))
    batched = ModelForecaster(model, "model").forecast(context, STEPS)
    np.testing.assert_allclose(own.mean, batched.mean)
    np.testing.assert_array_equal(own.expert_ids, batched.expert_ids)
    np.testing.assert_allclose(own.quantiles[0.9], batched.quantiles[0.9])
    np.testing.assert_allclose(own.density.location, batched.density.location)
    assert own.samples.shape == (1, 5, STEPS, 3)
    far = path_forecast(model.forecast(context[0], 3 * STEPS))  # rolled on: no density in closed form
    assert far.density is None
    assert far.quantiles[0.1].shape == (1, 3 * STEPS, 3)


def test_a_models_own_forecast_can_be_drawn_as_it_is():
    context = contexts(1)[0]
    forecast = build().forecast(context, STEPS)
    figure = plot_forecast(context, context[:STEPS], forecast)
    drawn = [np.stack(line.get_data_3d(), axis=-1) for line in figure.axes[0].lines]
    assert any(np.array_equal(data, forecast.mean) for data in drawn)
