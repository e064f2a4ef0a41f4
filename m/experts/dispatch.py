"""Sort-based dropless dispatch: no capacity, no parameters, nothing learned.

Token-expert pairs are sorted by expert, so that each expert sees one contiguous run; afterwards the
inverse permutation brings the outputs back and the K outputs of a token are summed with its gate
weights. Every pair is computed, so a token's output never depends on its batch mates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dispatch:
    """Where N tokens with K experts each went.

    Attributes:
        source: token index of each sorted pair, ``[N*K]``.
        inverse: position in the sorted order of each pair ``n*K + k``, ``[N*K]``.
        order: pair ``n*K + k`` at each sorted position, ``[N*K]``: the permutation itself.
        counts: pairs per expert, ``[E]`` int64.
    """

    source: Tensor
    inverse: Tensor
    order: Tensor
    counts: Tensor


def dispatch(experts: Tensor, n_experts: int) -> Dispatch:
    """Plan the permutation for chosen experts ``[N, K]``."""
    flat = experts.reshape(-1)
    order = flat.argsort(stable=True)  # [N*K] pair indices by expert
    inverse = torch.empty_like(order).scatter_(0, order, torch.arange(order.numel(), device=order.device))
    counts = torch.zeros(n_experts, dtype=torch.int64, device=flat.device)
    counts.scatter_add_(0, flat, torch.ones_like(flat))
    return Dispatch(order // experts.shape[-1], inverse, order, counts)


class _Take(torch.autograd.Function):
    """Rows of ``x`` by a plan, with a gather as gradient.

    Indexing's own gradient scatters with accumulation, one row after the other. Here every source
    row's copies are known from the inverse permutation, so the gradient is a gather and a sum.
    """

    @staticmethod
    def forward(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        """``x[index]``; row n of x stands at ``inverse.view(N, copies)[n]`` of the result."""
        del inverse
        return x[index]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        """Keep the way back."""
        del output
        x, _, inverse = inputs
        ctx.rows = x.shape[0]
        ctx.save_for_backward(inverse)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Sum the gradients of each row's copies."""
        (inverse,) = ctx.saved_tensors
        copies = inverse.numel() // max(ctx.rows, 1)
        back = gradient[inverse].view(ctx.rows, copies, gradient.shape[-1])
        return (back.sum(1) if copies != 1 else back.squeeze(1)), None, None


def _take(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """``x[index]``; where no gradient is asked, a function with its own costs more than the indexing."""
    if not torch.is_grad_enabled():
        return x[index]
    taken: Tensor = _Take.apply(x, index, inverse)  # type: ignore[no-untyped-call]
    return taken


def sort_by_expert(tokens: Tensor, plan: Dispatch) -> Tensor:
    """Copy each of N tokens to its K places: ``[N, D] -> [N*K, D]``, sorted by expert."""
    return _take(tokens, plan.source, plan.inverse)


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
    unsorted = _take(outputs, plan.inverse, plan.order)
    by_token = unsorted.view(tokens, k, outputs.shape[-1])  # [N, K, D]
    return (by_token * weights.unsqueeze(-1)).sum(1)
