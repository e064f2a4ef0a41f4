"""Sort-based dropless dispatch: no capacity, no parameters, nothing learned.

Token-expert pairs are sorted by expert, so that each expert sees one contiguous run; afterwards the K outputs
of a token are brought back and summed with its gate weights. Every pair is computed, so a token's output
never depends on its batch mates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from m.experts.blocks import row_blocks
from m.experts.plan import Dispatch, dispatch, row_multiple
from m.experts.rows import (
    add_to_tokens,
    blocks_of,
    combine,
    gates_by_row,
    sort_by_expert,
    sum_type,
    take_block,
)

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
        widest: numbers in a row of the widest tensor that the networks make of rows.
    """

    n_experts: int
    widest: int

    def __call__(self, tokens: Tensor, experts: Tensor, weights: Tensor, networks: Networks) -> Tensor:
        """See `Dispatcher`."""
        rows = row_multiple(experts.numel(), self.n_experts, tokens.dtype, tokens.device)
        plan = dispatch(experts, self.n_experts, rows)
        if self._exceeds_block(plan, tokens):
            return self._in_blocks(tokens, weights, plan, networks)
        return combine(networks(sort_by_expert(tokens, plan), plan.counts), weights, plan)

    def _exceeds_block(self, plan: Dispatch, tokens: Tensor) -> bool:
        """Whether there is so much that blocks pay, and no gradient that would need all rows at once."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or tokens.device.type != "cpu":
            return False
        return len(row_blocks(len(plan.source), self._row_bytes(tokens))) > 1

    def _row_bytes(self, tokens: Tensor) -> int:
        return self.widest * tokens.itemsize

    def _in_blocks(self, tokens: Tensor, weights: Tensor, plan: Dispatch, networks: Networks) -> Tensor:
        """From tokens to their sums, one block of rows after the other; without gradient."""
        gates = gates_by_row(weights, plan)
        result_type = torch.promote_types(tokens.dtype, weights.dtype)
        kind = sum_type(result_type, weights.shape[1])
        total = tokens.new_zeros(tokens.shape, dtype=kind)  # [N, D]
        for block in blocks_of(plan, self._row_bytes(tokens)):
            outputs = networks(take_block(tokens, block), block.counts)
            add_to_tokens(total, outputs * gates[block.rows], block.source)
        return total.to(result_type)
