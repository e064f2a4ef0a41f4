"""What the page shows, as one JSON document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, FloatArray, IntArray
from examples.trajectory_3d.evaluation import MIXED, EvaluationResult, ForecasterScores
from examples.trajectory_3d.evaluation_json import to_json as scores_json
from examples.trajectory_3d.evaluation_set import EvaluationSet
from examples.trajectory_3d.experts.analysis import ExpertAnalysis
from examples.trajectory_3d.experts.summary import claims as expert_claims
from examples.trajectory_3d.experts.summary import overview_rows
from examples.trajectory_3d.experts.summary import to_json as experts_json
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.recordings.units import unit_label
from examples.trajectory_3d.report.cases import Case

DIGITS = 5  # significant, of coordinates: a page shows no more
SHOWN_SAMPLES = 12  # drawn paths of one forecast
PATHS_OF_TYPE = 24  # of each motion type in the view of paths by expert
PATH_STRIDE = 3  # of their points, one in so many is drawn


@dataclass(frozen=True)
class ReportInput:
    """What a report is made of.

    Attributes:
        title: of the page.
        details: model, date, data: name -> value.
        result: of the evaluation; its first forecaster is the one reported on.
        windows: that were evaluated.
        cases: windows to show one by one.
        forecast: of the cases' windows, in their order, by that forecaster.
        rival: name of the best baseline and its forecast of the same windows; None without baselines.
        experts: their analysis; None without experts.
    """

    title: str
    details: Mapping[str, str]
    result: EvaluationResult
    windows: EvaluationSet
    cases: Sequence[Case]
    forecast: PathForecast
    rival: tuple[str, PathForecast] | None = None
    experts: ExpertAnalysis | None = None


def report_payload(source: ReportInput) -> dict[str, Any]:
    """Everything the page's script reads: plain dicts, lists, strings and finite numbers."""
    experts = None
    if source.experts is not None:
        experts = {**experts_json(source.experts), "claims": expert_claims(source.experts)}
        experts["paths"] = _paths_by_expert(source.experts, source.windows)
        experts["overview"] = overview_rows(source.experts)
    return {
        "title": source.title,
        "details": dict(source.details),
        "claims": skill_claims(source.result),
        "scores": scores_json(source.result),
        "rival": None if source.rival is None else source.rival[0],
        "cases": [_case_json(row, case, source) for row, case in enumerate(source.cases)],
        "experts": experts,
    }


def skill_claims(result: EvaluationResult) -> list[str]:
    """What the scores say of the first forecaster, in sentences; every one is computed."""
    subject = result.forecasters[0]
    mixed = subject.groups[MIXED]
    sentences = [
        f"{subject.name}: mean position error {_error_of(subject, result)} over the next {_ahead(result)}.",
        *_comparison_claims(result),
    ]
    if mixed.uncertainty is not None:
        sentences.append(
            f"Its 80 % intervals hold {100 * mixed.uncertainty.coverage:.1f} % of the true coordinates."
        )
    gns = {kind: scores.skill.gn for kind, scores in subject.groups.items() if kind != MIXED}
    worst = max((kind for kind, gn in gns.items() if math.isfinite(gn)), key=gns.__getitem__, default=None)
    if worst is not None:
        share = f"{100 * gns[worst]:.2g}" if gns[worst] < 1 else f"{100 * gns[worst]:.0f}"
        sentences.append(
            f"Hardest for its size is {worst} motion: its error is {share} % of the spread."
            if len(gns) > 1
            else f"All motion is {worst}: the error is {share} % of the spread."
        )
    return sentences


