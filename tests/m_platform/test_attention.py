"""Rotary positions and attention against textbook formulas."""

from __future__ import annotations

import math

import pytest
import torch

from m.attention import AttentionConfig, CausalSelfAttention
from m.attention.rope import rotate, rotation


def test_rotation_is_the_textbook_matrix():
    positions = torch.tensor([[0, 3, 1000]])
    heads = torch.randn(1, 2, 3, 6, dtype=torch.float64)
    rotated = rotate(heads, rotation(positions, 6, 100.0, torch.float64))
    for index, position in enumerate(positions[0].tolist()):
        for pair in range(3):
            angle = position * 100.0 ** (-2 * pair / 6)
            matrix = torch.tensor(
                [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64
            )
            expected = heads[:, :, index, 2 * pair : 2 * pair + 2] @ matrix.T
            torch.testing.assert_close(rotated[:, :, index, 2 * pair : 2 * pair + 2], expected)


def test_scores_depend_on_relative_positions_only_even_far_out():
    q, k = torch.randn(1, 1, 1, 32), torch.randn(1, 1, 1, 32)

    def score(a: int, b: int) -> float:
        def at(x, position):
            return rotate(x, rotation(torch.tensor([[position]]), 32, 1e4, torch.float32))

        return float((at(q, a) * at(k, b)).sum())

    assert score(1_000_007, 1_000_002) == pytest.approx(score(5, 0), abs=1e-4)
    assert score(5, 0) != pytest.approx(score(6, 0), abs=1e-2)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_grouped_query_attention_equals_explicit_loops_over_heads(kv_heads):
    torch.manual_seed(0)
    attention = CausalSelfAttention(16, AttentionConfig(n_heads=4, n_kv_heads=kv_heads)).double()
    x = torch.randn(2, 7, 16, dtype=torch.float64)
    rope = rotation(torch.arange(7)[None], 4, 1e4, torch.float64)
    heads = attention.qkv(x).view(2, 7, 4 + 2 * kv_heads, 4).transpose(1, 2)
    outputs = []
    for head in range(4):
        group = head // (4 // kv_heads)
        q = rotate(heads[:, head : head + 1], rope)[:, 0]
        k = rotate(heads[:, 4 + group : 5 + group], rope)[:, 0]
        v = heads[:, 4 + kv_heads + group]
        scores = (q @ k.transpose(-1, -2)) / 2.0  # sqrt(head_dim) = 2
        scores = scores.masked_fill(torch.ones(7, 7, dtype=torch.bool).triu(1), -torch.inf)
        outputs.append(scores.softmax(-1) @ v)
    expected = attention.out(torch.cat(outputs, dim=-1))
    torch.testing.assert_close(attention(x, rope), expected)


def test_a_cache_without_positions_is_refused():
    attention = CausalSelfAttention(16, AttentionConfig(n_heads=4))
    rope = rotation(torch.arange(3)[None], 4, 1e4, torch.float32)
    with pytest.raises(ValueError, match="needs the tokens' positions and a mask"):
        attention(torch.randn(1, 3, 16), rope, cache=object())


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_a_reach_of_one_token_is_full_attention_with_all_others_masked(kv_heads):
    torch.manual_seed(0)
    whole = CausalSelfAttention(16, AttentionConfig(n_heads=4, n_kv_heads=kv_heads)).double()
    alone = CausalSelfAttention(16, AttentionConfig(n_heads=4, n_kv_heads=kv_heads, reach=1)).double()
    with torch.no_grad():
        alone.qkv.weight.copy_(whole.qkv.weight[-4 * kv_heads :])  # the values, which come last
        alone.out.weight.copy_(whole.out.weight)
    x = torch.randn(2, 7, 16, dtype=torch.float64)
    rope = rotation(torch.arange(7)[None], 4, 1e4, torch.float64)
    mask = torch.eye(7, dtype=torch.bool)[None, None]
    torch.testing.assert_close(alone(x, rope), whole(x, rope, mask=mask), rtol=1e-12, atol=1e-12)
