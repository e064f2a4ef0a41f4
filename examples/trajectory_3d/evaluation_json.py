"""An evaluation as a JSON document."""

import math
from typing import Any

from examples.trajectory_3d.evaluation import EvaluationResult
from examples.trajectory_3d.metrics import METRICS
from examples.trajectory_3d.recordings.units import in_unit, unit_label
from examples.trajectory_3d.scores import DistributionScores, ForecasterScores, GroupScores, ReferenceRatio

JSON_FORMAT = "trajectory_3d.evaluation"
JSON_VERSION = 1


def to_json(result: EvaluationResult) -> dict[str, Any]:
    """Turn the result into plain dicts, lists, strings and finite numbers; undefined values are None.

    Schema (version 1):
        format, version: "trajectory_3d.evaluation", 1.
        num_windows, context_length, horizon: int; dt: seconds; unit: of positions.
        absent_types: names of the motion types without windows.
        failed: forecaster -> why it has no scores.
        metrics: list of {name, unit, better, description}, in report order.
        forecasters: list of {name, is_baseline, groups}; true_path: the same for the true continuation;
            reference: the same for the reference on the windows that it forecasts, or None.
        groups: type name or "mixed" -> {count, metrics: {name: value}, position_error_median,
            position_error_interval: [low, high] or None, error_per_step: [H values],
            uncertainty: {coverage, width} or None, improvement_percent: over the best baseline, or None,
            gn, gn_interval: [low, high] or None, valid_fraction, undefined_windows: see `skill`,
            distribution: {nll, nll_normalised, crps, crps_normalised, energy_score, coverage_per_step:
            {"50", "80", "95": [H shares]}, ranks: {shares, unevenness, source} or None} or None,
            reference_ratio: {mean, median, count} or None}.
    """
    return {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "num_windows": result.num_windows,
        "context_length": result.context_length,
        "horizon": result.horizon,
        "dt": result.dt,
        "unit": unit_label(result.unit),
        "absent_types": list(result.absent_types),
        "failed": dict(result.failed),
        "metrics": [
            {
                "name": spec.name,
                "unit": in_unit(spec.unit, result.unit),
                "better": spec.better,
                "description": spec.description,
            }
            for spec in METRICS
        ],
        "forecasters": [_forecaster_json(result, scores) for scores in result.forecasters],
        "true_path": _forecaster_json(result, result.true_path),
        "reference": None if result.reference is None else _forecaster_json(result, result.reference),
    }


def _forecaster_json(result: EvaluationResult, scores: ForecasterScores) -> dict[str, Any]:
    measured = any(scores is one for one in result.forecasters)
    groups = {
        group: {
            **_group_json(values),
            "improvement_percent": result.improvement(scores.name, group) if measured else None,
        }
        for group, values in scores.groups.items()
    }
    return {"name": scores.name, "is_baseline": scores.is_baseline, "groups": groups}


def _group_json(values: GroupScores) -> dict[str, Any]:
    uncertainty = values.uncertainty
    return {
        "count": values.count,
        "metrics": {name: _finite(value) for name, value in values.metrics.items()},
        "position_error_median": _finite(values.position_error_median),
        "position_error_interval": _interval(values.position_error_interval),
        "error_per_step": [_finite(float(value)) for value in values.error_per_step],
        "uncertainty": None
        if uncertainty is None
        else {"coverage": uncertainty.coverage, "width": uncertainty.width},
        "gn": _finite(values.skill.gn),
        "gn_interval": _interval(values.skill.gn_interval),
        "valid_fraction": _finite(values.skill.valid_fraction),
        "undefined_windows": values.skill.undefined,
        "distribution": None if values.distribution is None else _distribution_json(values.distribution),
        "reference_ratio": None if values.reference_ratio is None else _ratio_json(values.reference_ratio),
    }


def _distribution_json(values: DistributionScores) -> dict[str, Any]:
    names = ("nll", "nll_normalised", "crps", "crps_normalised", "energy_score")
    ranks = values.ranks
    return {
        **{name: _finite(getattr(values, name)) for name in names},
        "coverage_per_step": {
            f"{100 * nominal:g}": [float(share) for share in shares]
            for nominal, shares in values.coverage_per_step.items()
        },
        "ranks": None
        if ranks is None
        else {
            "shares": [float(share) for share in ranks.shares],
            "unevenness": ranks.unevenness,
            "source": ranks.source,
        },
    }


def _ratio_json(ratio: ReferenceRatio) -> dict[str, Any]:
    return {"mean": _finite(ratio.mean), "median": _finite(ratio.median), "count": ratio.count}


def _interval(ends: tuple[float, float]) -> list[float] | None:
    return list(ends) if all(math.isfinite(end) for end in ends) else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
