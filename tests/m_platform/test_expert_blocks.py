"""Experts in blocks of rows, and sums by token added in place, against a naive loop in float64."""

from __future__ import annotations

import pytest
import torch
from reference import assert_equals_naive_loop, naive_experts

from m.experts import Experts, ExpertsConfig, blocks, rows
from m.experts import experts as experts_module
from m.experts.plan import dispatch
from m.experts.rows import blocks_of

ROWS = 16  # of the smallest block


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK_BYTES", 1)


@pytest.fixture
def added_in_place(monkeypatch):
    monkeypatch.setattr(rows, "_MANY_BYTES", 0)


def make_experts(n_experts: int) -> Experts:
    torch.manual_seed(0)
    experts = Experts(8, n_experts, ExpertsConfig(hidden_dim=16)).double()
    for parameter in experts.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return experts


def routing(tokens: int, n_experts: int, top_k: int):
    scores = torch.rand(tokens, n_experts, dtype=torch.float64)
    scores[:, 1] = 0  # seldom or never chosen
    chosen = scores.topk(top_k, dim=-1).indices
    return chosen, scores.gather(1, chosen).requires_grad_()


@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("tokens", [1, 7, 100])
@pytest.mark.usefixtures("small_blocks")
def test_forward_in_blocks_equals_the_naive_loop(monkeypatch, tokens, top_k):
    seen = []
    original = experts_module.grouped_matmul

    def noted(rows, weights, counts, kernel):
        seen.append((len(rows), int(counts.sum())))
        return original(rows, weights, counts, kernel)

    monkeypatch.setattr(experts_module, "grouped_matmul", noted)
    experts = make_experts(5)
    x = torch.randn(tokens, 8, dtype=torch.float64)
    chosen, weights = routing(tokens, 5, top_k)
    with torch.no_grad():
        actual = experts(x, chosen, weights)
        expected = naive_experts(x, experts.w_in, experts.w_out, chosen, weights, "swiglu")
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    assert all(rows <= ROWS and rows == counted for rows, counted in seen)


@pytest.mark.usefixtures("small_blocks", "added_in_place")
def test_no_tokens_give_no_tokens():
    experts = make_experts(5)
    chosen, weights = routing(0, 5, 2)
    assert experts(torch.zeros(0, 8, dtype=torch.float64), chosen, weights).shape == (0, 8)


@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.usefixtures("small_blocks", "added_in_place")
def test_gradients_of_sums_in_place_equal_the_naive_loops(top_k):
    experts = make_experts(5)
    x = torch.randn(60, 8, dtype=torch.float64, requires_grad=True)
    chosen, weights = routing(60, 5, top_k)
    assert_equals_naive_loop(experts, x, chosen, weights)


@pytest.mark.usefixtures("small_blocks", "added_in_place")
def test_runs_that_are_filled_up_give_the_same_in_blocks_as_whole(monkeypatch):
    torch.manual_seed(0)
    experts = Experts(8, 4, ExpertsConfig(hidden_dim=16))
    experts.reset_parameters(1.0)
    x = torch.randn(200, 8)
    chosen = torch.rand(200, 4).topk(3).indices
    weights = torch.rand(200, 3)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        in_blocks = experts(x, chosen, weights)
        again = experts(x, chosen, weights)
        monkeypatch.setattr(blocks, "_BLOCK_BYTES", 1 << 30)
        whole = experts(x, chosen, weights)
    assert torch.equal(in_blocks, again)
    torch.testing.assert_close(in_blocks, whole, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("row_multiple", [1, 16])
@pytest.mark.usefixtures("small_blocks")
def test_blocks_hold_every_row_of_a_plan_once(row_multiple):
    torch.manual_seed(0)
    plan = dispatch(torch.randint(0, 6, (90, 2)), 6, row_multiple)
    parts = list(blocks_of(plan, row_bytes=1))
    assert len(parts) > 5
    assert torch.equal(torch.cat([part.source for part in parts]), plan.source)
    assert torch.equal(torch.stack([part.counts for part in parts]).sum(0), plan.counts)
    assert all(part.counts.sum() == len(part.source) for part in parts)
    if plan.filling is not None:
        places = torch.cat([part.filling + part.rows.start for part in parts])
        assert torch.equal(places, plan.filling)
