"""What leaves a router: the choice for every token, and the statistics of a layer."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Routing:
    """A router's decision for N tokens.

    Attributes:
        experts: chosen experts, ``[N, K]`` int64, best first.
        weights: gate weights of the chosen experts, ``[N, K]`` float32.
        probabilities: scores of all experts normalised to sum to 1, ``[N, E]`` float32.
        losses: auxiliary losses by name, already weighted, scalars with gradient.
    """

    experts: Tensor
    weights: Tensor
    probabilities: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerRouting:
    """Routing of one layer over a batch of sequences.

    Attributes:
        experts: ``[B, T, K]`` int64, best first.
        weights: ``[B, T, K]`` gate weights.
        probabilities: ``[B, T, E]`` distribution over experts of each token.
        valid: ``[B, T]`` bool; False marks padding, which no statistic counts.
        losses: weighted auxiliary losses by name.
    """

    experts: Tensor
    weights: Tensor
    probabilities: Tensor
    valid: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)

    @property
    def load(self) -> Tensor:
        """Token-to-expert assignments per expert, ``[E]`` float32."""
        counted = self.valid[..., None].expand_as(self.experts).to(torch.float32)
        load = torch.zeros(self.probabilities.shape[-1], device=counted.device)
        # scatter_add rather than bincount, which synchronises with the host on CUDA.
        return load.scatter_add_(0, self.experts.reshape(-1), counted.reshape(-1))

    @property
    def importance(self) -> Tensor:
        """Mean routing probability per expert, ``[E]``; sums to 1."""
        return self._mean(self.probabilities)

    @property
    def entropy(self) -> Tensor:
        """Mean entropy of a token's routing distribution, in nats, scalar."""
        return self._mean(torch.special.entr(self.probabilities).sum(-1, keepdim=True)).squeeze(0)

    def _mean(self, values: Tensor) -> Tensor:
        """Mean over valid tokens: ``[B, T, C] -> [C]``."""
        keep = self.valid[..., None].to(values.dtype)
        return (values * keep).sum((0, 1)) / keep.sum().clamp_min(1.0)


@dataclass(frozen=True)
class RoutingRecord:
    """Routing of every mixture-of-experts layer of a forward pass, input side first.

    Empty for a dense model.
    """

    layers: tuple[LayerRouting, ...] = ()

    def auxiliary_loss(self) -> Tensor | None:
        """Sum of all weighted auxiliary losses over layers, or None when there are none."""
        terms = [loss for layer in self.layers for loss in layer.losses.values()]
        return torch.stack(terms).sum() if terms else None

    def loss_terms(self) -> dict[str, Tensor]:
        """Each auxiliary loss summed over layers, detached, by name."""
        totals: dict[str, Tensor] = {}
        for layer in self.layers:
            for name, loss in layer.losses.items():
                totals[name] = totals.get(name, torch.zeros_like(loss)) + loss.detach()
        return totals

    def load(self) -> Tensor | None:
        """Assignments per layer and expert, ``[layers, E]``, or None for a dense model."""
        return torch.stack([layer.load for layer in self.layers]) if self.layers else None
