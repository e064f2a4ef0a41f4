"""Causal self-attention: one forward, with or without a cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from m.attention.attend import attend
from m.attention.cache import LayerCache
from m.attention.config import AttentionConfig
from m.attention.rope import rotate


def causal_mask(queries: Tensor, keys: Tensor, stride: int = 1, reach: int | None = None) -> Tensor:
    """Which keys each query may see: those at its own position and whole strides before it.

    Args:
        queries: positions of the queries, ``[B or 1, T]``.
        keys: positions of the keys, ``[B or 1, S]``.
        stride: points between the positions that see each other.
        reach: how many of these positions are seen, its own included; None for all.

    Returns:
        ``[B or 1, 1, T, S]`` bool, True where visible.
    """
    lag = queries[..., :, None] - keys[..., None, :]  # [B or 1, T, S]
    visible = lag >= 0 if stride == 1 else (lag >= 0) & (lag % stride == 0)
    if reach is not None:
        visible = visible & (lag < reach * stride)
    return visible.unsqueeze(1)


class CausalSelfAttention(nn.Module):
    """Multi-head attention with rotary positions and, optionally, grouped queries.

    With a reach of one token the softmax is over one score and always 1: what is attended to is the token's
    own value. Queries and keys then would neither be seen nor learn, so there are none, and ``qkv`` holds
    the values alone.
    """

    def __init__(self, dim: int, config: AttentionConfig) -> None:
        super().__init__()
        self.n_heads, self.kv_heads = config.n_heads, config.kv_heads
        self.head_dim = dim // config.n_heads
        self.qkv = nn.Linear(dim, config.projected_heads * self.head_dim, bias=False)
        self.out = nn.Linear(config.n_heads * self.head_dim, dim, bias=False)
        self.own_value_only = config.reach == 1

    def forward(
        self,
        x: Tensor,
        rope: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """Attend from each token to those before it.

        Args:
            x: ``[B, T, D]``.
            rope: rotations of the T positions.
            positions: ``[B, T]`` int64, needed with a cache.
            mask: ``[B or 1, 1, T, S]`` from `causal_mask`, needed with a cache; without one each
                token sees itself and all before it.
            cache: keys and values of earlier tokens, written in place.

        Returns:
            ``[B, T, D]``.
        """
        if self.own_value_only:
            return self._own_value(x)
        batch, length, _ = x.shape
        heads = self.qkv(x).view(batch, length, -1, self.head_dim).transpose(1, 2)  # [B, H + 2 H_kv, T, hd]
        qk, v = heads.split((self.n_heads + self.kv_heads, self.kv_heads), dim=1)
        q, k = torch.split(rotate(qk, rope), [self.n_heads, self.kv_heads], dim=1)
        if cache is not None:
            if positions is None or mask is None:
                raise ValueError("attention with a cache needs the tokens' positions and a mask")
            k, v = cache.update(positions, k, v)
            k, v = k.to(q.dtype), v.to(q.dtype)
        attended = attend(q, k, v, mask)
        output: Tensor = self.out(attended.transpose(1, 2).reshape(batch, length, -1))
        return output

    def _own_value(self, x: Tensor) -> Tensor:
        """What a token that sees itself alone attends to; nothing need be remembered of it."""
        values = self.qkv(x)
        if self.kv_heads != self.n_heads:
            by_head = values.unflatten(-1, (self.kv_heads, self.head_dim))
            values = by_head.repeat_interleave(self.n_heads // self.kv_heads, -2).flatten(-2)
        output: Tensor = self.out(values)
        return output
