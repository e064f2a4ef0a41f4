"""Causal means causal: no output depends on later points, batch mates or padding; cached = uncached."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference import CAUSAL_ROUTERS, small_config, small_model
from torch.testing import assert_close

from m.moe import MoESequenceRegressor, compute_anchor
from m.moe.config import AnchorConfig
from m.routing import Router, register_router
from m.routing.record import Routing

routers = pytest.mark.parametrize("router", CAUSAL_ROUTERS)


def random_paths(batch: int, length: int, channels: int = 3) -> torch.Tensor:
    torch.manual_seed(7)
    return torch.randn(batch, length, channels, dtype=torch.float64).cumsum(1)


def run(model, points, anchor, lengths=None):
    with torch.no_grad():
        return model(points, anchor=anchor, lengths=lengths).distribution


def anchored(model, points, length=8):
    return compute_anchor(points, torch.full((len(points),), length), model.config.anchor)


@routers
def test_the_future_does_not_leak_into_the_past(router):
    model, points = small_model(router), random_paths(2, 24)
    anchor = anchored(model, points)
    before = run(model, points, anchor)
    for time in (8, 15, 23):
        changed = points.clone()
        changed[:, time:] += 5 * torch.randn_like(changed[:, time:])
        after = run(model, changed, anchor)
        assert torch.equal(before.location[:, :time], after.location[:, :time])
        assert torch.equal(before.scale[:, :time], after.scale[:, :time])
        assert not torch.allclose(before.location[:, time], after.location[:, time])


@routers
def test_batch_mates_do_not_matter(router):
    model, points = small_model(router), random_paths(5, 20)
    together = run(model, points, anchored(model, points))
    for row in range(5):
        alone = run(model, points[row : row + 1], anchored(model, points[row : row + 1]))
        assert_close(alone.location[0], together.location[row], rtol=1e-5, atol=1e-5)
        assert_close(alone.scale[0], together.scale[row], rtol=1e-5, atol=1e-5)


@routers
def test_padding_does_not_matter_whatever_it_holds(router):
    model, points = small_model(router), random_paths(3, 20)
    lengths = torch.tensor([20, 13, 9])
    results = []
    for filling in (0.0, 1e3, 1e20, np.inf, np.nan):
        padded = points.clone()
        for row, length in enumerate(lengths.tolist()):
            padded[row, length:] = filling
        with torch.no_grad():
            results.append(model(padded, lengths=lengths).distribution)
    for row, length in enumerate(lengths.tolist()):
        for other in results[1:]:
            assert torch.equal(results[0].location[row, :length], other.location[row, :length])
        with torch.no_grad():
            alone = model(points[row : row + 1, :length]).distribution
        assert_close(alone.location[0], results[0].location[row, :length], rtol=1e-5, atol=1e-5)


@routers
def test_padding_is_in_no_routing_statistic(router):
    model, points = small_model(router), random_paths(2, 20)
    with torch.no_grad():
        routing = model(points, lengths=torch.tensor([20, 5])).routing
    for layer in routing.layers:
        assert layer.load.sum() == 25 * 2
        assert float(layer.importance.sum()) == pytest.approx(1.0, abs=1e-5)
    assert bool(routing.layers) == (router != "dense")


@routers
@pytest.mark.parametrize("chunks", [[1] * 20, [7, 1, 1, 11], [20]])
def test_a_full_pass_equals_decoding_step_by_step(router, chunks):
    model, points = small_model(router), random_paths(2, 20)
    anchor = anchored(model, points)
    whole = run(model, points, anchor)
    cache = model.allocate_cache(2, 32)
    start, locations, scales = 0, [], []
    for size in chunks:
        positions = torch.arange(start, start + size).expand(2, -1)
        with torch.no_grad():
            part = model(points[:, start : start + size], anchor=anchor, positions=positions, cache=cache)
        locations.append(part.distribution.location)
        scales.append(part.distribution.scale)
        start += size
    assert_close(torch.cat(locations, 1), whole.location, rtol=1e-5, atol=1e-5)
    assert_close(torch.cat(scales, 1), whole.scale, rtol=1e-5, atol=1e-5)


@routers
def test_contexts_of_different_lengths_roll_on_together_as_alone(router):
    model, points = small_model(router), random_paths(3, 20).numpy()
    lengths = [20, 12, 5]
    for row, length in enumerate(lengths):
        points[row, length:] = (0.0, 1e17, np.nan)[row]
    together = model.forecast(points, 11, lengths=lengths).points
    for row, length in enumerate(lengths):
        alone = model.forecast(points[row, :length], 11).points
        np.testing.assert_allclose(together[row], alone, rtol=1e-5, atol=1e-5)


def test_rolling_on_equals_feeding_predictions_back_by_hand():
    model, points = small_model(anchor=AnchorConfig(rolling="held")), random_paths(2, 16)
    anchor = compute_anchor(points, torch.full((2,), 16), model.config.anchor)
    path = points
    for _ in range(3):
        distribution = run(model, path, anchor)
        block = anchor.restore(distribution.location[:, -1].double())
        path = torch.cat((path, block), 1)
    expected = path[:, 16:26].numpy()
    np.testing.assert_allclose(model.forecast(points.numpy(), 10).points, expected, rtol=1e-5, atol=1e-4)


def test_rolling_on_afresh_equals_asking_again_with_what_was_forecast():
    model, path = small_model(), random_paths(2, 16).numpy()
    long = model.forecast(path, 10)
    for first in (0, 4, 8):
        block = model.forecast(path, 4).mean
        np.testing.assert_allclose(
            long.points[:, first : first + 4], block[:, : 10 - first], rtol=0, atol=1e-9
        )
        path = np.concatenate((path, block), 1)


def test_a_cache_is_continued_knowingly_or_not_at_all():
    model, points = small_model(), random_paths(2, 8)
    anchor, cache = anchored(model, points), model.allocate_cache(2, 8)
    with pytest.raises(ValueError, match="pass the cache too"):
        model(points, anchor=anchor, positions=torch.arange(8).expand(2, -1))
    with pytest.raises(ValueError, match="9 points do not fit a cache of 8"):
        model(random_paths(2, 9), cache=cache)
    model(points[:, :4], anchor=anchor, cache=cache)
    with pytest.raises(ValueError, match="need their positions and the anchor"):
        model(points[:, 4:], cache=cache)


def test_a_router_that_is_not_causal_says_so_and_is_refused_for_generation():
    @register_router("expert_choice_for_test")
    class ExpertChoice(Router):
        """Experts pick tokens: every token's routing depends on the others."""

        causal = False

        def forward(self, tokens, valid):
            probabilities = self.logits(tokens).softmax(0)
            experts = probabilities.topk(self.config.top_k, -1).indices
            return Routing(experts, probabilities.gather(1, experts), probabilities)

    model = MoESequenceRegressor(small_config("expert_choice_for_test"))
    with pytest.raises(ValueError, match=r"ExpertChoice.*causal = False.*cannot generate"):
        model.forecast(np.zeros((4, 3)), 2)


def test_sinkhorn_forecasts_in_training_mode_are_still_causal():
    model, points = small_model("sinkhorn"), random_paths(4, 16).numpy()
    model.train()
    together = model.forecast(points, 4).points
    np.testing.assert_allclose(model.forecast(points[1], 4).points, together[1], rtol=1e-5, atol=1e-5)
    assert model.training, "forecast puts the model's mode back"
