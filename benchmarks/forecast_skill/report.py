"""The tables and the picture of a folder of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from rich.console import Console
from rich.table import Table

from benchmarks.forecast_skill.contestants import MOE
from benchmarks.forecast_skill.records import BudgetRecord, ResultStore
from examples.trajectory_3d.figure_style import (
    BLACK,
    BLUE,
    GREEN,
    OBSERVED_GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    new_figure,
    save_figure,
    tidy,
    use_log_scale,
)
from m.checkpoint import write_text_atomic

PICTURE, MARKDOWN = "skill.png", "report.md"
_MARKERS = "osD^vPX*"
# Yellow is too faint for a line on white; black is kept for the mixture of experts.
_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, OBSERVED_GREY)


def write_report(folder: Path, console: Console | None = None) -> None:
    """Print the tables; write ``report.md`` and ``skill.png`` into the folder.

    Raises:
        ValueError: the folder holds no results.
    """
    store = ResultStore(folder)
    records = sorted(store.records, key=lambda r: (r.minutes, r.scores.gn))
    if not records:
        raise ValueError(f"{store.path} holds no finished budget yet; let the race go on")
    tables = (overview(records), by_type(records))
    for table in tables:
        (console or Console()).print(_rich(table))
    draw(records, folder / PICTURE)
    write_text_atomic(folder / MARKDOWN, _markdown(tables, store.setup))


@dataclass(frozen=True)
class Cells:
    """A table as text."""

    title: str
    headings: list[str]
    rows: list[list[str]]


def overview(records: Sequence[BudgetRecord]) -> Cells:
    """What each model reached with each budget, and with how much work."""
    headings = ["min", "model", "gn", "95 %", "error (m)", "steps", "windows", "parameters", "MFLOP", "cores"]
    rows = [
        [
            f"{r.minutes:g}",
            r.title,
            f"{r.scores.gn:.4f}",
            "{:.4f} to {:.4f}".format(*r.scores.gn_interval),
            f"{r.scores.position_error:.4f}",
            f"{r.steps:,}",
            f"{r.windows:,}",
            f"{r.parameters:,}",
            f"{r.flops_per_window / 1e6:.1f}",
            f"{r.cpu_seconds / r.seconds:.2f}",
        ]
        for r in records
    ]
    return Cells("Forecast skill at equal training time", headings, rows)


def by_type(records: Sequence[BudgetRecord]) -> Cells:
    """gn and mean position error (m) of each motion type."""
    kinds = list(dict.fromkeys(name for r in records for name in r.scores.gn_by_type))
    rows = [
        [
            f"{r.minutes:g}",
            r.title,
            *(_pair(r, kind) if kind in r.scores.gn_by_type else "" for kind in kinds),
        ]
        for r in records
    ]
    return Cells("By motion type: gn, position error (m)", ["min", "model", *kinds], rows)


def _pair(record: BudgetRecord, kind: str) -> str:
    scores = record.scores
    return f"{scores.gn_by_type[kind]:.4f}, {scores.position_error_by_type[kind]:.4f}"


def _rich(cells: Cells) -> Table:
    table = Table(title=cells.title)
    for index, heading in enumerate(cells.headings):
        table.add_column(heading, justify="left" if index == 1 else "right")
    for row in cells.rows:
        table.add_row(*row)
    return table


def _markdown(tables: Sequence[Cells], setup: dict[str, Any]) -> str:
    lines = [
        "# Forecast skill at equal training time",
        "",
        f"{setup['processor']}, {setup['threads']} threads on {setup['device']}, torch {setup['torch']}; "
        f"minutes of {setup.get('clock', 'wall')} time; "
        f"{setup['test_windows']} test windows; the last {setup['decay_share']:.0%} of every budget anneals. "
        "MFLOP: matrix products of one window's forward and backward pass. Cores: processor time of the "
        "training process over training time.",
    ]
    for cells in tables:
        lines += ["", f"## {cells.title}", ""]
        lines += ["| " + " | ".join(cells.headings) + " |", "|" + "---|" * len(cells.headings)]
        lines += ["| " + " | ".join(row) + " |" for row in cells.rows]
    lines += ["", f"![gn against training time]({PICTURE})", ""]
    return "\n".join(lines)


def draw(records: Sequence[BudgetRecord], path: Path) -> Path:
    """Write gn against training minutes, both logarithmic, one labelled line a model."""
    figure = new_figure(8.0, 5.0, "Forecast error against training time")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    use_log_scale(axes)
    # Worst at the latest budget first, as the lines stand above each other.
    latest = {r.model: r.scores.gn for r in sorted(records, key=lambda r: r.minutes)}
    colours = cycle(_COLOURS)
    for index, model in enumerate(sorted(latest, key=lambda name: -latest[name])):
        own = sorted((r for r in records if r.model == model), key=lambda r: r.minutes)
        is_mixture = model.startswith(MOE)
        axes.plot(
            [r.minutes for r in own],
            [r.scores.gn for r in own],
            color=BLACK if is_mixture else next(colours),
            marker=_MARKERS[index % len(_MARKERS)],
            linewidth=2.6 if is_mixture else 1.4,
            label=own[-1].title,
        )
    axes.xaxis.set_major_locator(FixedLocator(sorted({r.minutes for r in records})))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training time (minutes)")
    axes.set_ylabel("gn: position error / spread of the context")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    tidy(axes)
    return save_figure(figure, path)
