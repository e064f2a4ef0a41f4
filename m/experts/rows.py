"""Rows of tokens brought to their experts and summed by token, with gradients that write little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from m.experts.blocks import row_blocks
from m.experts.plan import Dispatch

_WIDE = 4  # bytes of a number from which on, and
_MANY_BYTES = 1 << 20  # bytes of rows from which on, adding in place is faster than gathering, as measured


def sort_by_expert(tokens: Tensor, plan: Dispatch) -> Tensor:
    """Copy each of N tokens to its K places: ``[N, D] -> [M, D]``, sorted by expert, filling rows zero.

    As gradient, what comes to filling rows counts for nothing only if it is zero, as `combine` makes it.
    """
    if not torch.is_grad_enabled():  # then a function with a gradient of its own only costs time
        return _rows(tokens, plan.source, plan.filling)
    taken: Tensor = _Sort.apply(tokens, plan.source, plan.inverse, plan.filling)  # type: ignore[no-untyped-call]
    return taken


def unsort(outputs: Tensor, plan: Dispatch) -> Tensor:
    """Bring rows back to the order of their pairs: ``[M, D] -> [N*K, D]``."""
    if not torch.is_grad_enabled():
        return outputs.index_select(0, plan.inverse)
    back: Tensor = _Unsort.apply(outputs, plan.inverse, plan.order, plan.filling)  # type: ignore[no-untyped-call]
    return back


def combine(outputs: Tensor, weights: Tensor, plan: Dispatch) -> Tensor:
    """Weighted sum of each token's K expert outputs.

    Args:
        outputs: ``[M, D]`` in sorted order.
        weights: gate weights ``[N, K]``.
        plan: as `m.experts.plan.dispatch` made it.

    Returns:
        ``[N, D]`` in the type of the gate weights (float32 under autocast).
    """
    inputs = (outputs, weights, plan.source, plan.order, plan.inverse, plan.filling)
    if not torch.is_grad_enabled():
        return _Combine.forward(*inputs)
    summed: Tensor = _Combine.apply(*inputs)  # type: ignore[no-untyped-call]
    return summed


@dataclass(frozen=True)
class Block:
    """Some of the rows of a plan: ``rows`` of all, and of those what `Dispatch` has under the same names."""

    rows: slice
    source: Tensor
    counts: Tensor
    filling: Tensor | None


def blocks_of(plan: Dispatch, row_bytes: int) -> Iterator[Block]:
    """Cut a plan into blocks of rows; ``row_bytes`` is what a row of the widest tensor takes."""
    ends = plan.counts.cumsum(0)
    for rows in row_blocks(len(plan.source), row_bytes):
        first, last = (at.clamp(rows.start, rows.stop) for at in (ends - plan.counts, ends))
        filling = plan.filling
        if filling is not None:
            filling = filling[(filling >= rows.start) & (filling < rows.stop)] - rows.start
        yield Block(rows, plan.source[rows], last - first, filling)


def take_block(tokens: Tensor, block: Block) -> Tensor:
    """Copy tokens to a block's rows, filling rows zero; without gradient."""
    return _rows(tokens, block.source, block.filling)


def gates_by_row(weights: Tensor, plan: Dispatch) -> Tensor:
    """The gate weight of each row, ``[N, K] -> [M, 1]``; 0 in filling rows."""
    return _gates(weights, plan.order, plan.filling)


def add_to_tokens(total: Tensor, rows: Tensor, source: Tensor) -> None:
    """Add each row to the token that it came from, in place: ``total [N, D]``, ``rows [M, D]``."""
    total.index_add_(0, source, rows.to(total.dtype))


def sum_type(dtype: torch.dtype, copies: int) -> torch.dtype:
    """Type to sum copies in one by one: a sum of two is rounded once in any, of more only in float32."""
    return dtype if copies <= 2 else torch.promote_types(dtype, torch.float32)


def adds_in_place(rows: Tensor, item_bytes: int) -> bool:
    """Whether rows are added to their tokens where they stand, in place of being gathered by token.

    On processors that is one pass over memory less, in an order that never changes; it pays for many rows of
    sums of 32 bits. On GPUs the order of atomic additions would change, and compilers make slow ones of it.
    """
    if rows.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return item_bytes >= _WIDE and rows.numel() * item_bytes >= _MANY_BYTES


