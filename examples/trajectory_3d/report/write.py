"""From an evaluated model to its report: what is shown is brought together, then the page is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from examples.trajectory_3d.arrays import Float64Array, FloatArray
from examples.trajectory_3d.evaluation import MIXED, EvaluationResult, EvaluationSet, forecast_all
from examples.trajectory_3d.experts.analysis import ExpertAnalysis
from examples.trajectory_3d.experts.collect import collect_routing
from examples.trajectory_3d.forecasters import Forecaster, PathForecast
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.report.cases import choose_cases
from examples.trajectory_3d.report.page import REPORT, write_report
from examples.trajectory_3d.report.payload import ReportInput, report_payload
from m.moe import MoESequenceRegressor, compute_anchor

BATCH_SIZE = 256


def write_evaluation_report(
    folder: Path,
    forecasters: Sequence[Forecaster],
    result: EvaluationResult,
    windows: EvaluationSet,
    *,
    title: str,
    details: Mapping[str, str],
    model: MoESequenceRegressor | None = None,
    experts: ExpertAnalysis | None = None,
) -> Path:
    """Write ``report.html``.

    Args:
        folder: of the evaluation.
        forecasters: as evaluated, the one reported on first.
        result: of the evaluation.
        windows: that were evaluated.
        title: of the page.
        details: name -> value.
        model: of the first forecaster, where it has experts.
        experts: their analysis; needs the model.
    """
    forecast = forecast_all(forecasters[0], windows, BATCH_SIZE)
    cases = choose_cases(position_error(forecast.mean, windows.targets), windows)
    rows = np.array([case.window for case in cases])
    source = ReportInput(
        title=title,
        details=details,
        result=result,
        windows=windows,
        cases=cases,
        forecast=forecast.select(rows),
        rival=_rival(forecasters, result, windows.select(rows)),
    )
    if experts is not None and model is not None:
        source = replace(
            source,
            routing=collect_routing(model, windows.context, batch_size=BATCH_SIZE),
            experts=experts,
            framed=framed(model, windows.context),
        )
    return write_report(report_payload(source), folder / REPORT)


def framed(model: MoESequenceRegressor, context: FloatArray) -> Float64Array:
    """Contexts [N, L, 3] as the model sees them: moved, scaled and perhaps turned by their anchors."""
    points = torch.as_tensor(np.asarray(context, dtype=np.float64))
    lengths = torch.full((len(points),), points.shape[1], dtype=torch.int64)
    anchored: Float64Array = compute_anchor(points, lengths, model.config.anchor).normalise(points).numpy()
    return anchored


def _rival(
    forecasters: Sequence[Forecaster], result: EvaluationResult, windows: EvaluationSet
) -> tuple[str, PathForecast] | None:
    """The best baseline that is not itself reported on, and its forecast."""
    best = result.best_baseline(MIXED)
    if best is None or best.name == forecasters[0].name:
        return None
    chosen = next(each for each in forecasters if each.name == best.name)
    return best.name, forecast_all(chosen, windows, BATCH_SIZE)
