"""The regressor: anchors, units, forecasts, derived numbers, and that it learns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from reference import CAUSAL_ROUTERS, small_config, small_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from m.moe import ModelConfig, MoESequenceRegressor, SequenceBatch, compute_anchor, model_size
from m.moe.config import AnchorConfig, AttentionConfig, ExpertsConfig, HeadConfig, RouterConfig
from m.moe.loss import _anchor_lengths


def walk(batch: int, length: int, channels: int = 3, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, length, channels)).cumsum(1)


# --- anchors and units -----------------------------------------------------------------------------


def test_anchor_equals_numpy_statistics_of_the_prefix():
    points = torch.from_numpy(walk(2, 30))
    lengths = torch.tensor([30, 11])
    for location, scale in itertools.product(("mean", "last"), ("pooled", "per_channel")):
        anchor = compute_anchor(points, lengths, AnchorConfig(location=location, scale=scale))
        for row, length in enumerate(lengths.tolist()):
            used = points[row, :length].numpy()
            std = used.std(0) if scale == "per_channel" else np.full(3, np.sqrt(used.var(0).mean()))
            np.testing.assert_allclose(anchor.scale[row, 0], std)
            np.testing.assert_allclose(
                anchor.location[row, 0], used.mean(0) if location == "mean" else used[-1]
            )


@pytest.mark.parametrize("shift", [0.0, 7e6, -3e9])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_forecasts_follow_shift_and_scale_exactly_far_from_the_origin_too(shift, scale):
    model, context = small_model(), walk(2, 20)
    plain = model.forecast(context, 10, num_samples=3, seed=1)
    moved = model.forecast(context * scale + shift, 10, num_samples=3, seed=1)
    tolerance = 1e-4 * scale + 1e-12 * abs(shift)
    np.testing.assert_allclose(moved.samples, plain.samples * scale + shift, rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        moved.quantile(0.9), plain.quantile(0.9) * scale + shift, rtol=0, atol=tolerance
    )


def test_a_body_at_rest_stays_at_rest_with_certainty():
    context = np.tile([3.0, -2.0, 1e6], (12, 1))
    forecast = small_model().forecast(context, 9, num_samples=4, seed=0)
    np.testing.assert_array_equal(forecast.points, np.tile(context[-1], (9, 1)))
    np.testing.assert_array_equal(forecast.samples, np.tile(context[-1], (4, 9, 1)))


# --- the forecast call -----------------------------------------------------------------------------


def test_shapes_with_and_without_a_batch_axis():
    model = small_model()
    single = model.forecast(walk(1, 9)[0], 6, num_samples=5)
    assert (single.points.shape, single.samples.shape) == ((6, 3), (5, 6, 3))
    assert (single.quantile(0.1).shape, single.sample(2).shape) == ((6, 3), (2, 6, 3))
    batch = model.forecast(walk(4, 9), 3)
    assert (batch.points.shape, batch.samples) == ((4, 3, 3), None)
    np.testing.assert_allclose(batch.points, batch.mean)
    assert model.forecast(walk(1, 9)[0].tolist(), 3).points.shape == (3, 3)
    assert model.forecast(torch.from_numpy(walk(1, 9)), 3).points.shape == (1, 3, 3)


def test_forecast_is_the_forward_pass_at_the_last_point():
    model, context = small_model(), torch.from_numpy(walk(3, 15))
    with torch.no_grad():
        expected = model(context).in_units()
    forecast = model.forecast(context, 4)
    np.testing.assert_allclose(forecast.points, expected.location[:, -1], rtol=1e-6)
    np.testing.assert_allclose(forecast.quantile(0.8), expected.quantile(0.8)[:, -1], rtol=1e-6)


def test_a_longer_horizon_begins_with_the_shorter_one():
    model, context = small_model(), walk(2, 15)
    long = model.forecast(context, 23).points
    for horizon in (1, 3, 4, 5, 8, 22):
        np.testing.assert_allclose(
            model.forecast(context, horizon).points, long[:, :horizon], rtol=1e-5, atol=1e-6
        )


def test_seeds_temperature_and_samples():
    model, context = small_model(), walk(2, 15)
    first = model.forecast(context, 10, num_samples=6, seed=3)
    again = model.forecast(context, 10, num_samples=6, seed=3)
    other = model.forecast(context, 10, num_samples=6, seed=4)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert not np.allclose(first.samples, other.samples)
    np.testing.assert_array_equal(first.points, first.mean)  # samples do not change the centre
    half = model.forecast(context, 4, temperature=0.5, num_samples=6, seed=3)
    whole = model.forecast(context, 4, temperature=1.0, num_samples=6, seed=3)
    deviations = [f.samples - f.mean[:, None] for f in (half, whole)]
    np.testing.assert_allclose(2 * deviations[0], deviations[1], rtol=1e-4, atol=1e-5)
    drawn = model.forecast(context, 4, temperature=1.0, seed=3)
    assert not np.allclose(drawn.points, drawn.mean)


def test_sampled_quantiles_agree_with_exact_ones_within_the_head():
    model, context = small_model(), walk(1, 15)
    forecast = model.forecast(context, 4)
    paths = forecast.sample(4000, seed=0)
    spread = forecast.quantile(0.9) - forecast.quantile(0.1)
    for q in (0.1, 0.5, 0.9):
        error = np.abs(np.quantile(paths, q, axis=1) - forecast.quantile(q)) / spread
        assert error.max() < 0.08


@pytest.mark.parametrize(
    ("context", "horizon", "options", "message"),
    [
        (np.zeros((5, 2)), 3, {}, r"shape \[T, 3\] or \[B, T, 3\].*got \[5, 2\]"),
        (np.zeros((0, 3)), 3, {}, "at least one point"),
        ("abc", 3, {}, "array of numbers"),
        ([[1, 2, 3], [1, 2]], 3, {}, "array of numbers"),
        ([[1, 2, np.nan], [1, 2, 3]], 3, {}, "path 0, point 0, channel 2"),
        (np.zeros((5, 3)), 0, {}, "horizon must be at least 1"),
        (np.zeros((5, 3)), 3, {"temperature": -1.0}, "temperature must be 0 or above"),
        (np.zeros((5, 3)), 3, {"num_samples": 0}, "at least 1, got 0"),
        (np.zeros((2, 5, 3)), 3, {"lengths": [5, 6]}, "2 numbers from 1 to 5"),
        (np.zeros((2, 5, 3)), 3, {"lengths": [5]}, "2 numbers from 1 to 5"),
    ],
)
def test_bad_requests_are_refused_with_what_to_do(context, horizon, options, message):
    with pytest.raises(ValueError, match=message):
        small_model().forecast(context, horizon, **options)


def test_tensors_of_any_kind_are_contexts():
    model, context = small_model(), walk(2, 9)
    expected = model.forecast(context.astype(np.float32), 3).points
    tensor = torch.from_numpy(context).float().requires_grad_()
    np.testing.assert_array_equal(model.forecast(tensor, 3).points, expected)
    assert np.isfinite(model.forecast(tensor.bfloat16(), 3).points).all()


def test_many_paths_are_drawn_in_pieces_that_do_not_show(monkeypatch):
    """Beyond the head every path holds a cache: hundreds at once would not fit."""
    model, context = small_model(), walk(3, 9)
    whole = model.forecast(context, 11, num_samples=7, seed=1)
    row = model.allocate_cache(1, 17).bytes_per_row()
    monkeypatch.setattr("m.moe.forecast._CACHE_BUDGET", 4 * row)
    pieces = model.forecast(context, 11, num_samples=7, seed=1)
    np.testing.assert_allclose(pieces.mean, whole.mean, rtol=1e-5, atol=1e-5)
    assert pieces.samples.shape == whole.samples.shape
    again = model.forecast(context, 11, num_samples=7, seed=1)
    np.testing.assert_array_equal(pieces.samples, again.samples)


def test_quantiles_beyond_the_head_bracket_the_sampled_paths():
    forecast = small_model().forecast(walk(2, 15), 11)
    paths = forecast.sample(400, seed=5)
    inside = (paths > forecast.quantile(0.1)[:, None]) & (paths < forecast.quantile(0.9)[:, None])
    assert inside.mean() == pytest.approx(0.8, abs=0.06)
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        forecast.quantile(1.0)


def test_other_dimensions_in_and_out():
    fewer = small_model(input_dim=6, target_dim=3)
    assert fewer.forecast(walk(1, 9, 6)[0], 4).points.shape == (4, 3)
    with pytest.raises(ValueError, match="ask for at most 4 points"):
        fewer.forecast(walk(1, 9, 6)[0], 5)
    more = small_model(input_dim=2, target_dim=5, head=HeadConfig(prediction_steps=4, residual=False))
    assert more.forecast(walk(1, 9, 2)[0], 4).points.shape == (4, 5)
    one = small_model(input_dim=1, target_dim=1)
    assert one.forecast(walk(1, 9, 1)[0], 30).points.shape == (30, 1)


# --- derived numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("router", [*CAUSAL_ROUTERS])
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize("distribution", ["laplace", "student_t"])
def test_parameter_counts_equal_the_built_model(router, activation, distribution):
    config = small_config(
        router,
        experts=ExpertsConfig(hidden_dim=24, shared_hidden_dim=8, activation=activation),
        head=HeadConfig(prediction_steps=4, distribution=distribution),
    )
    model, size = MoESequenceRegressor(config), model_size(config)
    assert size.total_parameters == sum(parameter.numel() for parameter in model.parameters())
    unused = sum(
        parameter.numel() * (config.router.n_experts - config.router.top_k) // config.router.n_experts
        for name, parameter in model.named_parameters()
        if model.parameter_kinds()[name] == "experts"
    )
    assert size.active_parameters == size.total_parameters - unused


def test_dense_has_the_active_parameters_of_the_mixture_but_for_the_router():
    mixture, dense = (model_size(small_config(kind)) for kind in ("topk", "dense"))
    routers = 2 * 32 * 4
    assert dense.total_parameters == dense.active_parameters == mixture.active_parameters - routers


DEEP = {
    "n_layers": 4,
    "dense_feed_forward": True,
    "attention": AttentionConfig(n_heads=4, n_kv_heads=2, every=3),
    "router": RouterConfig(kind="topk_bias", n_experts=4, top_k=1),
}


def test_blocks_that_attend_in_turns_and_feed_forward_twice():
    model = small_model(**DEEP)
    assert [block.attention is not None for block in model.blocks] == [True, False, False, True]
    assert all(block.dense is not None for block in model.blocks)
    size = model_size(model.config)
    assert size.total_parameters == sum(parameter.numel() for parameter in model.parameters())
    cache = model.allocate_cache(1, 10)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 10 * size.kv_bytes_per_token(4)
    assert len(model.forecast(walk(1, 12)[0], 9).routing.layers) == len(model.routers()) == 4
    dense = model_size(small_config(**(DEEP | {"router": RouterConfig(kind="dense", top_k=1)})))
    assert dense.total_parameters == size.active_parameters - 4 * 32 * 4  # the routers


@pytest.mark.parametrize("stride", [1, 5, 12])
@pytest.mark.parametrize("router", ["topk", "dense", "deep"])
def test_flops_equal_the_counted_ones(router, stride):
    experts = ExpertsConfig(hidden_dim=16, kernel="loop", shared_hidden_dim=8)
    changes = {"experts": experts, "window": 12, "stride": stride}
    config = small_config(**changes, **DEEP) if router == "deep" else small_config(router, **changes)
    model = MoESequenceRegressor(config).eval()
    counter = FlopCounterMode(display=False)
    # The CPU's fused attention is invisible to the counter; the plain one is two counted products.
    with sdpa_kernel(SDPBackend.MATH), counter, torch.no_grad():
        model(torch.randn(2, 24, 3), tokens=model.token_positions(torch.tensor([24, 24])))
    assert counter.get_total_flops() == 2 * model_size(config).forward_flops(24)


def test_kv_bytes_equal_the_allocated_cache():
    model = small_model()
    cache = model.allocate_cache(3, 10)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 3 * 10 * model_size(model.config).kv_bytes_per_token(4)


# --- training interface ----------------------------------------------------------------------------


def test_every_parameter_belongs_to_one_kind():
    model = MoESequenceRegressor(small_config("topk"))
    kinds = model.parameter_kinds()
    assert set(kinds) == {name for name, _ in model.named_parameters()}
    for name, kind in kinds.items():
        assert kind == ("router" if "router" in name else "experts" if ".experts." in name else "rest")


def test_loss_is_the_likelihood_of_each_next_block():
    """Against an explicit loop over positions, with whole-context anchors."""
    config = small_config("dense", anchor=AnchorConfig(whole_context_share=1.0))
    model = MoESequenceRegressor(config).double().train()
    inputs, path = torch.from_numpy(walk(2, 10)), torch.from_numpy(walk(2, 14, seed=6))
    output = model.loss(SequenceBatch(inputs, path))
    with torch.no_grad():
        forward = model(inputs)
    total = []
    scale, location = forward.anchor.scale, forward.anchor.location
    for time in range(10):
        target = (path[:, time + 1 : time + 5] - location) / scale
        total.append(forward.distribution.at((slice(None), time)).negative_log_likelihood(target))
    torch.testing.assert_close(output.loss.detach(), torch.stack(total).mean())
    torch.testing.assert_close(output.target, path[:, -4:])
    torch.testing.assert_close(output.forecast, forward.in_units().location[:, -1])


@pytest.mark.parametrize("beta", [0.25, 1.0])
def test_spread_weighting_weighs_gradients_and_leaves_evaluation_alone(beta):
    """beta-NLL by its definition: each term's gradient times its scale to the power beta."""
    plain, weighted = (
        small_model("dense", head=HeadConfig(prediction_steps=4, spread_weighting=b)).double().train()
        for b in (0.0, beta)
    )
    batch = SequenceBatch(torch.from_numpy(walk(2, 10)), torch.from_numpy(walk(2, 14, seed=6)))
    torch.manual_seed(3)
    weighted.loss(batch).loss.backward()
    torch.manual_seed(3)  # the same anchors
    lengths = torch.full((2,), 10)
    anchor = compute_anchor(batch.inputs, _anchor_lengths(plain, lengths), plain.config.anchor)
    output = plain(batch.inputs, anchor=anchor)
    path = anchor.normalise(batch.path)
    targets = torch.stack([path[:, t + 1 : t + 5] for t in range(10)], 1)
    weights = output.distribution.scale.detach() ** beta
    terms = output.distribution.negative_log_likelihood(targets) * weights
    (terms.sum() / weights.sum()).backward()
    ours, theirs = weighted.embedding.projection.weight.grad, plain.embedding.projection.weight.grad
    torch.testing.assert_close(ours, theirs)
    plain.load_state_dict(weighted.state_dict())  # with what its head has measured in training
    evaluated = [model.eval().loss(batch).loss for model in (plain, weighted)]
    torch.testing.assert_close(*evaluated)


