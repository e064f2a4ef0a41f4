"""Sort-based dropless dispatch: no capacity, no parameters, nothing learned.

Token-expert pairs are sorted by expert, so that each expert sees one contiguous run; afterwards the
inverse permutation brings the outputs back and the K outputs of a token are summed with its gate
weights. Every pair is computed, so a token's output never depends on its batch mates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

# Rows that runs are filled up to on processors, where oneDNN compiles a kernel for each number of rows it
# meets. How many tokens an expert gets changes with every batch, and so many kernels do not fit its cache:
# a sixth of a bf16 training step went into compiling them. 16 is also the height of a tile of AMX.
_ROW_MULTIPLE = 16
_ONEDNN_TYPES = (torch.bfloat16, torch.float16)

Networks: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Experts on rows sorted by expert: ``[M, D]`` and rows per expert ``[E]`` give ``[M, D]``."""


class Dispatcher(Protocol):
    """How tokens reach their experts and come back."""

    def __call__(self, tokens: Tensor, experts: Tensor, weights: Tensor, networks: Networks) -> Tensor:
        """Each token's K expert outputs, summed by gate weight.

        Args:
            tokens: ``[N, D]``.
            experts: chosen, ``[N, K]`` int64, of all there are.
            weights: gate weights, ``[N, K]``.
            networks: the experts that this process holds.

        Returns:
            ``[N, D]`` in the type of the gate weights (float32 under autocast).
        """
        ...


@dataclass(frozen=True)
class LocalDispatcher:
    """To experts that are all here.

    Attributes:
        n_experts: E.
    """

    n_experts: int

    def __call__(self, tokens: Tensor, experts: Tensor, weights: Tensor, networks: Networks) -> Tensor:
        """See `Dispatcher`."""
        rows = row_multiple(experts.numel(), self.n_experts, tokens.dtype, tokens.device)
        plan = dispatch(experts, self.n_experts, rows)
        return combine(networks(sort_by_expert(tokens, plan), plan.counts), weights, plan)


@dataclass(frozen=True)
class Dispatch:
    """Where N tokens with K experts each went: M rows, sorted by expert, N*K of them pairs.

    Attributes:
        source: token index of each row, ``[M]``; 0 in filling rows.
        inverse: row of each pair ``n*K + k``, ``[N*K]``.
        order: pair ``n*K + k`` of each row, ``[M]``: the permutation itself; 0 in filling rows.
        counts: rows per expert, ``[E]`` int64.
        filling: rows that hold no pair, at the ends of runs; None where runs are as long as they are.
    """

    source: Tensor
    inverse: Tensor
    order: Tensor
    counts: Tensor
    filling: Tensor | None = None


