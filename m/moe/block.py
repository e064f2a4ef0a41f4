"""The transformer block."""

from __future__ import annotations

from torch import Tensor, nn

from m.attention.attention import CausalSelfAttention
from m.attention.cache import LayerCache
from m.moe.config import ModelConfig
from m.moe.layer import DenseLayer, build_feed_forward
from m.routing.record import LayerRouting


class TransformerBlock(nn.Module):
    """Pre-norm block: ``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``.

    With ``config.dense_feed_forward`` a dense one of the same active width stands between the two.

    Args:
        config: of the model.
        index: of the block, from 0; decides whether it attends.
    """

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.attention: CausalSelfAttention | None = None
        if config.attends(index):
            self.attention_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
            self.attention = CausalSelfAttention(config.dim, config.attention)
        self.dense: DenseLayer | None = None
        if config.dense_feed_forward:
            self.dense_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
            self.dense = DenseLayer(config.dim, config.router, config.experts)
        self.feed_forward_norm = nn.RMSNorm(config.dim, eps=config.norm_eps)
        self.feed_forward = build_feed_forward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        rope: Tensor,
        valid: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> tuple[Tensor, LayerRouting | None]:
        """``[B, T, D] -> [B, T, D]`` and the routing; arguments as in `CausalSelfAttention`."""
        if self.attention is not None:
            normed = self.attention_norm(x)
            x = x + self.dropout(self.attention(normed, rope, positions=positions, mask=mask, cache=cache))
        if self.dense is not None:
            x = x + self.dropout(self.dense(self.dense_norm(x), valid)[0])
        mixed, routing = self.feed_forward(self.feed_forward_norm(x), valid)
        return x + self.dropout(mixed), routing