class _Sort(torch.autograd.Function):
    """Rows of tokens by a plan. Indexing's own gradient would scatter one row after the other on GPUs too."""

    @staticmethod
    def forward(tokens: Tensor, source: Tensor, inverse: Tensor, filling: Tensor | None) -> Tensor:
        """``tokens[source]``, zero in the rows ``filling``; token n stands at ``inverse.view(N, K)[n]``."""
        del inverse
        return _rows(tokens, source, filling)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Any], output: Tensor) -> None:
        """Keep the way back."""
        del output
        tokens, source, inverse, _ = inputs
        ctx.tokens = tokens.shape[0]
        ctx.save_for_backward(source, inverse)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Sum the gradients of each token's copies."""
        source, inverse = ctx.saved_tensors
        return _sum_by_token(gradient, source, inverse, ctx.tokens), None, None, None


class _Unsort(torch.autograd.Function):
    """Rows by the inverse permutation, with the permutation as gradient."""

    @staticmethod
    def forward(outputs: Tensor, inverse: Tensor, order: Tensor, filling: Tensor | None) -> Tensor:
        """``outputs[inverse]``."""
        del order, filling
        return outputs.index_select(0, inverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Any], output: Tensor) -> None:
        """Keep the permutation."""
        del output
        _, _, order, filling = inputs
        ctx.save_for_backward(order, filling)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Sort the gradients; filling rows get none."""
        order, filling = ctx.saved_tensors
        return _rows(gradient, order, filling), None, None, None


class _Combine(torch.autograd.Function):
    """Sums by gate weight in which no tensor but outputs and gradients has a row for each pair.

    Plain autograd writes five more: products, their order by token, and the gradients of both.
    """

    @staticmethod
    def forward(  # noqa: PLR0917  (functions with gradients take no keywords)
        outputs: Tensor,
        weights: Tensor,
        source: Tensor,
        order: Tensor,
        inverse: Tensor,
        filling: Tensor | None,
    ) -> Tensor:
        """``[M, D]`` and ``[N, K]`` to ``[N, D]``; the plan as in `Dispatch`."""
        tokens, copies = weights.shape
        if not adds_in_place(outputs, max(outputs.itemsize, weights.itemsize)):
            by_token = outputs.index_select(0, inverse).view(tokens, copies, outputs.shape[1])
            return _sum_copies(by_token * weights.unsqueeze(-1))
        gates = _gates(weights, order, filling)
        result_type = torch.promote_types(outputs.dtype, weights.dtype)
        total = outputs.new_zeros(tokens, outputs.shape[1], dtype=result_type)
        for rows in _blocks(outputs):
            add_to_tokens(total, outputs[rows] * gates[rows], source[rows])
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep outputs, gate weights and the plan."""
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        """Give each row its token's gradient times its gate, and each gate the product of the two."""
        outputs, weights, source, order, inverse, filling = ctx.saved_tensors
        gates = _gates(weights, order, filling)
        output_gradient = torch.empty_like(outputs)
        dots = gradient.new_empty(len(outputs), 1)
        for rows in _blocks(outputs):
            by_row = gradient.index_select(0, source[rows])
            dots[rows] = (by_row * outputs[rows]).sum(-1, keepdim=True)
            output_gradient[rows] = by_row.mul_(gates[rows])
        weight_gradient = dots.flatten().index_select(0, inverse).view_as(weights)
        return output_gradient, weight_gradient.to(weights.dtype), None, None, None, None


def _rows(x: Tensor, index: Tensor, empty: Tensor | None) -> Tensor:
    rows = x.index_select(0, index)
    return rows if empty is None else rows.index_fill_(0, empty, 0)


def _gates(weights: Tensor, order: Tensor, filling: Tensor | None) -> Tensor:
    return _rows(weights.reshape(-1, 1), order, filling)


def _blocks(rows: Tensor) -> list[slice]:
    wide = torch.promote_types(rows.dtype, torch.float32)
    return row_blocks(len(rows), rows.shape[1] * wide.itemsize)


def _sum_by_token(rows: Tensor, source: Tensor, inverse: Tensor, tokens: int) -> Tensor:
    """``[M, D] -> [N, D]``, filling rows zero."""
    copies = inverse.numel() // max(tokens, 1)
    if not adds_in_place(rows, rows.itemsize):
        return _sum_copies(rows.index_select(0, inverse).view(tokens, copies, rows.shape[-1]))
    return rows.new_zeros(tokens, rows.shape[1]).index_add_(0, source, rows)


def _sum_copies(rows: Tensor) -> Tensor:
    """``[N, copies, D] -> [N, D]``; of two a plain sum, several times as fast as a reduction."""
    return rows[:, 0] + rows[:, 1] if rows.shape[1] == 2 else rows.sum(1)
