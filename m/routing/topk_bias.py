"""Top-k token choice, balanced by a bias that follows the load: no auxiliary balance loss."""

from __future__ import annotations

import torch
from torch import Tensor

from m.routing.base import Router, register_router
from m.routing.config import RouterConfig
from m.routing.losses import z_loss


@register_router("topk_bias")
class BiasBalancedRouter(Router):
    """Ranks experts by score + bias; gate weights come from the unbiased scores.

    After each optimizer step the bias of an over-loaded expert falls and that of an under-loaded one
    rises by ``bias_update_rate`` (DeepSeek-V3, arXiv 2412.19437, section 2.1.2; arXiv 2408.15664).
    """

    bias: Tensor

    def __init__(self, dim: int, config: RouterConfig) -> None:
        super().__init__(dim, config)
        self.register_buffer("bias", torch.zeros(config.n_experts))

    def selection(self, logits: Tensor, scores: Tensor, valid: Tensor) -> Tensor:
        """Scores plus the balancing bias."""
        del logits, valid
        return scores + self.bias

    def losses(
        self, logits: Tensor, probabilities: Tensor, experts: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """Only the z loss, which does not balance but keeps logits small."""
        del probabilities, experts
        weight = self.config.z_loss_weight
        return {"z_loss": weight * z_loss(logits, valid, self.part)} if weight > 0 else {}

    @torch.no_grad()
    def update(self, load: Tensor) -> None:
        """Move the bias one step against the imbalance; its mean stays where it was.

        Args:
            load: assignments per expert since the last step, ``[E]``.
        """
        step = self.config.bias_update_rate * torch.sign(load.mean() - load).to(self.bias)
        self.bias += step - step.mean()
