"""The tables of an evaluation as rows of text, one row per forecaster wherever there may be many."""

import math
from collections.abc import Sequence
from typing import TypeAlias

from examples.trajectory_3d.evaluation import MIXED, EvaluationResult, ForecasterScores, GroupScores
from examples.trajectory_3d.metrics import METRICS, MetricSpec
from examples.trajectory_3d.recordings.units import in_unit, unit_label
from examples.trajectory_3d.scores import CENTRAL_INTERVALS, DistributionScores

HEADLINE_METRICS = ("position_error", "endpoint_error", "velocity_error")
SHOWN_STEPS = 8  # columns of the tables per step

Rows: TypeAlias = list[list[str]]


def headline_rows(result: EvaluationResult) -> Rows:
    """One row per forecaster: gn with its interval, and the main errors over all windows."""
    unit = unit_label(result.unit)
    heading = ["forecaster", "gn", "95 % interval", "valid %"]
    rows = [[*heading, f"mean error {unit}", f"final error {unit}", f"vel. error {unit}/s"]]
    compared = result.reference is not None
    if compared:
        rows[0].append(f"x {_reference_name(result)}")
    for scores in _compared(result):
        group = scores.groups[MIXED]
        row = [scores.name, number(group.skill.gn, 3), _interval(group.skill.gn_interval)]
        row.append(_hundredths(group.skill.valid_fraction))
        row += [number(group.metrics[name], 3) for name in HEADLINE_METRICS]
        if compared:
            row.append(_ratio(scores, result, MIXED))
        rows.append(row)
    return rows


def position_rows(result: EvaluationResult, *, intervals: bool) -> Rows:
    """One row per forecaster: mean position error of every group, its interval if asked for.

    Below them, for every forecaster that is no baseline, by how much it is better than the best one.
    """
    rows = [["forecaster", *result.group_names]]
    rows += [
        [scores.name, *(_position(scores, group, intervals) for group in result.group_names)]
        for scores in _compared(result)
    ]
    if result.best_baseline(MIXED) is not None:
        challengers = [scores for scores in result.forecasters if not scores.is_baseline]
        rows += [_improvement_row(result, scores, alone=len(challengers) == 1) for scores in challengers]
    return rows


def gn_rows(result: EvaluationResult) -> Rows:
    """One row per forecaster: gn of every type, and of all."""
    return [
        ["forecaster", *result.group_names],
        *(
            [scores.name, *(_gn(scores, group) for group in result.group_names)]
            for scores in _compared(result)
        ),
    ]


def ratio_rows(result: EvaluationResult, *, medians: bool) -> Rows:
    """One row per forecaster: mean position error over the reference's, by group; medians in brackets."""
    return [
        ["forecaster", *result.group_names],
        *(
            [scores.name, *(_ratio(scores, result, group, medians=medians) for group in result.group_names)]
            for scores in result.forecasters
        ),
    ]


def distribution_rows(result: EvaluationResult) -> Rows:
    """One row per forecaster that states a distribution: its scores and its calibration on all windows."""
    unit, levels = unit_label(result.unit), [_percent(level) for level in CENTRAL_INTERVALS]
    rows = [["forecaster", "NLL", f"CRPS {unit}", f"energy {unit}", *levels, "ranks uneven"]]
    for scores, values in _with_distribution(result):
        proper = (values.nll_normalised, values.crps, values.energy_score)
        row = [scores.name, *(_optional(value) for value in proper)]
        for level in CENTRAL_INTERVALS:
            inside = values.coverage_per_step.get(level)
            row.append("n/a" if inside is None else _share(float(inside.mean())))
        rows.append([*row, "n/a" if values.ranks is None else _share(values.ranks.unevenness)])
    return rows


def coverage_rows(result: EvaluationResult) -> Rows:
    """Coverage of the central intervals at some steps of the horizon, all windows."""
    shown = _shown_steps(result)
    rows = [["forecaster", "level", *(str(step) for step in shown)]]
    for scores, values in _with_distribution(result):
        for level, inside in values.coverage_per_step.items():
            cells = [f"{100 * inside[step - 1]:.1f}" for step in shown]
            rows.append([scores.name, _percent(level), *cells])
    return rows


def states_distribution(result: EvaluationResult) -> bool:
    """Whether any forecaster states a distribution."""
    return bool(_with_distribution(result))


def metric_rows(result: EvaluationResult, group: str) -> Rows:
    """One row per metric, one column per forecaster, the true path last."""
    columns = [*result.forecasters, result.true_path]
    rows = [["metric", "unit", "better", *(scores.name for scores in columns)]]
    for spec in METRICS:
        values = [scores.groups[group].metrics[spec.name] for scores in result.forecasters]
        true_value = number(result.true_path.groups[group].metrics[spec.name])
        rows.append(
            [
                spec.name,
                in_unit(spec.unit, result.unit) or "-",
                spec.better,
                *_marked(spec, values),
                true_value,
            ]
        )
    median = [number(scores.groups[group].position_error_median) for scores in columns]
    return [*rows, ["position_error_median", unit_label(result.unit), "lower", *median]]


