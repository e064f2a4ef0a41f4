"""Causal self-attention, rotary positions and the key-value cache."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.attention.attention import CausalSelfAttention
    from m.attention.cache import KVCache
    from m.attention.config import AttentionConfig

__all__ = ["AttentionConfig", "CausalSelfAttention", "KVCache"]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "AttentionConfig": "m.attention.config",
        "CausalSelfAttention": "m.attention.attention",
        "KVCache": "m.attention.cache",
    },
)
