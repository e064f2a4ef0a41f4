"""An evaluation as text, as rich tables and as JSON. The numbers come from `evaluation`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich import box
from rich.console import Group
from rich.table import Table

from examples.trajectory_3d.evaluation import (
    MIXED,
    EvaluationResult,
    ForecasterScores,
    GroupScores,
    Uncertainty,
)
from examples.trajectory_3d.metrics import METRICS, MetricSpec

JSON_FORMAT = "trajectory_3d.evaluation"
JSON_VERSION = 1
SHOWN_STEPS = 8  # columns of the error-per-step table
NOTES = """\
* best of the forecasters. temporal_consistency and smoothness describe a path alone, so none is best:
compare them with the true path. n/a: the horizon is too short to define the value.
All metrics are defined in docs/metrics.md."""

Rows = list[list[str]]
HEADING_WIDTH = 12  # longer words of a heading are broken, so that tables fit 80 columns


def render_text(
    result: EvaluationResult, *, title: str = "Evaluation", details: Mapping[str, str] | None = None
) -> str:
    """Write the whole evaluation as plain ASCII text, for `evaluation_summary.txt`.

    Args:
        result: what `evaluation.evaluate` returned.
        title: first line.
        details: further lines of the header, such as model, date and test stream; name -> value.
    """
    blocks = [
        _header(result, title, details or {}),
        _section("Mean position error in metres [95 % bootstrap interval]", _summary_rows(result, True)),
        _section("Mean distance in metres at forecast step (mixed)", _step_rows(result)),
    ]
    if any(_uncertainty(scores) is not None for scores in result.forecasters):
        blocks.append(
            _section("Stated 80 % interval: coverage and mean width in metres", _interval_rows(result))
        )
    blocks += [
        _section(f"{group} ({_count(result, group)} windows)", _metric_rows(result, group))
        for group in reversed(result.group_names)
    ]
    blocks.append(NOTES)
    return "\n\n".join(blocks) + "\n"


def render_table(result: EvaluationResult) -> Group:
    """Build rich tables for a terminal: position error per motion type, then every metric on all windows."""
    tables = [
        _rich_table(f"Position error in metres, {result.num_windows} windows", _summary_rows(result, False)),
        _rich_table("All metrics, all motion types mixed (* best)", _short_metric_rows(result, MIXED)),
    ]
    return Group(*tables)


def to_json(result: EvaluationResult) -> dict[str, Any]:
    """Turn the result into plain dicts, lists, strings and finite numbers; undefined values are None.

    Schema (version 1):
        format, version: "trajectory_3d.evaluation", 1.
        num_windows, context_length, horizon: int; dt: seconds.
        absent_types: names of the motion types without windows.
        metrics: list of {name, unit, better, description}, in report order.
        forecasters: list of {name, is_baseline, groups}; true_path: the same for the true continuation.
        groups: type name or "mixed" -> {count, metrics: {name: value}, position_error_median,
            position_error_interval: [low, high] or None, error_per_step: [H values],
            uncertainty: {coverage, width} or None, improvement_percent: over the best baseline, or None}.
    """
    return {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "num_windows": result.num_windows,
        "context_length": result.context_length,
        "horizon": result.horizon,
        "dt": result.dt,
        "absent_types": list(result.absent_types),
        "metrics": [
            {"name": spec.name, "unit": spec.unit, "better": spec.better, "description": spec.description}
            for spec in METRICS
        ],
        "forecasters": [_forecaster_json(result, scores) for scores in result.forecasters],
        "true_path": _forecaster_json(result, result.true_path),
    }


def _forecaster_json(result: EvaluationResult, scores: ForecasterScores) -> dict[str, Any]:
    measured = scores is not result.true_path
    groups = {
        group: {
            **_group_json(values),
            "improvement_percent": result.improvement(scores.name, group) if measured else None,
        }
        for group, values in scores.groups.items()
    }
    return {"name": scores.name, "is_baseline": scores.is_baseline, "groups": groups}


def _group_json(values: GroupScores) -> dict[str, Any]:
    low, high = values.position_error_interval
    uncertainty = values.uncertainty
    return {
        "count": values.count,
        "metrics": {name: _finite(value) for name, value in values.metrics.items()},
        "position_error_median": _finite(values.position_error_median),
        "position_error_interval": [low, high] if math.isfinite(low) and math.isfinite(high) else None,
        "error_per_step": [_finite(float(value)) for value in values.error_per_step],
        "uncertainty": None
        if uncertainty is None
        else {"coverage": uncertainty.coverage, "width": uncertainty.width},
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _header(result: EvaluationResult, title: str, details: Mapping[str, str]) -> str:
    facts = {
        **details,
        "windows": str(result.num_windows),
        "context": f"{result.context_length} points",
        "horizon": f"{result.horizon} steps of {result.dt:.6g} s ({result.horizon * result.dt:.4g} s)",
    }
    if result.absent_types:
        facts["no windows of"] = ", ".join(result.absent_types)
    width = max(len(name) for name in facts)
    lines = [title, "=" * len(title), *(f"{name:<{width}}  {value}" for name, value in facts.items())]
    return "\n".join(_ascii(line) for line in lines)


def _summary_rows(result: EvaluationResult, intervals: bool) -> Rows:
    """One row per group: mean position error, its 95 % interval if asked for, and the improvement."""
    challengers = [scores for scores in result.forecasters if not scores.is_baseline]
    compared = challengers if result.best_baseline(MIXED) is not None else []
    header = ["motion type", "windows", *(scores.name for scores in result.forecasters)]
    header += [_improvement_title(scores, compared) for scores in compared]
    rows = [header]
    for group in result.group_names:
        row = [group, str(_count(result, group))]
        row += [_position_error(scores.groups[group], intervals) for scores in result.forecasters]
        row += [_percent(result.improvement(scores.name, group)) for scores in compared]
        rows.append(row)
    return rows


def _improvement_title(scores: ForecasterScores, compared: Sequence[ForecasterScores]) -> str:
    return "vs best baseline" if len(compared) == 1 else f"{scores.name} vs best baseline"


def _metric_rows(result: EvaluationResult, group: str) -> Rows:
    """One row per metric, one column per forecaster, the true path last."""
    columns = [*result.forecasters, result.true_path]
    rows = [["metric", "unit", "better", *(scores.name for scores in columns)]]
    for spec in METRICS:
        values = [scores.groups[group].metrics[spec.name] for scores in result.forecasters]
        true_value = _number(result.true_path.groups[group].metrics[spec.name])
        rows.append([spec.name, spec.unit or "-", spec.better, *_marked(spec, values), true_value])
    median = [_number(scores.groups[group].position_error_median) for scores in columns]
    return [*rows, ["position_error_median", "m", "lower", *median]]


def _short_metric_rows(result: EvaluationResult, group: str) -> Rows:
    """The same without direction and true path, which are left to the full report."""
    header, *rows = _metric_rows(result, group)
    named = [[row[0] if row[1] == "-" else f"{row[0]} ({row[1]})", *row[3:-1]] for row in rows]
    return [[header[0], *header[3:-1]], *named]


def _marked(spec: MetricSpec, values: Sequence[float]) -> list[str]:
    """Write the values, the best of several with a star where the metric compares with the truth."""
    defined = [value for value in values if math.isfinite(value)]
    best = (min if spec.better == "lower" else max)(defined, default=math.nan)
    mark = spec.compares and len(values) > 1
    # Values that differ by rounding only share the star.
    return [
        _number(value) + (" *" if mark and math.isclose(value, best, rel_tol=1e-9) else "")
        for value in values
    ]


def _step_rows(result: EvaluationResult) -> Rows:
    horizon = result.horizon
    shown = sorted({round(1 + i * (horizon - 1) / (SHOWN_STEPS - 1)) for i in range(SHOWN_STEPS)})
    rows = [["forecaster", *(str(step) for step in shown)]]
    for scores in result.forecasters:
        errors = scores.groups[MIXED].error_per_step
        rows.append([scores.name, *(_number(float(errors[step - 1])) for step in shown)])
    return rows


def _interval_rows(result: EvaluationResult) -> Rows:
    return [
        ["forecaster", *result.group_names],
        *(
            [scores.name, *(_coverage(scores.groups[group].uncertainty) for group in result.group_names)]
            for scores in result.forecasters
            if _uncertainty(scores) is not None
        ),
    ]


def _uncertainty(scores: ForecasterScores) -> Uncertainty | None:
    return scores.groups[MIXED].uncertainty


def _coverage(value: Uncertainty | None) -> str:
    return "n/a" if value is None else f"{100 * value.coverage:.1f} % / {_number(value.width)}"


def _count(result: EvaluationResult, group: str) -> int:
    return result.true_path.groups[group].count


def _position_error(scores: GroupScores, with_interval: bool) -> str:
    low, high = scores.position_error_interval
    interval = f" [{_number(low, 3)}, {_number(high, 3)}]" if with_interval and math.isfinite(low) else ""
    return _number(scores.metrics["position_error"]) + interval


def _percent(value: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{abs(value):.0f} % {'better' if value >= 0 else 'worse'}"


def _number(value: float, digits: int = 4) -> str:
    """Write significant digits; very large and very small values in scientific notation, NaN as n/a."""
    if not math.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e5:
        return f"{value:.2e}"
    return f"{value:#.{digits}g}" if abs(value) < 1000 else f"{value:.0f}"


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _section(title: str, rows: Rows) -> str:
    """Align columns: the first to the left, numbers to the right."""
    cells = [[_ascii(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join([_ascii(title), rule, lines[0], rule, *lines[1:], rule])


def _rich_table(title: str, rows: Rows) -> Table:
    """Tables that fit 80 columns: long headings wrap, numbers never do."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, name in enumerate(rows[0]):
        width = max(len(row[column]) for row in rows[1:])
        if column > 0:
            width = max(width, min(max(len(word) for word in name.split()), HEADING_WIDTH))
        justify: Literal["left", "right"] = "left" if column == 0 else "right"
        table.add_column(name, justify=justify, width=width, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row, style="bold" if row[0] == MIXED else None)
    return table