def short_metric_rows(result: EvaluationResult, group: str) -> Rows:
    """The same without direction and true path, which are left to the full report."""
    header, *rows = metric_rows(result, group)
    named = [[row[0] if row[1] == "-" else f"{row[0]} ({row[1]})", *row[3:-1]] for row in rows]
    return [[header[0], *header[3:-1]], *named]


def _marked(spec: MetricSpec, values: Sequence[float]) -> list[str]:
    """Write the values, the best of several with a star where the metric compares with the truth."""
    defined = [value for value in values if math.isfinite(value)]
    best = (min if spec.better == "lower" else max)(defined, default=math.nan)
    mark = spec.compares and len(values) > 1
    # Values that differ by rounding only share the star.
    return [
        number(value) + (" *" if mark and math.isclose(value, best, rel_tol=1e-9) else "") for value in values
    ]


def step_rows(result: EvaluationResult) -> Rows:
    """Mean distance at some steps of the horizon, all windows."""
    shown = _shown_steps(result)
    rows = [["forecaster", *(str(step) for step in shown)]]
    for scores in _compared(result):
        errors = scores.groups[MIXED].error_per_step
        rows.append([scores.name, *(number(float(errors[step - 1])) for step in shown)])
    return rows


def interval_rows(result: EvaluationResult) -> Rows:
    """Coverage and mean width of the stated 80 % interval, by group."""
    return [
        ["forecaster", *result.group_names],
        *(
            [scores.name, *(_coverage(scores.groups[group]) for group in result.group_names)]
            for scores in result.forecasters
            if scores.groups[MIXED].uncertainty is not None
        ),
    ]


def number(value: float, digits: int = 4) -> str:
    """Write significant digits; very large and very small values in scientific notation, NaN as n/a."""
    if not math.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:#.{digits}g}".removesuffix(".") if abs(value) < 1000 else f"{value:.0f}"


def _compared(result: EvaluationResult) -> list[ForecasterScores]:
    """The forecasters and, last, the reference."""
    return [*result.forecasters, *([] if result.reference is None else [result.reference])]


def _reference_name(result: EvaluationResult) -> str:
    return "reference" if result.reference is None else result.reference.name


def _with_distribution(result: EvaluationResult) -> list[tuple[ForecasterScores, DistributionScores]]:
    stated = ((scores, scores.groups[MIXED].distribution) for scores in result.forecasters)
    return [(scores, values) for scores, values in stated if values is not None]


def _shown_steps(result: EvaluationResult) -> list[int]:
    last = result.horizon - 1
    return sorted({round(1 + index * last / (SHOWN_STEPS - 1)) for index in range(SHOWN_STEPS)})


def _position(scores: ForecasterScores, group: str, with_interval: bool) -> str:
    if group not in scores.groups:
        return "none"
    values = scores.groups[group]
    error = values.metrics["position_error"]
    return _with_interval(error, values.position_error_interval) if with_interval else number(error, 3)


def _gn(scores: ForecasterScores, group: str) -> str:
    return number(scores.groups[group].skill.gn, 3) if group in scores.groups else "none"


def _ratio(scores: ForecasterScores, result: EvaluationResult, group: str, *, medians: bool = False) -> str:
    if scores is result.reference:
        return "1"
    ratio = scores.groups[group].reference_ratio
    if ratio is None:
        return "none"
    return number(ratio.mean, 3) + (f" ({number(ratio.median, 3)})" if medians else "")


def _improvement_row(result: EvaluationResult, scores: ForecasterScores, *, alone: bool) -> list[str]:
    gains = [result.improvement(scores.name, group) for group in result.group_names]
    cells = ["n/a" if gain is None else f"{gain:.0f} %" for gain in gains]
    title = "below best baseline"
    return [title if alone else f"{scores.name} {title}", *cells]


def _with_interval(value: float, ends: tuple[float, float]) -> str:
    return number(value) + (f" [{_interval(ends)}]" if math.isfinite(ends[0]) else "")


def _interval(ends: tuple[float, float]) -> str:
    return f"{number(ends[0], 3)}, {number(ends[1], 3)}" if math.isfinite(ends[0]) else "n/a"


def _coverage(scores: GroupScores) -> str:
    value = scores.uncertainty
    return "n/a" if value is None else f"{100 * value.coverage:.1f} % / {number(value.width)}"


def _optional(value: float | None) -> str:
    return "n/a" if value is None else number(value, 3)


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if math.isfinite(value) else "n/a"


def _hundredths(value: float) -> str:
    return f"{100 * value:.0f}" if math.isfinite(value) else "n/a"