def test_evaluation_loss_is_that_of_the_forecast_alone():
    model = small_model("topk")
    inputs, path = torch.from_numpy(walk(2, 10)), torch.from_numpy(walk(2, 14, seed=6))
    with torch.no_grad():
        output = model.loss(SequenceBatch(inputs, path))
        forward = model(inputs)
        target = forward.anchor.normalise(path[:, -4:]).float()
        expected = forward.distribution.at((slice(None), -1)).negative_log_likelihood(target).mean()
    torch.testing.assert_close(output.loss, expected)


def test_a_path_of_the_wrong_length_is_refused():
    with pytest.raises(
        ValueError, match=r"4 points \(head.prediction_steps\) longer than the 10 inputs, got 12"
    ):
        small_model().loss(SequenceBatch(torch.zeros(1, 10, 3), torch.zeros(1, 12, 3)))


@pytest.mark.parametrize("router", CAUSAL_ROUTERS)
def test_it_learns_circles(router):
    """A few dozen steps on circles of random size beat both staying and going straight on."""
    torch.manual_seed(0)
    config = ModelConfig(
        dim=32,
        n_layers=1,
        window=8,
        attention=AttentionConfig(n_heads=4),
        router=RouterConfig(kind=router, n_experts=4, top_k=2),
        experts=ExpertsConfig(hidden_dim=32),
        head=HeadConfig(prediction_steps=4),
    )
    model = MoESequenceRegressor(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)

    def circles(count):
        phase = rng.uniform(0, 6.28, (count, 1)) + rng.uniform(0.2, 0.5, (count, 1)) * np.arange(20)
        radius = rng.uniform(1, 3, (count, 1))
        path = np.stack((radius * np.cos(phase), radius * np.sin(phase), np.zeros_like(phase)), -1)
        return torch.from_numpy(path).float()

    for _ in range(150):
        path = circles(32)
        loss = model.loss(SequenceBatch(path[:, :16], path))
        optimizer.zero_grad()
        loss.loss.backward()
        optimizer.step()
        if loss.expert_load is not None:
            model.update_routers(loss.expert_load)
    path = circles(100).numpy()
    context, truth = path[:, :16], path[:, 16:]
    error = np.linalg.norm(model.forecast(context, 4).points - truth, axis=-1).mean()
    straight = context[:, -1:] + np.arange(1, 5)[:, None] * (context[:, -1:] - context[:, -2:-1])
    assert error < 0.5 * np.linalg.norm(straight - truth, axis=-1).mean()
