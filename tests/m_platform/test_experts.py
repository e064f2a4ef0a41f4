"""Experts against a naive loop, in float64, forward and backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import assert_equals_naive_loop

from m.experts import Experts, ExpertsConfig, FeedForward, grouped_matmul
from m.experts import experts as experts_module
from m.experts.matmul import grouped_mm_obstacle
from m.experts.plan import dispatch
from m.experts.rows import combine, sort_by_expert
from m.moe.layer import MoELayer
from m.routing import RouterConfig

ACTIVATIONS = ("gelu", "relu", "silu", "swiglu", "geglu", "reglu")


def make_experts(kernel: str, activation: str, dtype: torch.dtype, n_experts: int = 5) -> Experts:
    torch.manual_seed(0)
    experts = Experts(8, n_experts, ExpertsConfig(hidden_dim=16, activation=activation, kernel=kernel))
    for parameter in experts.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return experts.to(dtype)


def random_routing(tokens: int, n_experts: int, top_k: int, dtype: torch.dtype):
    scores = torch.rand(tokens, n_experts, dtype=dtype)
    experts = scores.topk(top_k, dim=-1).indices
    return experts, scores.gather(1, experts).detach().requires_grad_()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kernel", ["auto", "loop", "batched"])
def test_experts_equal_the_naive_loop_in_float64_forward_and_backward(kernel, activation):
    experts = make_experts(kernel, activation, torch.float64)
    tokens = torch.randn(23, 8, dtype=torch.float64, requires_grad=True)
    chosen, weights = random_routing(23, 5, 2, torch.float64)
    assert_equals_naive_loop(experts, tokens, chosen, weights)


@pytest.mark.parametrize("top_k", [1, 3])
def test_grouped_mm_equals_the_loop_in_float32_with_empty_experts(top_k):
    tokens = torch.randn(40, 8)
    chosen, weights = random_routing(40, 5, top_k, torch.float32)
    chosen = torch.where(chosen == 2, 4, chosen)  # nobody goes to expert 2; some pairs repeat
    results = []
    for kernel in ("grouped_mm", "loop", "batched"):
        experts = make_experts(kernel, "swiglu", torch.float32)
        if kernel == "batched":  # its gate matrix holds one weight per token and expert
            gate = torch.zeros(40, 5).scatter_add(1, chosen, weights)
            hidden = torch.einsum("nd,edf->enf", tokens, experts.w_in)
            a, b = hidden.chunk(2, -1)
            outputs = torch.einsum("enf,efd->end", torch.nn.functional.silu(a) * b, experts.w_out)
            results.append(torch.einsum("ne,end->nd", gate, outputs))
        else:
            results.append(experts(tokens, chosen, weights))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results[0], results[2], rtol=1e-5, atol=1e-5)


def test_gradcheck_of_the_whole_moe_layer():
    torch.manual_seed(0)
    layer = MoELayer(
        8,
        RouterConfig(n_experts=3, top_k=2, balance_loss_weight=0.0, z_loss_weight=0.0),
        ExpertsConfig(hidden_dim=8, shared_hidden_dim=8),
    ).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    valid = torch.ones(2, 3, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda value: layer(value, valid)[0], (x,))


def test_one_expert_is_a_dense_feed_forward():
    torch.manual_seed(0)
    layer = MoELayer(16, RouterConfig(n_experts=1, top_k=1), ExpertsConfig(hidden_dim=24)).eval()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    dense = FeedForward(16, 24, "swiglu")
    with torch.no_grad():
        dense.w_in.weight.copy_(layer.experts.w_in[0].T)
        dense.w_out.weight.copy_(layer.experts.w_out[0].T)
    x = torch.randn(3, 7, 16)
    mixed, _ = layer(x, torch.ones(3, 7, dtype=torch.bool))
    torch.testing.assert_close(mixed, dense(x), rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(1, 6), st.integers(1, 4), st.integers(0, 1000))
def test_dispatch_is_a_permutation_that_combine_undoes(tokens, n_experts, top_k, seed):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(0, n_experts, (tokens, top_k), generator=generator)
    plan = dispatch(chosen, n_experts)
    assert plan.counts.sum() == tokens * top_k
    # Sorted pairs belong to the expert whose run they lie in.
    run = torch.arange(n_experts).repeat_interleave(plan.counts)
    assert (chosen.flatten()[plan.inverse.argsort()] == run).all()
    # Weights of ones: each token's own value comes back K times.
    values = torch.randn(tokens, 2, generator=generator)
    back = combine(values[plan.source], torch.ones(tokens, top_k), plan)
    torch.testing.assert_close(back, top_k * values)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 40), st.integers(1, 6), st.integers(1, 4), st.sampled_from([2, 4, 16]), st.integers(0, 99)
)
def test_runs_filled_up_change_no_number_and_no_gradient(tokens, n_experts, top_k, multiple, seed):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(0, n_experts, (tokens, top_k), generator=generator)
    values = torch.randn(tokens, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(tokens, top_k, generator=generator, dtype=torch.float64, requires_grad=True)
    factors = torch.rand(n_experts, 1, generator=generator, dtype=torch.float64, requires_grad=True)
    found = []
    for rows in (1, multiple):
        plan = dispatch(chosen, n_experts, rows)
        assert (plan.counts % rows == 0).all()
        by_row = factors.repeat_interleave(plan.counts, 0)  # stands for each expert's network
        sorted_values = sort_by_expert(values, plan)
        if plan.filling is not None:
            assert len(plan.filling) == len(sorted_values) - tokens * top_k
            assert not sorted_values[plan.filling].any()
        result = combine(sorted_values * by_row + by_row, weights, plan)
        direction = torch.arange(result.numel(), dtype=torch.float64).view_as(result)
        found.append((result, *torch.autograd.grad((result * direction).sum(), (values, weights, factors))))
    expected = ((values[:, None] + 1) * factors[chosen] * weights[..., None]).sum(1)
    torch.testing.assert_close(found[0][0], expected)
    for plain, filled in zip(*found, strict=True):
        torch.testing.assert_close(filled, plain, rtol=1e-12, atol=1e-12)


def test_products_in_bf16_meet_few_numbers_of_rows(monkeypatch):
    # A kernel is compiled for each number of rows; with as many as there are batches, none is found again.
    seen = set()
    original = experts_module.grouped_matmul

    def noted(tokens, weights, counts, kernel):
        seen.update(counts.tolist())
        return original(tokens, weights, counts, kernel)

    monkeypatch.setattr(experts_module, "grouped_matmul", noted)
    experts = make_experts("auto", "swiglu", torch.float32)
    for seed in range(30):
        torch.manual_seed(seed)
        chosen, weights = random_routing(400, 5, 2, torch.float32)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            experts(torch.randn(400, 8), chosen, weights)
    assert len(seen) <= 6  # 160 +- 10 rows of an expert: 128 to 208 by sixteens
    seen.clear()
    chosen, weights = random_routing(3, 5, 2, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        experts(torch.randn(3, 8), chosen, weights)
    assert sum(seen) <= 6, "filling up so few tokens would multiply the work"


def test_grouped_mm_is_refused_by_name_where_it_cannot_work():
    tokens, weights = torch.randn(4, 6), torch.randn(2, 6, 8)
    assert "multiples of 16 bytes" in str(grouped_mm_obstacle(tokens, weights))
    assert "float64" in str(grouped_mm_obstacle(tokens.double(), weights.double()))
    counts = torch.tensor([1, 3])
    with pytest.raises(ValueError, match="multiples of 16 bytes.*use 'auto' or 'loop'"):
        grouped_matmul(tokens, weights, counts, "grouped_mm")
    expected = torch.cat([tokens[:1] @ weights[0], tokens[1:] @ weights[1]])
    torch.testing.assert_close(grouped_matmul(tokens, weights, counts, "auto"), expected)


def test_bf16_autocast_computes_experts_in_bf16_and_returns_float32():
    experts = make_experts("auto", "swiglu", torch.float32)
    tokens = torch.randn(32, 8)
    chosen, weights = random_routing(32, 5, 2, torch.float32)
    exact = experts(tokens, chosen, weights)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = experts(tokens, chosen, weights)
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, rtol=0.05, atol=0.05)


def test_a_router_of_one_expert_per_token_learns_from_the_task():
    """A gate divided by itself would be 1: no gradient, and routing that never learns."""
    torch.manual_seed(0)
    config = RouterConfig(n_experts=4, top_k=1, balance_loss_weight=0.0, z_loss_weight=0.0)
    layer = MoELayer(8, config, ExpertsConfig(hidden_dim=8))
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    mixed, _ = layer(torch.randn(2, 16, 8), torch.ones(2, 16, dtype=torch.bool))
    mixed.square().mean().backward()
    assert layer.router.projection.weight.grad.abs().max() > 1e-4
