"""What attention is made from."""

from __future__ import annotations

from dataclasses import dataclass

from m._checks import at_least, positive


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """Causal self-attention with rotary positions.

    Attributes:
        n_heads: query heads.
        n_kv_heads: key and value heads, a divisor of ``n_heads``; null for as many as query heads.
            Fewer is grouped-query attention (arXiv 2305.13245): a smaller cache.
        every: blocks 0, ``every``, 2 ``every``, ... attend, the others only feed forward. Where a token
            holds a long window, few tokens are left to attend to, and depth is worth more.
        reach: tokens that a token sees at most in a block, itself included; null for all before it.
            Attention over more tokens than training's sequences held was never learned and does harm:
            set this to their number, and longer contexts and roll-outs use what was learned. With 1 a token
            sees itself, so that attention is a linear map of it.
        rope_base: base of the rotary frequencies (RoFormer, arXiv 2104.09864).
    """

    n_heads: int = 8
    n_kv_heads: int | None = None
    every: int = 1
    reach: int | None = None
    rope_base: float = 10000.0

    def __post_init__(self) -> None:
        at_least("attention.n_heads", self.n_heads, 1)
        at_least("attention.n_kv_heads", self.kv_heads, 1)
        at_least("attention.every", self.every, 1)
        if self.reach is not None:
            at_least("attention.reach", self.reach, 1)
        positive("attention.rope_base", self.rope_base)
        if self.n_heads % self.kv_heads:
            raise ValueError(
                f"attention.n_heads {self.n_heads} must be a multiple of attention.n_kv_heads {self.kv_heads}"
            )

    @property
    def kv_heads(self) -> int:
        """Number of key and value heads."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def projected_heads(self) -> int:
        """Heads that a token is projected to: queries, keys and values; values alone with a reach of 1."""
        return self.kv_heads if self.reach == 1 else self.n_heads + 2 * self.kv_heads

    @property
    def scored_heads(self) -> int:
        """Heads in which queries and keys are compared."""
        return 0 if self.reach == 1 else self.n_heads
