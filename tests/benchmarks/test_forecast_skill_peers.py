"""The learned peers: what they compute, what they cannot see, and what a step of theirs costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gmean
from torch.nn import functional as F

from benchmarks.flops import flops_per_window
from benchmarks.forecast_skill.networks import DLinear, ResidualMlp, interpolate_knots
from benchmarks.forecast_skill.peer import LOSSES, Peer
from benchmarks.forecast_skill.recipes import RECIPES
from benchmarks.forecast_skill.scores import judge
from benchmarks.forecast_skill.trial import changed_recipe
from examples.trajectory_3d.evaluation import EvaluationSet
from examples.trajectory_3d.forecasters import PathForecast
from m.moe import SequenceBatch

LENGTH, HORIZON = 64, 16
CHANNEL_INDEPENDENT = ("dlinear", "n-hits", "patchtst")
NAMES = tuple(RECIPES)


def make_peer(name):
    """A peer whose weights are all random, also those that start at zero."""
    torch.manual_seed(0)
    peer = RECIPES[name].build(LENGTH, HORIZON).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return peer


PEERS = {name: make_peer(name) for name in NAMES}


def random_walk(batch=5, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, LENGTH, 3, generator=generator, dtype=dtype).cumsum(1)


def forecast(name, context):
    with torch.no_grad():
        return PEERS[name](context)


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_continues_a_batch(name):
    result = forecast(name, random_walk())
    assert result.shape == (5, HORIZON, 3)
    assert torch.isfinite(result).all()
    alone = forecast(name, random_walk()[2:3])
    torch.testing.assert_close(alone, result[2:3], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(exponent=st.integers(-10, 10), shift=st.floats(-20, 20))
def test_moving_and_scaling_a_path_moves_and_scales_its_forecast(name, exponent, shift):
    context = random_walk(2, dtype=torch.float64)
    scale = 2.0**exponent
    offset = scale * torch.tensor([shift, -2 * shift, 0.5 * shift], dtype=torch.float64)
    expected = forecast(name, context) * scale + offset
    actual = forecast(name, context * scale + offset)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-4 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_far_origins_cost_no_digits_in_double_precision(name):
    context = random_walk(dtype=torch.float64)
    far = forecast(name, context + 7.0e6) - 7.0e6
    torch.testing.assert_close(far, forecast(name, context), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_body_at_rest_stays(name):
    context = torch.tensor([1.0, -2.0, 3.0]).expand(2, LENGTH, 3)
    torch.testing.assert_close(forecast(name, context), context[:, :HORIZON])


@pytest.mark.parametrize("name", NAMES)
def test_which_peers_see_the_axes_together(name):
    # Same spread, another shape of y: only a joint model may change its forecast of x.
    context = random_walk()
    changed = context.clone()
    changed[..., 1] = 2 * context[:, -1:, 1] - context[..., 1]  # mirrored about its last point
    same = torch.equal(forecast(name, context)[..., 0], forecast(name, changed)[..., 0])
    close = torch.allclose(
        forecast(name, context)[..., 0], forecast(name, changed)[..., 0], rtol=1e-4, atol=1e-3
    )
    assert (same or close) == (name in CHANNEL_INDEPENDENT)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_the_forecast_in_context_deviations(name):
    path = torch.cat((random_walk(), random_walk(seed=2)[:, :HORIZON]), 1)
    batch = SequenceBatch(random_walk(), path)
    output = PEERS[name].loss(batch)
    assert output.expert_load is None
    torch.testing.assert_close(output.forecast, forecast(name, random_walk()), rtol=1e-4, atol=1e-4)
    scale = random_walk().double().numpy().var(axis=1).mean(axis=-1) ** 0.5
    distance = np.linalg.norm(output.forecast.numpy() - path[:, LENGTH:].numpy(), axis=-1)
    expected = (distance / scale[:, None]).mean()
    own = Peer(PEERS[name].network, "distance")
    assert float(own.loss(batch).loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_log_distance_is_the_logarithm_that_gn_averages():
    predicted, target = random_walk()[:, :HORIZON], random_walk(seed=3)[:, :HORIZON]
    per_window = np.linalg.norm((predicted - target).numpy(), axis=-1).mean(axis=-1)
    loss = float(LOSSES["log_distance"](predicted, target))
    assert loss == pytest.approx(np.log(gmean(per_window)), abs=0.01)  # the floor is far below these errors


def test_huber_is_quadratic_near_and_linear_far():
    zero = torch.zeros(1, 1, 3)
    small, large = torch.full((1, 1, 3), 0.01), torch.full((1, 1, 3), 50.0)
    assert float(LOSSES["huber"](small, zero)) == pytest.approx(0.01**2 / 2 / 0.1)
    assert float(LOSSES["huber"](large, zero)) == pytest.approx(50.0 - 0.05)


@pytest.mark.parametrize("kernel", [1, 9, 25])
def test_dlinear_holds_the_least_squares_line(kernel):
    # Trend and remainder add up to the series, so equal maps for both give that map of the series.
    network = DLinear(LENGTH, HORIZON, kernel)
    times = np.arange(LENGTH + HORIZON, dtype=np.float64)
    design = np.stack((np.ones(LENGTH), times[:LENGTH]), 1)
    line = np.stack((np.ones(HORIZON), times[LENGTH:]), 1) @ np.linalg.pinv(design)  # [H, L]
    with torch.no_grad():
        for linear in (network.trend, network.remainder):
            linear.weight.copy_(torch.from_numpy(line))
    peer = Peer(network, "distance")
    velocity = torch.tensor([0.3, -1.0, 2.0])
    path = torch.tensor([5.0, 6.0, -7.0]) + torch.arange(LENGTH + HORIZON)[None, :, None] * velocity
    with torch.no_grad():
        torch.testing.assert_close(peer(path[:, :LENGTH]), path[:, LENGTH:], rtol=1e-4, atol=1e-3)


def test_dlinear_refuses_an_even_moving_average():
    with pytest.raises(ValueError, match="odd"):
        DLinear(LENGTH, HORIZON, 4)


@pytest.mark.parametrize(("knots", "length"), [(1, 16), (2, 16), (4, 16), (16, 16), (3, 10)])
def test_knots_are_joined_as_numpy_joins_them(knots, length):
    values = torch.randn(2, 3, knots, generator=torch.Generator().manual_seed(4))
    curve = interpolate_knots(values, length).numpy()
    places = (np.arange(knots) + 0.5) * length / knots - 0.5
    for row in range(2):
        for channel in range(3):
            expected = np.interp(np.arange(length), places, values[row, channel].numpy())
            np.testing.assert_allclose(curve[row, channel], expected, atol=1e-6)


def test_operations_of_the_residual_mlp_follow_from_its_matrices():
    peer = make_peer("residual-mlp")
    network = peer.network
    assert isinstance(network, ResidualMlp)
    path = torch.randn(4, LENGTH + HORIZON, 3).cumsum(1)
    counted = flops_per_window(peer, SequenceBatch(path[:, :LENGTH], path))
    matrices = sum(p.numel() for p in peer.parameters() if p.ndim == 2)
    at_the_input = network.embedding.weight.numel() + network.straight.weight.numel()
    # One product forward, two backward, but nobody asks for the gradient of the window itself.
    assert counted == 6 * matrices - 2 * at_the_input
    assert sum(p.numel() for p in peer.parameters()) == pytest.approx(1.9e6, rel=0.1)


class Products(torch.nn.Module):
    """Only the two operators that the counter of torch does not know."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.randn(4, 16, 8))

    def loss(self, batch):
        tokens = torch.randn(12, 16, requires_grad=True)
        ends = torch.tensor([3, 3, 8, 12], dtype=torch.int32)
        grouped = F.grouped_mm(tokens, self.weights, offs=ends)
        heads = torch.randn(2, 4, 10, 8, requires_grad=True)
        attended = F.scaled_dot_product_attention(heads, heads, heads)
        total = grouped.square().sum() + attended.square().sum()
        return type("Output", (), {"loss": total})

    def update_routers(self, expert_load):
        raise AssertionError

    def parameter_kinds(self):
        return {"weights": "experts"}


