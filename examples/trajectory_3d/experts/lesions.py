"""What each expert is worth: forecasts with one expert switched off at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from examples.trajectory_3d.arrays import Float64Array, FloatArray, IntArray
from examples.trajectory_3d.evaluation_set import MIXED, EvaluationSet
from examples.trajectory_3d.experts.collect import RoutingTable
from examples.trajectory_3d.metrics import position_error
from m.moe import MoESequenceRegressor, switched_off


@dataclass(frozen=True)
class Lesions:
    """Errors with and without each expert.

    Attributes:
        groups: names of the motion types that have windows, G of them.
        whole: mean position error of the whole model, [G] metres.
        damaged: the same with expert e of layer l switched off, [layers, E, G] metres.
        served: share of a type's windows in which the expert serves the token that the forecast is made
            from, or one that it sees, [layers, E, G].
    """

    groups: tuple[str, ...]
    whole: Float64Array
    damaged: Float64Array
    served: Float64Array

    @property
    def harm(self) -> Float64Array:
        """By what share of itself the error grows, [layers, E, G]."""
        growth: Float64Array = self.damaged / self.whole - 1.0
        return growth

    def agreement(self, layer: int) -> float:
        """Rank correlation of serving a type and being missed by it, over experts and types of a layer.

        1: who serves more of a type is missed more by it. NaN where one of both never varies.
        """
        served, harm = self.served[layer].reshape(-1), self.harm[layer].reshape(-1)
        if np.ptp(served) == 0 or np.ptp(harm) == 0:
            return float("nan")
        return float(spearmanr(served, harm).statistic)


def measure_lesions(
    model: MoESequenceRegressor, windows: EvaluationSet, routing: RoutingTable, *, batch_size: int = 256
) -> Lesions:
    """Switch off every expert of every layer in turn, and forecast the windows it serves again.

    Windows that no token of which chose the expert are not forecast again: nothing changes for them.

    Args:
        model: with experts.
        windows: to forecast.
        routing: of these windows, as `collect_routing` returns it.
        batch_size: windows at once.

    Raises:
        ValueError: a model without experts.
    """
    if not routing.layers:
        raise ValueError("a dense model has no expert to switch off")
    groups = {name: rows for name, rows in windows.groups().items() if name != MIXED}
    whole = _errors(model, windows.context, windows.targets, batch_size)
    shape = (len(routing.layers), routing.layers[0].n_experts, len(groups))
    damaged, served = np.empty(shape), np.empty(shape)
    for layer, table in enumerate(routing.layers):
        for expert in range(table.n_experts):
            concerned = (table.experts == expert).any(axis=(1, 2))  # [N]
            rows = np.flatnonzero(concerned)
            error = whole.copy()
            if len(rows):
                with switched_off(model, layer, expert):
                    error[rows] = _errors(model, windows.context[rows], windows.targets[rows], batch_size)
            for column, members in enumerate(groups.values()):
                damaged[layer, expert, column] = error[members].mean()
                served[layer, expert, column] = concerned[members].mean()
    baseline = np.array([whole[members].mean() for members in groups.values()])
    return Lesions(tuple(groups), baseline, damaged, served)


def _errors(
    model: MoESequenceRegressor, context: FloatArray, targets: FloatArray, batch_size: int
) -> Float64Array:
    """Position error of each window, [N] metres."""
    starts: IntArray = np.arange(0, len(context), batch_size)
    return np.concatenate(
        [
            position_error(
                model.forecast(context[i : i + batch_size], targets.shape[1]).mean,
                targets[i : i + batch_size],
            )
            for i in starts.tolist()
        ]
    )
