"""Whether an exported model forecasts what the model does, and whether it forecasts as well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from m.arrays import Array
from m.generation.result import GenerationResult
from m.moe.model import MoESequenceRegressor
from m.runtime.engine import ExportedEngine
from m.runtime.job import ExportedJob
from m.runtime.model import ExportedModel

_PIECE = 64  # contexts in a reading


@dataclass(frozen=True)
class Parity:
    """An exported model beside the one it was made from, on the same windows.

    Attributes:
        windows: compared.
        largest: difference of any forecast point from the model's, in standard deviations of its context.
        typical: the same, the root of the mean square.
        error: mean distance from the truth, exported model, in the windows' units.
        model_error: the same of the model.
        same_experts: share of the last tokens' experts that are the same; 1 for a dense model.
    """

    windows: int
    largest: float
    typical: float
    error: float
    model_error: float
    same_experts: float

    @property
    def worse(self) -> float:
        """By which share the exported model's error is larger; below 0 where it is smaller."""
        return self.error / self.model_error - 1 if self.model_error else float(self.error > 0)


def measure_parity(
    model: MoESequenceRegressor, exported: ExportedModel, context: Array, truth: Array
) -> Parity:
    """Compare forecasts, rolled on as far as the truth goes.

    Args:
        model: made the graph.
        exported: the graph.
        context: windows ``[N, T, D]``.
        truth: what came next, ``[N, H, K]``.
    """
    horizon = truth.shape[1]
    deviations, errors, model_errors, same = [], [], [], []
    for start in range(0, len(context), _PIECE):
        piece, ahead = context[start : start + _PIECE], truth[start : start + _PIECE]
        found, whole = _forecast(exported, piece, horizon), model.forecast(piece, horizon)
        spread = piece.std(axis=(1, 2), keepdims=True)
        there, here = found.mean, whole.mean
        deviations.append((there - here) / np.where(spread > 0, spread, 1.0))
        errors.append(np.linalg.norm(there - ahead, axis=-1))
        model_errors.append(np.linalg.norm(here - ahead, axis=-1))
        same += [
            mine.experts[:, -1] == theirs.experts[:, -1].cpu().numpy()
            for mine, theirs in zip(found.routing.layers, whole.routing.layers, strict=True)
        ]
    away = np.concatenate(deviations)
    return Parity(
        windows=len(context),
        largest=float(np.abs(away).max()),
        typical=float(np.sqrt(np.square(away).mean())),
        error=float(np.concatenate(errors).mean()),
        model_error=float(np.concatenate(model_errors).mean()),
        same_experts=float(np.mean([part.mean() for part in same])) if same else 1.0,
    )


def _forecast(exported: ExportedModel, context: Array, horizon: int) -> GenerationResult:
    engine, job = ExportedEngine(exported), ExportedJob.read(exported.manifest, context, horizon)
    engine.submit(job)
    while engine.busy:
        engine.step()
    if job.failure is not None:
        raise job.failure
    return job.result()