def test_grouped_products_and_fused_attention_are_counted():
    one = SequenceBatch(torch.zeros(1, 1, 3), torch.zeros(1, 2, 3))
    grouped = 3 * 2 * 12 * 16 * 8
    attention = (4 + 10) * 2 * 4 * 10 * 10 * 8  # two products forward, five backward
    assert flops_per_window(Products(), one) == grouped + attention


class Hindsight:
    """Forecasts the truth moved by a metre along x."""

    name = "hindsight"

    def __init__(self, targets):
        self.targets = targets

    def forecast(self, context, horizon):
        return PathForecast(mean=self.targets[: len(context)] + np.array([1.0, 0.0, 0.0]))


def test_scores_by_hand():
    rng = np.random.default_rng(0)
    spreads = np.array([0.5, 2.0, 1.0, 4.0])
    context = rng.normal(size=(4, 10, 3))
    context *= (spreads / np.sqrt(context.var(axis=1).mean(axis=-1)))[:, None, None]
    targets = rng.normal(size=(4, 5, 3))
    windows = EvaluationSet(context, targets, np.array([0, 0, 1, 1]), ("a", "b"), 0.02)
    scores = judge(Hindsight(targets), windows)
    assert scores.gn_by_type == pytest.approx({"a": gmean([2.0, 0.5]), "b": gmean([1.0, 0.25])})
    assert scores.gn == pytest.approx(gmean([1.0, 0.5]))
    assert scores.position_error == pytest.approx(1.0)


def test_changes_of_a_recipe():
    recipe = changed_recipe(
        RECIPES["residual-mlp"], ["learning_rate=0.5", "batch_size=7", "width=8", "blocks=1"]
    )
    assert (recipe.learning_rate, recipe.batch_size) == (0.5, 7)
    assert recipe.training(3).seed == 3
    network = recipe.build(LENGTH, HORIZON).network
    assert network.embedding.out_features == 8
    assert len(network.blocks) == 1
    with pytest.raises(ValueError, match="key=value"):
        changed_recipe(recipe, ["width"])