def dispatch(experts: Tensor, n_experts: int, row_multiple: int = 1) -> Dispatch:
    """Plan the permutation for chosen experts ``[N, K]``.

    Args:
        experts: chosen, ``[N, K]`` int64.
        n_experts: E.
        row_multiple: every run is filled up to a multiple of so many rows.
    """
    flat = experts.reshape(-1)
    order = flat.argsort(stable=True)  # [N*K] pair indices by expert
    counts = torch.zeros(n_experts, dtype=torch.int64, device=flat.device)
    counts.scatter_add_(0, flat, torch.ones_like(flat))
    if row_multiple > 1:
        return _filled(flat, order, counts, experts.shape[-1], row_multiple)
    inverse = torch.empty_like(order).scatter_(0, order, torch.arange(order.numel(), device=order.device))
    return Dispatch(order // experts.shape[-1], inverse, order, counts)


def _filled(flat: Tensor, order: Tensor, counts: Tensor, top_k: int, multiple: int) -> Dispatch:
    """The plan with every run filled up."""
    filled = (counts + multiple - 1) // multiple * multiple
    shift = (filled - counts).cumsum(0) - (filled - counts)  # [E] filling rows before each run
    rows = torch.arange(order.numel(), device=order.device) + shift[flat[order]]  # [N*K] of the sorted pairs
    order_by_row = order.new_zeros(int(filled.sum()))
    order_by_row[rows] = order
    empty = torch.ones_like(order_by_row, dtype=torch.bool)
    empty[rows] = False
    inverse = torch.empty_like(order).scatter_(0, order, rows)
    return Dispatch(order_by_row // top_k, inverse, order_by_row, filled, empty.nonzero().squeeze(1))


def row_multiple(pairs: int, n_experts: int, dtype: torch.dtype, device: torch.device) -> int:
    """Rows to fill runs up to, so that products find their compiled kernels.

    Runs are as long as they are where nothing is compiled for them, and where they are so short that filling
    would cost more products than it saves.
    """
    compiled = device.type == "cpu" and dtype in _ONEDNN_TYPES and not torch.compiler.is_compiling()
    return _ROW_MULTIPLE if compiled and pairs >= 2 * _ROW_MULTIPLE * n_experts else 1


class _Take(torch.autograd.Function):
    """Rows of ``x`` by a plan, with a gather as gradient.

    Indexing's own gradient scatters with accumulation, one row after the other. Here every source
    row's copies are known from the inverse permutation, so the gradient is a gather and a sum.
    """

    @staticmethod
    def forward(
        x: Tensor, index: Tensor, inverse: Tensor, empty: Tensor | None, lost: Tensor | None
    ) -> Tensor:
        """``x[index]``, zero in the rows ``empty``; row n of x stands at ``inverse.view(N, copies)[n]``.

        The rows ``lost`` of x stand nowhere, whatever ``inverse`` says of them.
        """
        del inverse, lost
        return _rows(x, index, empty)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Any, Any], output: Tensor) -> None:
        """Keep the way back."""
        del output
        x, _, inverse, _, lost = inputs
        ctx.rows = x.shape[0]
        ctx.save_for_backward(inverse, lost)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Sum the gradients of each row's copies."""
        inverse, lost = ctx.saved_tensors
        copies = inverse.numel() // max(ctx.rows, 1)
        back = _rows(gradient, inverse, lost if copies == 1 else None)
        if copies != 1:
            back = _sum_copies(back.view(ctx.rows, copies, gradient.shape[-1]))
        return back, None, None, None, None


def _sum_copies(rows: Tensor) -> Tensor:
    """``[N, copies, D] -> [N, D]``; of two a plain sum, several times as fast as a reduction."""
    return rows[:, 0] + rows[:, 1] if rows.shape[1] == 2 else rows.sum(1)


def _rows(x: Tensor, index: Tensor, empty: Tensor | None) -> Tensor:
    rows = x.index_select(0, index)
    return rows if empty is None else rows.index_fill_(0, empty, 0)


def take_rows(
    x: Tensor, index: Tensor, inverse: Tensor, *, empty: Tensor | None = None, lost: Tensor | None = None
) -> Tensor:
    """As `_Take`; where no gradient is asked, a function with its own costs more than the indexing."""
    if not torch.is_grad_enabled():
        return _rows(x, index, empty)
    taken: Tensor = _Take.apply(x, index, inverse, empty, lost)  # type: ignore[no-untyped-call]
    return taken


def sort_by_expert(tokens: Tensor, plan: Dispatch) -> Tensor:
    """Copy each of N tokens to its K places: ``[N, D] -> [M, D]``, sorted by expert, filling rows zero."""
    return take_rows(tokens, plan.source, plan.inverse, empty=plan.filling)


def combine(outputs: Tensor, weights: Tensor, plan: Dispatch) -> Tensor:
    """Weighted sum of each token's K expert outputs.

    Args:
        outputs: ``[M, D]`` in sorted order.
        weights: gate weights ``[N, K]``.
        plan: as `dispatch` made it.

    Returns:
        ``[N, D]`` in the type of the gate weights (float32 under autocast).
    """
    tokens, k = weights.shape
    unsorted = take_rows(outputs, plan.inverse, plan.order, lost=plan.filling)
    by_token = unsorted.view(tokens, k, outputs.shape[-1])  # [N, K, D]
    return _sum_copies(by_token * weights.unsqueeze(-1))
