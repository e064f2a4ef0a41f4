"""Sort-based dropless dispatch: no capacity, no parameters, nothing learned.

Token-expert pairs are sorted by expert, so that each expert sees one contiguous run; afterwards the
inverse permutation brings the outputs back and the K outputs of a token are summed with its gate
weights. Every pair is computed, so a token's output never depends on its batch mates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dispatch:
    """Where N tokens with K experts each went.

    Attributes:
        source: token index of each sorted pair, ``[N*K]``.
        inverse: position in the sorted order of each pair ``n*K + k``, ``[N*K]``.
        counts: pairs per expert, ``[E]`` int64.
    """

    source: Tensor
    inverse: Tensor
    counts: Tensor


def dispatch(experts: Tensor, n_experts: int) -> Dispatch:
    """Plan the permutation for chosen experts ``[N, K]``."""
    flat = experts.reshape(-1)
    order = flat.argsort(stable=True)  # [N*K] pair indices by expert
    inverse = torch.empty_like(order).scatter_(0, order, torch.arange(order.numel(), device=order.device))
    counts = torch.zeros(n_experts, dtype=torch.int64, device=flat.device)
    counts.scatter_add_(0, flat, torch.ones_like(flat))
    return Dispatch(order // experts.shape[-1], inverse, counts)


def combine(outputs: Tensor, weights: Tensor, plan: Dispatch) -> Tensor:
    """Weighted sum of each token's K expert outputs.

    Args:
        outputs: ``[N*K, D]`` in sorted order.
        weights: gate weights ``[N, K]``.
        plan: as `dispatch` made it.

    Returns:
        ``[N, D]`` in the type of the gate weights (float32 under autocast).
    """
    tokens, k = weights.shape
    by_token = outputs[plan.inverse].view(tokens, k, outputs.shape[-1])  # [N, K, D]
    return (by_token * weights.unsqueeze(-1)).sum(1)
