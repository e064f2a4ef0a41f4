"""Gradients of parts: how they are brought together, measured and clipped."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from m.parallel.layout import Layout, local

_EPSILON = 1e-6  # as torch's own clipping has it


def add_over(gradients: Iterable[Tensor], group: ProcessGroup, divisor: float) -> None:
    """Replace each by its sum over a group, divided."""
    tensors = list(gradients)
    waiting = [dist.all_reduce(tensor, group=group, async_op=True) for tensor in tensors]
    for work in waiting:
        if work is not None:
            work.wait()
    if tensors:
        torch._foreach_div_(tensors, divisor)


def clip_parts(model: nn.Module, layout: Layout, clip_norm: float) -> Tensor:
    """L2 norm, [], of a gradient whose parts lie in many processes; clipped where ``clip_norm`` is above 0.

    Raises:
        RuntimeError: no parameter received a gradient.
    """
    gradients = {name: local(p.grad) for name, p in model.named_parameters() if p.grad is not None}
    if not gradients:
        raise RuntimeError(
            "no parameter received a gradient; does the loss depend on the model's parameters?"
        )
    squares: dict[tuple[ProcessGroup, ...], list[Tensor]] = {}
    for name, gradient in gradients.items():
        squares.setdefault(tuple(layout.groups(name)), []).append(gradient.float().square().sum())
    total = torch.zeros((), device=next(iter(gradients.values())).device)
    for groups, found in squares.items():
        amount = torch.stack(found).sum()
        for group in groups:
            dist.all_reduce(amount, group=group)
        total += amount
    norm = total.sqrt()
    if clip_norm > 0:
        factor = (clip_norm / (norm + _EPSILON)).clamp(max=1.0)
        torch._foreach_mul_(list(gradients.values()), factor)
    return norm
