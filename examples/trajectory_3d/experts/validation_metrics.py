"""Who serves whom, as metrics of a validation: named numbers that logs, TensorBoard and pages can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from examples.trajectory_3d.evaluation_set import EvaluationSet
from examples.trajectory_3d.experts.analysis import type_specialisation
from examples.trajectory_3d.experts.collect import collect_routing
from m.moe import MoESequenceRegressor

EXPERTS = "experts/"
TYPE_KNOWN = f"{EXPERTS}type_known/layer_"
SERVED = f"{EXPERTS}served/layer_"

Served = list[list[list[float | None]]]  # [layers][types][experts], None where nothing was recorded


def expert_metrics(model: MoESequenceRegressor, windows: EvaluationSet, batch_size: int) -> dict[str, float]:
    """What experts do for the motion types, empty for a dense model.

    ``experts/type_known/layer_<n>`` is the share of the motion type's entropy that the choice of experts
    tells beyond chance: 0 says nothing of the type, 1 that each type has experts of its own.
    ``experts/served/layer_<n>/<type>/<expert>`` is the expert's share of the type's choices.
    """
    metrics = {}
    for index, layer in enumerate(collect_routing(model, windows.context, batch_size=batch_size).layers):
        table = type_specialisation(layer, windows)
        told = max(0.0, table.information - table.chance)
        metrics[f"{TYPE_KNOWN}{index}"] = told / table.group_entropy if table.group_entropy else 0.0
        for kind, shares in zip(table.groups, table.shares, strict=True):
            for expert, share in enumerate(shares):
                metrics[f"{SERVED}{index}/{kind}/{expert}"] = float(np.round(share, 4))
    return metrics


def served(metrics: Mapping[str, float | None], types: Sequence[str]) -> Served:
    """The shares of each expert in each type's choices, from metrics; empty without any."""
    layers: dict[int, dict[tuple[str, int], float | None]] = {}
    for name, share in metrics.items():
        if name.startswith(SERVED):
            layer, rest = name.removeprefix(SERVED).split("/", 1)
            kind, expert = rest.rsplit("/", 1)
            layers.setdefault(int(layer), {})[kind, int(expert)] = share
    return [
        [
            [cells.get((kind, expert)) for expert in range(1 + max(number for _, number in cells))]
            for kind in types
        ]
        for _, cells in sorted(layers.items())
    ]
