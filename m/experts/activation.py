"""Activations of feed-forward networks, gated and plain."""

from __future__ import annotations

from collections.abc import Callable

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
    gate, value = hidden.chunk(2, dim=-1)
    return _PLAIN[_GATES[activation]](gate) * value
