"""Exported models for tests: the graph itself, run by torch, which spares writing a file."""

from __future__ import annotations

import torch

from m.export.cached import make_graph
from m.export.formats import describe_graph
from m.moe import MoESequenceRegressor
from m.runtime.model import ExportedModel


def graph_of(model: MoESequenceRegressor) -> ExportedModel:
    graph = make_graph(model)

    def run(inputs):
        with torch.no_grad():
            parts = graph(*(torch.from_numpy(part.copy()) for part in inputs.values()))
        return [part.numpy() for part in parts]

    return ExportedModel(describe_graph(graph, "pt2", "model.pt2"), run)
