"""Top-k token choice, balanced by auxiliary losses."""

from __future__ import annotations

from torch import Tensor

from m.routing.base import Router, register_router
from m.routing.losses import load_balance_loss, z_loss


@register_router("topk")
class TopKRouter(Router):
    """Top-k by score with load-balance and z losses (Switch, ST-MoE)."""

    def losses(
        self, logits: Tensor, probabilities: Tensor, experts: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """See `load_balance_loss` and `z_loss`; a weight of 0 leaves the term out."""
        terms: dict[str, Tensor] = {}
        if self.config.balance_loss_weight > 0:
            balance = load_balance_loss(probabilities, experts, valid, self.part)
            terms["balance_loss"] = self.config.balance_loss_weight * balance
        if self.config.z_loss_weight > 0:
            terms["z_loss"] = self.config.z_loss_weight * z_loss(logits, valid, self.part)
        return terms
