"""Count the floating-point operations of matrix products, so that times can be explained.

`torch.utils.flop_counter` sees every matrix product of the forward and the backward pass. It does not
know two operators used here, grouped matrix products and the CPU's fused attention; their formulas
stand below. Elementwise work is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from m.moe import SequenceBatch
from m.training import TrainableModel


def flops_per_window(model: nn.Module, batch: SequenceBatch) -> int:
    """Operations (2 per multiply-add) of forward and backward pass of one window, optimizer left out.

    Args:
        model: in training mode; its gradients are left filled.
        batch: what to measure on; the mean over it is returned.

    Raises:
        TypeError: the model has no loss of its own.
    """
    if not isinstance(model, TrainableModel):
        raise TypeError(f"{type(model).__name__} lacks loss, update_routers or parameter_kinds")

    def both_passes() -> None:
        model.loss(batch).loss.backward()  # type: ignore[no-untyped-call]

    return round(product_flops(both_passes) / batch.num_sequences)


def product_flops(action: Callable[[], object]) -> int:
    """Operations (2 per multiply-add) of the matrix products of an action, gradients included."""
    with FlopCounterMode(display=False, custom_mapping=_FORMULAS) as counter:
        action()
    return int(counter.get_total_flops())


def _grouped_product(a: Sequence[int], b: Sequence[int], *_: Any, **__: Any) -> int:
    # [M, K] x [E, K, N], and for the weights' gradient [K, M] x [M, N] in E groups of M: every number of
    # the first factor meets N numbers of the second, once.
    return 2 * math.prod(list(a)) * b[-1]


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    # Scores and weighted sum; [B, heads, T, width]. Masked pairs are computed, so they count.
    return 2 * _pairs(query, key) * (query[-1] + value[-1])


def _attention_backward(
    _gradient: Sequence[int],
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    *_: Any,
    **__: Any,
) -> int:
    # Scores once more; gradients of values and weights; gradients of queries and keys.
    return 2 * _pairs(query, key) * (3 * query[-1] + 2 * value[-1])


def _pairs(query: Sequence[int], key: Sequence[int]) -> int:
    batch, heads, length, _ = query
    return batch * heads * length * key[-2]


_FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten._grouped_mm: _grouped_product,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
