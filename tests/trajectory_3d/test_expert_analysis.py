"""The analysis of experts: planted routers must show, and counts agree with loops over tokens."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.experts.analysis import (
    analyse_experts,
    balance,
    confidence,
    successions,
    together,
)
from examples.trajectory_3d.experts.collect import LayerTable, RoutingTable, collect_routing
from examples.trajectory_3d.experts.lesions import Lesions, measure_lesions
from examples.trajectory_3d.experts.summary import partner_shares, to_json, worth_claims
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.windows import evaluation_windows
from m.experts import ExpertsConfig
from m.heads.config import HeadConfig
from m.moe import ModelConfig, MoESequenceRegressor, switched_off
from m.routing import RouterConfig

DATA = DatasetConfig(sequence_length=24, prediction_length=4, type_weights={"helical": 0.5, "lorenz": 0.5})


@pytest.fixture(scope="module")
def windows():
    return evaluation_windows(DATA, "test", 60)


def make_model(*, stride: int = 8, **router) -> MoESequenceRegressor:
    torch.manual_seed(1)
    config = ModelConfig(
        dim=32,
        n_layers=2,
        window=16,
        stride=stride,
        router=RouterConfig(**{"kind": "topk_bias", "n_experts": 4, "top_k": 2, **router}),
        experts=ExpertsConfig(hidden_dim=16),
        head=HeadConfig(prediction_steps=4),
    )
    model = MoESequenceRegressor(config)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def test_collected_routing_is_that_of_the_forecast(windows):
    model = make_model()
    table = collect_routing(model, windows.context, batch_size=17)
    record = model.forecast(windows.context, 4).routing
    assert table.positions.tolist() == [7, 15, 23]
    for ours, layer in zip(table.layers, record.layers, strict=True):
        np.testing.assert_array_equal(ours.experts, layer.experts.numpy())
        np.testing.assert_allclose(ours.probabilities, layer.probabilities.numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="no window"):
        collect_routing(model, windows.context[:0])


def test_a_planted_favourite_shows_in_balance_specialisation_and_worth(windows):
    model = make_model(top_k=1)
    before = analyse_experts(model, windows)
    model.routers()[0].bias[2] = 10.0
    after = analyse_experts(model, windows)
    assert before is not None
    assert after is not None
    assert before.layers[0].balance.variation < 1.5
    planted = after.layers[0]
    np.testing.assert_array_equal(planted.balance.load, [0, 0, 1, 0])
    assert planted.balance.variation == pytest.approx(np.sqrt(3))
    assert planted.balance.entropy == 0.0
    assert planted.balance.unused == 3
    assert planted.stability == 1.0
    assert planted.specialisations["motion type"].information == 0.0
    harm = after.lesions.harm[0]
    np.testing.assert_array_equal(harm[[0, 1, 3]], 0.0)
    assert np.abs(harm[2]).min() > 1e-4
    assert after.layers[1].balance.unused < 3  # the other layer's router was left alone


def test_a_router_that_knows_the_type_explains_it(windows, monkeypatch):
    """Experts planted by motion type: all of the type's entropy is explained, each has lift 2."""
    model = make_model(top_k=1)
    kinds = torch.as_tensor(windows.type_ids)
    router = type(model.routers()[0])
    original = router.selection

    def planted(self, logits, scores, valid):
        if self is not model.routers()[1]:
            return original(self, logits, scores, valid)
        per_window = len(logits) // len(kinds)
        return torch.nn.functional.one_hot(kinds.repeat_interleave(per_window) + 1, 4).to(scores)

    monkeypatch.setattr(router, "selection", planted)
    table = collect_routing(model, windows.context)
    monkeypatch.undo()
    assert np.unique(table.layers[1].experts).tolist() == [1, 2]
    monkeypatch.setattr("examples.trajectory_3d.experts.analysis.collect_routing", lambda *_, **__: table)
    analysis = analyse_experts(model, windows)
    assert analysis is not None
    found = analysis.layers[1].specialisations["motion type"]
    assert found.explained == pytest.approx(1.0)
    np.testing.assert_allclose(found.shares, [[0, 1, 0, 0], [0, 0, 1, 0]])
    assert found.p_value < 1e-6
    assert analysis.layers[0].specialisations["motion type"].explained < 0.7


def test_lesions_are_forecasts_without_the_expert_of_all_windows(windows):
    """The shortcut, forecasting only the windows concerned, gives what forecasting all gives."""
    model = make_model()
    lesions = measure_lesions(model, windows, collect_routing(model, windows.context))
    groups = windows.groups()
    for layer, expert in ((0, 1), (1, 3)):
        with switched_off(model, layer, expert):
            error = position_error(model.forecast(windows.context, 4).mean, windows.targets)
        expected = [error[groups[name]].mean() for name in lesions.groups]
        np.testing.assert_allclose(lesions.damaged[layer, expert], expected, rtol=1e-6)
    whole = position_error(model.forecast(windows.context, 4).mean, windows.targets)
    np.testing.assert_allclose(lesions.whole, [whole[groups[name]].mean() for name in lesions.groups])


