"""Attention by two batched products against PyTorch's kernel in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from m.attention import attend as attend_module
from m.attention.attend import attend, attend_holding_scores

BATCH, HEADS, TOKENS, WIDTH = 3, 4, 9, 8


def inputs(groups: int, keys: int = TOKENS, dtype: torch.dtype = torch.float64):
    torch.manual_seed(groups)
    shapes = ((BATCH, HEADS, TOKENS, WIDTH), *2 * ((BATCH, groups, keys, WIDTH),))
    return [torch.randn(shape).to(dtype).requires_grad_() for shape in shapes]


def by_pytorch(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=True)


def masks(kind: str, keys: int) -> torch.Tensor | None:
    torch.manual_seed(1)
    if kind == "causal":
        return None
    mask = torch.rand(BATCH if kind == "of each" else 1, 1, TOKENS, keys) < 0.5
    mask[..., 0] = True  # a token sees something
    return mask


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("kind", "keys"), [("causal", TOKENS), ("of all", 13), ("of each", 13)])
def test_held_scores_give_the_kernels_numbers_and_gradients(groups, kind, keys):
    tensors, mask = inputs(groups, keys), masks(kind, keys)
    actual, expected = attend_holding_scores(*tensors, mask), by_pytorch(*tensors, mask)
    torch.testing.assert_close(actual, expected)
    direction = torch.randn_like(actual)
    got, want = (torch.autograd.grad((x * direction).sum(), tensors) for x in (actual, expected))
    for mine, theirs in zip(got, want, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_rounding_in_bf16_is_that_of_the_kernel_or_little_more():
    tensors = inputs(2, dtype=torch.bfloat16)
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    direction = torch.randn(BATCH, HEADS, TOKENS, WIDTH).bfloat16()

    def errors(found, sources):
        gradients = torch.autograd.grad((found * direction.to(found.dtype)).sum(), sources)
        reference = by_pytorch(*exact, None)
        true = torch.autograd.grad((reference * direction.double()).sum(), exact)
        pairs = zip((found, *gradients), (reference, *true), strict=True)
        return [float((mine.double() - theirs).norm() / theirs.norm()) for mine, theirs in pairs]

    held = errors(attend_holding_scores(*tensors), tensors)
    kernel = errors(by_pytorch(*tensors, None), tensors)
    assert max(held) < 2 * max(kernel)
    assert max(held) < 0.01


@pytest.mark.parametrize(
    ("dtype", "most", "expected"),
    [(torch.bfloat16, 512, True), (torch.bfloat16, TOKENS - 1, False), (torch.float32, 512, False)],
)
def test_scores_are_held_for_few_keys_in_bf16(monkeypatch, dtype, most, expected):
    asked = []
    monkeypatch.setattr(attend_module, "_FEW_KEYS", most)
    monkeypatch.setattr(attend_module, "attend_holding_scores", lambda *_: asked.append(True))
    attend(*inputs(2, dtype=dtype))
    assert bool(asked) is expected
