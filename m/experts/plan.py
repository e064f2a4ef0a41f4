"""Where tokens go: token-expert pairs sorted by expert, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Rows that runs are filled up to on processors, where oneDNN compiles a kernel for each number of rows it
# meets. How many tokens an expert gets changes with every batch, and so many kernels do not fit its cache:
# a sixth of a bf16 training step went into compiling them. 16 is also the height of a tile of AMX.
ROW_MULTIPLE = 16
_ONEDNN_TYPES = (torch.bfloat16, torch.float16)


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
    return ROW_MULTIPLE if compiled and pairs >= 2 * ROW_MULTIPLE * n_experts else 1
