"""The mixture-of-experts layer: route, dispatch to experts, combine, add the shared expert."""

from __future__ import annotations

from torch import Tensor, nn

from m.experts.config import ExpertsConfig
from m.experts.experts import Experts, FeedForward
from m.moe.config import ModelConfig
from m.routing.config import RouterConfig
from m.routing.record import LayerRouting
from m.routing.registry import router_class


class MoELayer(nn.Module):
    """Sparse feed-forward: K of E experts per token, chosen by a router."""

    def __init__(self, dim: int, router: RouterConfig, experts: ExpertsConfig) -> None:
        super().__init__()
        self.router = router_class(router.kind)(dim, router)
        self.experts = Experts(dim, router.n_experts, experts)
        self.shared = (
            FeedForward(dim, experts.shared_hidden_dim, experts.activation)
            if experts.shared_hidden_dim
            else None
        )

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, LayerRouting]:
        """Apply to a batch of sequences.

        Args:
            x: ``[B, T, D]``.
            valid: ``[B, T]`` bool, False on padding (computed, but in no statistic).

        Returns:
            ``[B, T, D]`` and the layer's routing.
        """
        batch, length, dim = x.shape
        tokens = x.reshape(-1, dim)  # [N, D]
        routing = self.router(tokens, valid.reshape(-1))
        mixed = self.experts(tokens, routing.experts, routing.weights).view(batch, length, dim)
        if self.shared is not None:
            mixed = mixed + self.shared(x)
        record = LayerRouting(
            experts=routing.experts.view(batch, length, -1),
            weights=routing.weights.detach().view(batch, length, -1),
            probabilities=routing.probabilities.view(batch, length, -1),
            valid=valid,
            losses=routing.losses,
        )
        return mixed, record


class DenseLayer(nn.Module):
    """One network as wide as a token's active experts together: the baseline, or before a mixture."""

    def __init__(self, dim: int, router: RouterConfig, experts: ExpertsConfig) -> None:
        super().__init__()
        hidden = router.top_k * experts.hidden_dim + experts.shared_hidden_dim
        self.dense = FeedForward(dim, hidden, experts.activation)

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, None]:
        """``[B, T, D] -> [B, T, D]``; nothing is routed."""
        del valid
        return self.dense(x), None


def build_feed_forward(config: ModelConfig) -> MoELayer | DenseLayer:
    """The feed-forward layer that ``config.router.kind`` asks for."""
    layer = DenseLayer if config.router.is_dense else MoELayer
    return layer(config.dim, config.router, config.experts)
