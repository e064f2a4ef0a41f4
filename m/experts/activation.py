"""Activations of feed-forward networks, gated and plain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from m.experts.config import Activation

_PLAIN: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}
_GATES: dict[str, str] = {"geglu": "gelu", "reglu": "relu", "swiglu": "silu"}


def is_gated(activation: Activation) -> bool:
    """Whether the input projection has a second half that is multiplied by the activated first."""
    return activation in _GATES


def apply_activation(hidden: Tensor, activation: Activation) -> Tensor:
    """Activate a projection.

    Args:
        hidden: ``[..., 2F]`` for gated activations (gate half first), else ``[..., F]``.
        activation: which.

    Returns:
        ``[..., F]``; gated: ``act(gate) * value`` (Shazeer 2020, arXiv 2002.05202).
    """
    if not is_gated(activation):
        return _PLAIN[activation](hidden)
    if not torch.is_grad_enabled():  # then a function with a gradient of its own only costs time
        return _Gated.forward(hidden, _GATES[activation])
    gated: Tensor = _Gated.apply(hidden, _GATES[activation])  # type: ignore[no-untyped-call]
    return gated


class _Gated(torch.autograd.Function):
    """``act(gate) * value`` with a gradient written in place.

    Plain autograd allocates the gradients of both halves and then concatenates them, one more pass
    over the widest tensor of the model; on a CPU that pass is a tenth of a training step.
    """

    @staticmethod
    def forward(hidden: Tensor, activation: str) -> Tensor:
        """``[..., 2F] -> [..., F]``."""
        gate, value = hidden.chunk(2, dim=-1)
        return _PLAIN[activation](gate).mul_(value)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
        """Keep the projection; the activated gate is computed again, which is cheaper than memory."""
        del output
        hidden, ctx.activation = inputs
        ctx.save_for_backward(hidden)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Fill both halves of one gradient."""
        (hidden,) = ctx.saved_tensors
        gate, value = hidden.chunk(2, dim=-1)
        result = torch.empty_like(hidden)
        gate_gradient, value_gradient = result.chunk(2, dim=-1)
        torch.mul(gradient, _PLAIN[ctx.activation](gate), out=value_gradient)
        _activation_gradient(gradient * value, gate, ctx.activation, gate_gradient)
        return result, None


def _activation_gradient(gradient: Tensor, gate: Tensor, activation: str, out: Tensor) -> None:
    """Write ``gradient * act'(gate)`` to ``out``."""
    aten = torch.ops.aten
    if activation == "silu":
        aten.silu_backward.grad_input(gradient, gate, grad_input=out)
    elif activation == "gelu":
        aten.gelu_backward.grad_input(gradient, gate, grad_input=out)
    else:
        aten.threshold_backward.grad_input(gradient, gate, 0, grad_input=out)
