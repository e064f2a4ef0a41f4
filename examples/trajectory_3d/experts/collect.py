"""Routing records of an evaluation, brought together as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from examples.trajectory_3d.arrays import Float64Array, FloatArray, IntArray
from m.moe import MoESequenceRegressor
from m.moe.forecast import inference


@dataclass(frozen=True)
class LayerTable:
    """Routing of one layer for N windows of T tokens.

    Attributes:
        experts: [N, T, K], best first.
        weights: [N, T, K] gate weights.
        probabilities: [N, T, E].
    """

    experts: IntArray
    weights: Float64Array
    probabilities: Float64Array

    @property
    def n_experts(self) -> int:
        """E."""
        return int(self.probabilities.shape[-1])


@dataclass(frozen=True)
class RoutingTable:
    """Routing of all layers.

    Attributes:
        layers: input side first; empty for a dense model.
        positions: [T] index in the context of the point that each token stands at.
    """

    layers: tuple[LayerTable, ...]
    positions: IntArray


def collect_routing(
    model: MoESequenceRegressor, context: FloatArray, *, batch_size: int = 256
) -> RoutingTable:
    """Route contexts as a forecast from their last points does.

    Args:
        model: any.
        context: [N, L, D], N >= 1.
        batch_size: windows at once.

    Raises:
        ValueError: no windows.
    """
    if not len(context):
        raise ValueError("there is no window whose routing could be collected")
    lengths = torch.full((1,), context.shape[1], dtype=torch.int64)
    tokens = model.token_positions(lengths.to(model.device))
    parts: list[list[LayerTable]] = []
    for first in range(0, len(context), batch_size):
        points = torch.as_tensor(np.asarray(context[first : first + batch_size], dtype=np.float64))
        with inference(model):
            record = model(points.to(model.device), tokens=tokens).routing
        parts.append(
            [
                LayerTable(
                    layer.experts.cpu().numpy(),
                    layer.weights.double().cpu().numpy(),
                    layer.probabilities.double().cpu().numpy(),
                )
                for layer in record.layers
            ]
        )
    layers = tuple(
        LayerTable(
            np.concatenate([part.experts for part in same]),
            np.concatenate([part.weights for part in same]),
            np.concatenate([part.probabilities for part in same]),
        )
        for same in zip(*parts, strict=True)
    )
    return RoutingTable(layers, tokens[0].cpu().numpy())
