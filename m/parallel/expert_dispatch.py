"""Dispatch to experts that other processes hold: tokens travel to them and back."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from m.experts.dispatch import Networks
from m.experts.plan import dispatch, row_multiple
from m.experts.rows import combine, sort_by_expert, unsort


class AllToAllDispatcher:
    """Sorts token-expert pairs by expert, as the local one does, and sends each run to who holds the expert.

    Process r of R holds experts ``r E/R`` to ``(r + 1) E/R - 1``. Rows arrive sorted within each sender, and
    are sorted by expert once more, pass the networks, and go back the same way (GShard, arXiv 2006.16668,
    without its capacity: every pair is computed).

    Args:
        n_experts: E, of all processes.
        group: the R processes.
    """

    def __init__(self, n_experts: int, group: ProcessGroup) -> None:
        self._n_experts = n_experts
        self._group = group
        self._processes = dist.get_world_size(group)

    def __call__(self, tokens: Tensor, experts: Tensor, weights: Tensor, networks: Networks) -> Tensor:
        """See `m.experts.dispatch.Dispatcher`."""
        plan = dispatch(experts, self._n_experts)
        sent = plan.counts.view(self._processes, -1)  # [R, E/R] rows for each of the other's experts
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent, group=self._group)
        out, back = sent.sum(1).tolist(), received.sum(1).tolist()
        arrived: Tensor = _Exchange.apply(sort_by_expert(tokens, plan), out, back, self._group)  # type: ignore[no-untyped-call]
        results = self._here(arrived, received, networks)
        returned: Tensor = _Exchange.apply(results, back, out, self._group)  # type: ignore[no-untyped-call]
        return combine(returned, weights, plan)

    def _here(self, arrived: Tensor, received: Tensor, networks: Networks) -> Tensor:
        """What this process's experts make of rows that arrived sorted by sender, then expert."""
        local = torch.arange(received.shape[1], device=arrived.device)
        expert = local.repeat(received.shape[0]).repeat_interleave(received.flatten())  # [M] of each row
        rows = row_multiple(len(expert), len(local), arrived.dtype, arrived.device)
        plan = dispatch(expert[:, None], len(local), rows)
        results = networks(sort_by_expert(arrived, plan), plan.counts)
        return unsort(results, plan)


class _Exchange(torch.autograd.Function):
    """All-to-all of rows, whose gradient goes the other way."""

    @staticmethod
    def forward(rows: Tensor, out: list[int], back: list[int], group: ProcessGroup) -> Tensor:
        """Send ``out[r]`` rows to each process r, receive ``back[r]``; ``[sum(back), D]``."""
        received = rows.new_empty((sum(back), rows.shape[1]))
        dist.all_to_all_single(received, rows.contiguous(), back, out, group=group)
        return received

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, list[int], list[int], Any], output: Tensor) -> None:
        """Keep the way back."""
        del output
        _, ctx.out, ctx.back, ctx.group = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Gradients travel where the rows came from."""
        returned = gradient.new_empty((sum(ctx.out), gradient.shape[1]))
        dist.all_to_all_single(returned, gradient.contiguous(), ctx.out, ctx.back, group=ctx.group)
        return returned, None, None, None
