"""Routers: balance, gates, losses, the registry."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from m.config import ConfigError
from m.routing import Router, RouterConfig, register_router, router_class, router_kinds
from m.routing.losses import load_balance_loss, z_loss
from m.routing.record import LayerRouting
from m.routing.sinkhorn import sinkhorn

KINDS = ("topk", "topk_bias", "sinkhorn")


def make_router(kind: str, **settings_) -> Router:
    torch.manual_seed(0)
    router = router_class(kind)(8, RouterConfig(kind=kind, n_experts=6, top_k=2, **settings_))
    torch.nn.init.normal_(router.projection.weight, std=1.0)
    return router


def load_of(experts: torch.Tensor, n_experts: int = 6) -> torch.Tensor:
    return torch.bincount(experts.flatten(), minlength=n_experts).float()


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@pytest.mark.parametrize("kind", KINDS)
def test_gates_are_the_scores_of_distinct_best_experts(kind, score):
    router = make_router(kind, score=score).eval()
    tokens = torch.randn(50, 8)
    routing = router(tokens, torch.ones(50, dtype=torch.bool))
    logits = tokens @ router.projection.weight.T
    scores = (logits.softmax(-1) if score == "softmax" else logits.sigmoid()).detach()
    for token in range(50):
        best = sorted(range(6), key=lambda e: -float(scores[token, e]))[:2]
        assert routing.experts[token].tolist() == best
    kept = scores.gather(1, routing.experts)
    torch.testing.assert_close(routing.weights, kept / kept.sum(1, keepdim=True))
    torch.testing.assert_close(routing.probabilities.sum(1), torch.ones(50))
    assert routing.losses == {}, "auxiliary losses belong to training"


def test_unnormalised_gates_and_temperature():
    sharp = make_router("topk", normalise_weights=False, temperature=0.5).eval()
    tokens = torch.randn(10, 8)
    routing = sharp(tokens, torch.ones(10, dtype=torch.bool))
    probabilities = (tokens @ sharp.projection.weight.T / 0.5).softmax(-1)
    torch.testing.assert_close(routing.weights, probabilities.gather(1, routing.experts))


def test_noise_changes_training_only():
    router = make_router("topk", noise_std=5.0)
    tokens, valid = torch.randn(64, 8), torch.ones(64, dtype=torch.bool)
    router.eval()
    assert torch.equal(router(tokens, valid).experts, router(tokens, valid).experts)
    router.train()
    assert not torch.equal(router(tokens, valid).experts, router(tokens, valid).experts)


def test_load_balance_loss_is_one_when_uniform_and_e_when_collapsed():
    valid = torch.ones(12, dtype=torch.bool)
    uniform = torch.full((12, 4), 0.25)
    spread = torch.arange(12)[:, None] % 4
    assert float(load_balance_loss(uniform, spread, valid)) == pytest.approx(1.0)
    collapsed = torch.nn.functional.one_hot(torch.zeros(12, dtype=torch.long), 4).float()
    assert float(load_balance_loss(collapsed, torch.zeros(12, 1, dtype=torch.long), valid)) == pytest.approx(
        4.0
    )


def test_losses_ignore_padding():
    torch.manual_seed(0)
    logits, experts = torch.randn(9, 4), torch.randint(0, 4, (9, 2))
    valid = torch.tensor([True] * 6 + [False] * 3)
    for changed in (logits, logits + 100 * (~valid)[:, None]):
        balance = load_balance_loss(changed.softmax(-1), experts, valid)
        torch.testing.assert_close(balance, load_balance_loss(logits[:6].softmax(-1), experts[:6], valid[:6]))
        torch.testing.assert_close(z_loss(changed, valid), logits[:6].logsumexp(-1).square().mean())


def test_bias_balances_a_skewed_load_without_touching_gates():
    router = make_router("topk_bias", bias_update_rate=0.003).eval()
    with torch.no_grad():
        router.projection.weight.mul_(0.1)
        router.projection.weight[0] += 0.6  # expert 0 starts as everybody's favourite
    tokens = torch.randn(600, 8) + 0.5
    valid = torch.ones(600, dtype=torch.bool)
    before = load_of(router(tokens, valid).experts)
    for _ in range(400):
        router.update(load_of(router(tokens, valid).experts))
    routing = router(tokens, valid)
    after = load_of(routing.experts)
    assert before.max() / before.mean() > 2.5
    assert after.max() / after.mean() < 1.3
    assert float(router.bias.mean()) == pytest.approx(0.0, abs=1e-6)
    kept = routing.probabilities.gather(1, routing.experts)
    torch.testing.assert_close(routing.weights, kept / kept.sum(1, keepdim=True))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 100))
def test_sinkhorn_plan_is_balanced(tokens, experts, seed):
    logits = 3 * torch.randn(tokens, experts, generator=torch.Generator().manual_seed(seed))
    plan = sinkhorn(logits, 200).exp()
    torch.testing.assert_close(plan.sum(1), torch.ones(tokens), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(plan.sum(0), torch.full((experts,), tokens / experts), rtol=0.05, atol=0.05)


def test_sinkhorn_balances_training_where_plain_topk_does_not():
    router = make_router("sinkhorn", sinkhorn_iterations=20)
    with torch.no_grad():
        router.projection.weight[0] += 1.0
    tokens, valid = torch.randn(600, 8) + 1.0, torch.ones(600, dtype=torch.bool)
    router.eval()
    plain = load_of(router(tokens, valid).experts)
    router.train()
    balanced = load_of(router(tokens, valid).experts)
    assert plain.max() / plain.mean() > 2
    assert balanced.max() / balanced.mean() < 1.5


def test_users_add_a_router_by_registering_one_class():
    @register_router("first_experts_for_test")
    class FirstExperts(Router):
        """Always the first K experts."""

        def selection(self, logits, scores, valid):
            return -torch.arange(logits.shape[-1]).expand_as(logits).float()

    assert "first_experts_for_test" in router_kinds()
    router = make_router("first_experts_for_test").eval()
    routing = router(torch.randn(5, 8), torch.ones(5, dtype=torch.bool))
    assert routing.experts.tolist() == [[0, 1]] * 5
    with pytest.raises(ValueError, match="already registered"):
        register_router("first_experts_for_test")(FirstExperts)


def test_an_unknown_router_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'sinkhorn'"):
        router_class("sinkhron")


def test_layer_record_counts_load_importance_and_entropy_of_valid_tokens_only():
    probabilities = torch.tensor([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    experts = torch.tensor([[[0, 1], [0, 1], [2, 0]]])
    valid = torch.tensor([[True, True, False]])
    record = LayerRouting(experts, torch.ones(1, 3, 2), probabilities, valid)
    assert record.load.tolist() == [2.0, 2.0, 0.0]
    torch.testing.assert_close(record.importance, torch.tensor([0.75, 0.25, 0.0]))
    assert float(record.entropy) == pytest.approx(math.log(2) / 2)
