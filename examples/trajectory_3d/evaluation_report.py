"""An evaluation as text and as rich tables. The numbers come from `evaluation`."""

from collections.abc import Mapping
from typing import Literal

from rich import box
from rich.console import Group
from rich.table import Table

from examples.trajectory_3d.evaluation import MIXED, EvaluationResult
from examples.trajectory_3d.evaluation_json import JSON_FORMAT, JSON_VERSION, to_json
from examples.trajectory_3d.evaluation_tables import (
    Rows,
    coverage_rows,
    distribution_rows,
    gn_rows,
    headline_rows,
    interval_rows,
    metric_rows,
    position_rows,
    ratio_rows,
    short_metric_rows,
    states_distribution,
    step_rows,
)
from examples.trajectory_3d.experts.analysis import ExpertAnalysis
from examples.trajectory_3d.experts.summary import claims, expert_tables
from examples.trajectory_3d.recordings.units import unit_label

__all__ = ["JSON_FORMAT", "JSON_VERSION", "render_table", "render_text", "to_json"]

NOTES = """\
gn: position error over the horizon / spread of the context, geometric mean over windows, then types.
valid: share of the horizon before the error first exceeds 0.4 spreads. NLL: nats per coordinate, in units
of the spread. ranks uneven: share of the rank histogram in a wrong bin, 0 is calibrated.
* best of the forecasters. temporal_consistency and smoothness describe a path alone, so none is best:
compare them with the true path. n/a: the horizon is too short, or the windows too few, to define the value.
All metrics are defined in docs/metrics.md."""

HEADING_WIDTH = 12  # longer words of a heading are broken, so that tables fit 80 columns
TERMINAL_WIDTH = 80
NAME_WIDTH = 21  # longer names of forecasters wrap
WIDE = 5  # with more forecasters than this, a column for each no longer fits a terminal


def render_text(
    result: EvaluationResult,
    *,
    title: str = "Evaluation",
    details: Mapping[str, str] | None = None,
    experts: ExpertAnalysis | None = None,
) -> str:
    """Write the whole evaluation as plain ASCII text, for `evaluation_summary.txt`.

    Args:
        result: what `evaluation.evaluate` returned.
        title: first line.
        details: further lines of the header, such as model, date and test stream; name -> value.
        experts: analysis of the model's experts, where it has any.
    """
    tables = [*_main_tables(result, intervals=True)]
    lengths = _lengths(result)
    tables.append((f"Mean distance in {lengths} at forecast step (mixed)", step_rows(result)))
    if any(scores.groups[MIXED].uncertainty is not None for scores in result.forecasters):
        tables.append(
            (f"Stated 80 % interval: coverage and mean width in {_lengths(result)}", interval_rows(result))
        )
    for group in reversed(result.group_names):
        count = result.true_path.groups[group].count
        tables.append((f"{group} ({count} windows)", metric_rows(result, group)))
    blocks = [_header(result, title, details or {}), *(_section(*table) for table in tables)]
    if experts is not None:
        blocks += ["\n".join(_ascii(line) for line in claims(experts))]
        blocks += [_section(*table) for table in expert_tables(experts)]
    blocks.append(NOTES)
    return "\n\n".join(blocks) + "\n"


def render_table(result: EvaluationResult) -> Group:
    """Build rich tables for a terminal: headline, errors per motion type, calibration.

    All metrics follow when there are few enough forecasters for a column each.
    """
    tables = _main_tables(result, intervals=False)
    if len(result.forecasters) <= WIDE:
        tables.append(("All metrics, all motion types mixed (* best)", short_metric_rows(result, MIXED)))
    return Group(*(_rich_table(*table) for table in tables))


def _lengths(result: EvaluationResult) -> str:
    """The unit of positions in a heading."""
    return "metres" if result.unit == "m" else unit_label(result.unit)


def _main_tables(result: EvaluationResult, *, intervals: bool) -> list[tuple[str, Rows]]:
    """Titles and rows of what both forms show."""
    tables = [
        (f"Skill, {result.num_windows} windows", headline_rows(result)),
        ("gn by motion type", gn_rows(result)),
        (
            f"Mean position error in {_lengths(result)}"
            + (" [95 % bootstrap interval]" if intervals else ""),
            position_rows(result, intervals=intervals),
        ),
    ]
    if result.reference is not None:
        title = f"Mean position error / that of the {result.reference.name}"
        title += " (and of the medians)" if intervals else ""
        tables.append((title, ratio_rows(result, medians=intervals)))
    if states_distribution(result):
        tables.append(("Distribution scores and coverage of central intervals", distribution_rows(result)))
        tables.append(("Coverage in % at forecast step (mixed)", coverage_rows(result)))
    return tables


def _header(result: EvaluationResult, title: str, details: Mapping[str, str]) -> str:
    facts = {
        **details,
        "windows": str(result.num_windows),
        "context": f"{result.context_length} points",
        "horizon": f"{result.horizon} steps of {result.dt:.6g} s ({result.horizon * result.dt:.4g} s)",
    }
    if result.absent_types:
        facts["no windows of"] = ", ".join(result.absent_types)
    facts |= {f"no scores of {name}": reason for name, reason in result.failed.items()}
    width = max(len(name) for name in facts)
    lines = [title, "=" * len(title), *(f"{name:<{width}}  {value}" for name, value in facts.items())]
    return "\n".join(_ascii(line) for line in lines)


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
    """Tables that fit a terminal: long headings and names wrap, numbers never do."""
    widths = [_column_width([row[column] for row in rows]) for column in range(len(rows[0]))]
    roomy = sum(widths) + 2 * len(widths) + 1 <= TERMINAL_WIDTH
    padding = (0, 1, 0, 0) if roomy else (0, 0, 0, 0)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=padding)
    for column, (name, width) in enumerate(zip(rows[0], widths, strict=True)):
        justify: Literal["left", "right"] = "left" if column == 0 else "right"
        table.add_column(name, justify=justify, width=width, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    return table


def _column_width(cells: list[str]) -> int:
    """Room for the widest cell and for the longest word of the heading, which comes first."""
    heading, *values = cells
    widest = max(len(value) for value in values)
    if heading == "forecaster":
        return min(max(widest, len(heading)), NAME_WIDTH)
    return max(widest, min(max(len(word) for word in heading.split()), HEADING_WIDTH))