def test_agreement_is_the_rank_correlation_of_serving_and_harm():
    served = np.array([[[0.9, 0.1], [0.1, 0.8]]])
    damaged = 1.0 + np.array([[[0.5, 0.0], [0.1, 0.3]]])
    lesions = Lesions(("a", "b"), np.ones(2), damaged, served)
    np.testing.assert_allclose(lesions.harm, damaged - 1.0)
    # Ranks of serving: 4, 1.5, 1.5, 3; of harm: 4, 1, 2, 3.
    assert lesions.agreement(0) == pytest.approx(np.corrcoef([4, 1.5, 1.5, 3], [4, 1, 2, 3])[0, 1])
    flat = Lesions(("a", "b"), np.ones(2), np.ones((1, 2, 2)), served)
    assert np.isnan(flat.agreement(0))


def test_partners_are_counted_token_by_token(windows):
    model = make_model()
    analysis = analyse_experts(model, windows)
    assert analysis is not None
    layer, chosen = analysis.layers[1], analysis.routing.layers[1].experts.reshape(-1, 2).tolist()
    shares = partner_shares(layer)
    for first in range(4):
        tokens = [pair for pair in chosen if first in pair]
        for second in set(range(4)) - {first}:
            expected = sum(second in pair for pair in tokens) / len(tokens) if tokens else np.nan
            np.testing.assert_allclose(shares[first, second], expected)
    assert np.isnan(np.diag(shares)).all()
    assert to_json(analysis)["layers"][1]["together_shares"][0][0] is None
    alone = analyse_experts(make_model(top_k=1), windows)
    assert alone is not None
    assert to_json(alone)["layers"][0]["together_shares"] is None
    with pytest.raises(ValueError, match="top-1"):
        partner_shares(alone.layers[0])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ([[[0.5, 0.1], [0.0, 0.2]]], "Who serves a type more is missed more by it: rank correlation 1.00."),
        ([[[0.0, 0.1], [0.5, 0.05]]], "Who serves a type more is hardly missed more by it: rank correlation"),
        ([[[0.5, 0.1], [0.0, 0.2]], [[0.0, 0.1], [0.5, 0.05]]], "In some layers only, who serves"),
        ([[[0.0, 0.0], [-0.1, 0.005]]], "No expert is missed"),
    ],
)
def test_what_is_said_of_worth_follows_the_numbers(windows, harm, said):
    analysis = analyse_experts(make_model(), windows)
    assert analysis is not None
    served = np.array([[[0.9, 0.2], [0.1, 0.8]]] * len(harm))
    lesions = Lesions(("helical", "lorenz"), np.ones(2), 1.0 + np.array(harm), served)
    layers = analysis.layers[: len(harm)]
    claims = " ".join(worth_claims(replace(analysis, lesions=lesions, layers=layers)))
    assert said in claims
    assert claims.count("missed more") == (said != "No expert is missed")


def random_table(experts: int, top_k: int, seed: int = 0) -> LayerTable:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(experts), (30, 2))
    chosen = np.argsort(-probabilities, axis=-1)[..., :top_k]
    return LayerTable(chosen, np.take_along_axis(probabilities, chosen, -1), probabilities)


def test_pairs_and_successions_equal_counts_by_hand():
    first, second = random_table(4, 3), random_table(4, 3, seed=1)
    pairs = np.zeros((4, 4), dtype=int)
    for token in first.experts.reshape(-1, 3):
        for a in token:
            for b in token:
                pairs[a, b] += a != b
    np.testing.assert_array_equal(together(first), pairs)
    assert together(random_table(4, 1)) is None
    (table,) = successions(RoutingTable((first, second), np.arange(2)))
    for a in range(4):
        for b in range(4):
            assert table.counts[a, b] == ((first.experts[..., 0] == a) & (second.experts[..., 0] == b)).sum()


def test_confidence_of_certain_and_of_even_routers():
    certain = LayerTable(np.zeros((2, 1, 1), int), np.ones((2, 1, 1)), np.eye(4)[[[0], [0]]])
    even = LayerTable(np.zeros((2, 1, 1), int), np.ones((2, 1, 1)), np.full((2, 1, 4), 0.25))
    members = [np.array([0]), np.array([1])]
    sure, lost = confidence(certain, members), confidence(even, members)
    assert (sure.top, sure.margin, sure.entropy) == (1.0, 1.0, 0.0)
    assert (lost.top, lost.margin) == (0.25, 0.0)
    assert lost.entropy == pytest.approx(np.log(4))
    np.testing.assert_allclose(lost.entropy_by_type, np.log(4))
    assert balance(certain).entropy == 0.0


def test_windows_with_several_tokens_are_asked_for_their_place(windows):
    several = analyse_experts(make_model(stride=8), windows)
    single = analyse_experts(make_model(stride=16), windows)  # 24 points: tokens at 8 and 24
    assert several is not None
    assert single is not None
    assert several.tokens == 180
    places = several.layers[0].specialisations["position in the context"]
    assert places.counts.sum() == 180 * 2
    assert len(places.groups) == 3


def test_a_dense_model_has_no_experts_to_analyse(windows):
    assert analyse_experts(make_model(kind="dense"), windows) is None
    with pytest.raises(ValueError, match="dense"):
        measure_lesions(make_model(), windows, RoutingTable((), np.arange(1)))
