"""The one seam where a kernel for attention's products is chosen."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_FEW_KEYS = 512  # up to which the scores of all pairs may be held


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Weighted means of values, ``softmax(q k^T / sqrt(hd)) v``.

    Args:
        q: ``[B, H, T, hd]``.
        k: ``[B, G, S, hd]``; H is a multiple of G, and heads in a row share keys (Ainslie et al. 2023,
            arXiv 2305.13245).
        v: ``[B, G, S, hd]``.
        mask: ``[B or 1, 1, T, S]`` bool, True where visible; None, with S = T: each sees itself and
            all before.

    Returns:
        ``[B, H, T, hd]``.
    """
    if _held_scores_pay(q, k):
        return attend_holding_scores(q, k, v, mask)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=q.shape[1] != k.shape[1]
    )


def attend_holding_scores(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """As `attend`, by two batched products with the scores of all pairs between them.

    Heads that share keys are one product. Scores are rounded to the type of ``q``.
    """
    batch, heads, length, width = q.shape
    groups, keys = k.shape[1], k.shape[2]
    rows = q.reshape(batch * groups, -1, width)  # [B G, (H / G) T, hd]
    bias = _bias(mask, length, q).unsqueeze(2).expand(-1, groups, heads // groups, -1, -1)
    bias = bias.reshape(-1, rows.shape[1], keys) if len(bias) > 1 else bias[0, 0].reshape(1, -1, keys)
    scores = torch.baddbmm(
        bias.expand(len(rows), -1, -1), rows, k.reshape(len(rows), keys, width).mT, alpha=width**-0.5
    )
    return (scores.softmax(-1) @ v.reshape(len(rows), keys, width)).view(q.shape)


def _bias(mask: Tensor | None, length: int, like: Tensor) -> Tensor:
    """0 where visible, else minus infinity, ``[B or 1, 1, T, S]``."""
    if mask is None:
        mask = torch.ones(1, 1, length, length, dtype=torch.bool, device=like.device).tril()
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(~mask, -torch.inf)


def _held_scores_pay(q: Tensor, k: Tensor) -> bool:
    """Whether two products are faster than PyTorch's kernel.

    On a processor that kernel multiplies bf16 block by block, many times slower than a batched product: 101
    ms against 18 for both passes of 32 windows, 16 heads, 128 tokens. For many keys scores take too much.
    """
    short = q.device.type == "cpu" and q.dtype == torch.bfloat16 and k.shape[2] <= _FEW_KEYS
    return short and not torch.compiler.is_exporting()
