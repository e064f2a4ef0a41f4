"""From an evaluated model to its report: what is shown is brought together, then the page is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from examples.trajectory_3d.evaluation import MIXED, EvaluationResult, EvaluationSet, forecast_all
from examples.trajectory_3d.experts.analysis import ExpertAnalysis
from examples.trajectory_3d.forecasters import Forecaster, PathForecast
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.report.cases import choose_cases
from examples.trajectory_3d.report.page import REPORT, write_report
from examples.trajectory_3d.report.payload import ReportInput, report_payload

BATCH_SIZE = 256


def write_evaluation_report(
    folder: Path,
    forecasters: Sequence[Forecaster],
    result: EvaluationResult,
    windows: EvaluationSet,
    forecast: PathForecast,
    *,
    details: Mapping[str, str],
    experts: ExpertAnalysis | None = None,
) -> Path:
    """Write ``report.html``.

    Args:
        folder: of the evaluation.
        forecasters: as evaluated, the one reported on first.
        result: of the evaluation.
        windows: that were evaluated.
        forecast: of all of them by the first forecaster.
        details: name -> value.
        experts: analysis of the first forecaster's, where it has any.
    """
    cases = choose_cases(position_error(forecast.mean, windows.targets), windows)
    rows = np.array([case.window for case in cases])
    source = ReportInput(
        title=f"Evaluation of {forecasters[0].name}",
        details=details,
        result=result,
        windows=windows,
        cases=cases,
        forecast=forecast.select(rows),
        rival=_rival(forecasters, result, windows.select(rows)),
        experts=experts,
    )
    return write_report(report_payload(source), folder / REPORT)


def _rival(
    forecasters: Sequence[Forecaster], result: EvaluationResult, windows: EvaluationSet
) -> tuple[str, PathForecast] | None:
    """The best baseline that is not itself reported on, and its forecast."""
    best = result.best_baseline(MIXED)
    if best is None or best.name == forecasters[0].name:
        return None
    chosen = next(each for each in forecasters if each.name == best.name)
    return best.name, forecast_all(chosen, windows, BATCH_SIZE)