def _comparison_claims(result: EvaluationResult) -> list[str]:
    """The first forecaster beside the best baseline; without a model, which baseline is the best."""
    subject, best = result.forecasters[0], result.best_baseline(MIXED)
    if best is None or len(result.forecasters) == 1:
        return []
    if subject.is_baseline:
        return [f"Best of {len(result.forecasters)} classical forecasters: {best.name}, "
                f"{_error_of(best, result)}."]  # fmt: skip
    ours, theirs = (one.groups[MIXED].metrics["position_error"] for one in (subject, best))
    if ours <= 0:
        return []
    kinds = [group for group in result.group_names if group != MIXED]
    ahead = sum((result.improvement(subject.name, kind) or -1.0) > 0 for kind in kinds)
    types = "motion type" if len(kinds) == 1 else "motion types"
    return [
        f"The best baseline, {best.name}, errs by {_error_of(best, result)}: "
        f"{theirs / ours:.1f} times as much. "
        f"{subject.name} is ahead of all baselines on {ahead} of {len(kinds)} {types}."
    ]


def _error_of(scores: ForecasterScores, result: EvaluationResult) -> str:
    return f"{scores.groups[MIXED].metrics['position_error']:.3g} {unit_label(result.unit)}"


def _ahead(result: EvaluationResult) -> str:
    points = "point" if result.horizon == 1 else f"{result.horizon} points"
    return f"{points} ({result.horizon * result.dt:.3g} s)"


def rounded(values: FloatArray, digits: int = DIGITS) -> Any:
    """Nested lists of an array, with so many significant digits of its largest spread."""
    array = np.asarray(values, dtype=np.float64)
    reach = float(np.ptp(array.reshape(-1, array.shape[-1]), axis=0).max()) if array.size else 0.0
    decimals = max(0, digits - 1 - int(np.floor(np.log10(reach)))) if 0 < reach < np.inf else digits
    return np.round(array, decimals).tolist()


def _case_json(row: int, case: Case, source: ReportInput) -> dict[str, Any]:
    windows, forecast = source.windows, source.forecast
    context, truth = windows.context[case.window], windows.targets[case.window]
    quantiles = forecast.quantiles or {}
    stated = 0.1 in quantiles and 0.9 in quantiles
    result: dict[str, Any] = {
        "window": case.window,
        "type": case.kind,
        "place": case.place,
        "error": case.error,
        "context": rounded(context),
        "truth": rounded(truth),
        "mean": rounded(forecast.mean[row]),
        "low": rounded(quantiles[0.1][row]) if stated else None,
        "high": rounded(quantiles[0.9][row]) if stated else None,
        "samples": None if forecast.samples is None else rounded(forecast.samples[row][:SHOWN_SAMPLES]),
        "errors": _step_errors(forecast.mean[row], truth),
        "rival": None,
        "experts": None,
    }
    if source.rival is not None:
        mean = source.rival[1].mean[row]
        result["rival"] = {"mean": rounded(mean), "errors": _step_errors(mean, truth)}
    if source.experts is not None:
        result["experts"] = [
            _token_json(layer.experts[case.window], layer.weights[case.window])
            for layer in source.experts.routing.layers
        ]
    return result


def _step_errors(mean: FloatArray, truth: FloatArray) -> list[float]:
    return [float(f"{value:.4g}") for value in np.linalg.norm(mean - truth, axis=-1)]


def _token_json(experts: IntArray, weights: Float64Array) -> dict[str, list[Any]]:
    """Experts that served the token which forecasts, and their gate weights."""
    return {"experts": experts[-1].tolist(), "weights": [round(float(w), 3) for w in weights[-1]]}


def _paths_by_expert(experts: ExpertAnalysis, windows: EvaluationSet) -> list[dict[str, Any]]:
    """Contexts of some windows of every type in the model's frame, and the expert that leads each."""
    shown = []
    for kind, members in windows.groups().items():
        if kind != MIXED:
            shown += [(kind, int(row)) for row in members[:PATHS_OF_TYPE]]
    return [
        {
            "type": kind,
            "points": rounded(experts.framed[row, ::-PATH_STRIDE][::-1], 3),
            "experts": [int(layer.experts[row, -1, 0]) for layer in experts.routing.layers],
        }
        for kind, row in shown
    ]
