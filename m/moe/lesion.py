"""Switching experts off, to see what they were good for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor, nn

from m.moe.layer import MoELayer

if TYPE_CHECKING:
    from m.moe.model import MoESequenceRegressor


@contextmanager
def switched_off(model: MoESequenceRegressor, layer: int, expert: int) -> Iterator[None]:
    """Inside the block one routed expert gives nothing, to whoever chose it.

    Tokens keep their choice: they are not sent to another expert, and what other experts and the shared
    one give them stays. So the harm done is what this expert contributed.

    Args:
        model: with experts.
        layer: of the mixture-of-experts layers, input side first, from 0, as `RoutingRecord.layers` counts.
        expert: number of the routed expert, from 0.

    Raises:
        ValueError: the model has no such layer, or the layer no such expert.
    """
    layers = [module for module in model.modules() if isinstance(module, MoELayer)]
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer {layer}: the model has {len(layers)} layers with experts, counted from 0")
    experts = layers[layer].experts
    if not 0 <= expert < experts.n_experts:
        raise ValueError(f"expert {expert}: layer {layer} has {experts.n_experts} experts, counted from 0")

    def silence(_: nn.Module, inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        tokens, chosen, weights = inputs
        return tokens, chosen, weights.masked_fill(chosen == expert, 0.0)

    handle = experts.register_forward_pre_hook(silence)
    try:
        yield
    finally:
        handle.remove()
