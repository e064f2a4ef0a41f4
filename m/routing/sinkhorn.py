"""Sinkhorn-balanced routing in training, plain top-k at inference."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from m.routing.base import register_router
from m.routing.topk import TopKRouter


def sinkhorn(logits: Tensor, iterations: int) -> Tensor:
    """Log of the balanced transport plan between tokens and experts.

    Alternately normalises columns (each expert gets N/E tokens in all) and rows (each token gives 1)
    in the log domain: Sinkhorn & Knopp 1967; as a router, BASE / S-BASE (arXiv 2202.01169, section 3).

    Args:
        logits: ``[N, E]``.
        iterations: number of column + row normalisations.

    Returns:
        ``[N, E]``; ``exp`` of it has rows summing to 1 and columns close to N/E.
    """
    plan = logits.log_softmax(-1)
    tokens, experts = logits.shape
    for _ in range(iterations):
        plan = plan - plan.logsumexp(0, keepdim=True) + math.log(max(tokens, 1) / experts)
        plan = plan - plan.logsumexp(-1, keepdim=True)
    return plan


@register_router("sinkhorn")
class SinkhornRouter(TopKRouter):
    """In training, tokens take the top-k of a plan balanced over the batch; at inference, of the scores.

    So training is balanced by construction, and at inference a token's routing depends on that
    token alone. The auxiliary losses of `topk` still apply when their weights are above 0: with the
    balance loss, inference loads stay close to the balanced ones.
    """

    def selection(self, logits: Tensor, scores: Tensor, valid: Tensor) -> Tensor:
        """The transport plan of the valid tokens in training, the scores otherwise."""
        if not self.training:
            return scores
        with torch.no_grad():
            ranking = logits.log_softmax(-1)
            ranking[valid] = sinkhorn(logits[valid], self.config.sinkhorn_iterations)
        return ranking
