"""Pictures of errors and calibration over the steps of the horizon, and of rank histograms."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.trajectory_3d.arrays import FloatArray
from examples.trajectory_3d.evaluation import MIXED, EvaluationResult
from examples.trajectory_3d.figure_style import (
    BLUE,
    MARKS,
    OBSERVED_GREY,
    PALETTE,
    new_figure,
    say,
    tidy,
    use_log_scale,
)
from examples.trajectory_3d.recordings.units import unit_label
from examples.trajectory_3d.scores import CENTRAL_INTERVALS, RANK_BINS, ForecasterScores, RankHistogram

LINE_STYLES = ("-", "--", ":", "-.")  # tell lines of the same colour apart
COLUMNS = 3


def plot_error_per_step(result: EvaluationResult) -> Figure:
    """Draw the mean distance at every step, a panel per group of windows, a line per forecaster.

    The reference, where there is one, is drawn in thick grey. Logarithmic axis: factors between forecasters
    read as distances.
    """
    figure = new_figure(15.0, 4.0 * _rows(len(result.group_names)) + 1.2, "Error at every forecast step")
    grid = figure.add_gridspec(_rows(len(result.group_names)), COLUMNS)
    times = result.dt * np.arange(1, result.horizon + 1)
    for index, group in enumerate(result.group_names):
        axes = figure.add_subplot(grid[index // COLUMNS, index % COLUMNS])
        _draw_errors(axes, result, group, times)
    # The last panel, of all windows, shows the reference whenever any panel does.
    handles, labels = figure.axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    return figure


def plot_coverage_per_step(result: EvaluationResult) -> Figure | None:
    """Draw the coverage of the central 50, 80 and 95 % intervals at every step beside their nominal values.

    A panel per forecaster that states intervals; None when none does.
    """
    stated = [
        scores
        for scores in result.forecasters
        if (values := scores.groups[MIXED].distribution) is not None and values.coverage_per_step
    ]
    if not stated:
        return None
    figure = _panels(len(stated), "Coverage of central intervals at every forecast step (dashed: nominal)")
    for axes, scores in zip(figure.axes, stated, strict=True):
        draw_coverage(axes, scores)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def plot_rank_histograms(result: EvaluationResult) -> Figure | None:
    """Draw where the truth falls in the forecast distribution; flat is calibrated.

    A panel per motion type and for all windows of every forecaster that states a distribution (for more than
    one such forecaster, all windows alone); None when none does.
    """
    panels: list[tuple[str, RankHistogram]] = []
    stated = [scores for scores in result.forecasters if rank_histogram(scores, MIXED) is not None]
    for scores in stated:
        groups = result.group_names if len(stated) == 1 else (MIXED,)
        for group in groups:
            ranks = rank_histogram(scores, group)
            if ranks is not None:
                panels.append((f"{scores.name}, {group}", ranks))
    if not panels:
        return None
    figure = _panels(len(panels), "Rank of the truth in the forecast distribution (flat is calibrated)")
    for axes, (title, ranks) in zip(figure.axes, panels, strict=True):
        draw_ranks(axes, title, ranks)
    return figure


def _rows(panels: int) -> int:
    return math.ceil(panels / COLUMNS)


def _panels(count: int, title: str) -> Figure:
    columns = min(COLUMNS, count)
    figure = new_figure(max(5.0 * columns, 8.0), 3.8 * _rows(count) + 1.0, title)
    grid = figure.add_gridspec(_rows(count), columns)
    for index in range(count):
        figure.add_subplot(grid[index // columns, index % columns])
    return figure


def _draw_errors(axes: Axes, result: EvaluationResult, group: str, times: FloatArray) -> None:
    drawn: list[float] = []
    for index, scores in enumerate(result.forecasters):
        errors = scores.groups[group].error_per_step
        style = LINE_STYLES[index // len(PALETTE) % len(LINE_STYLES)]
        color = PALETTE[index % len(PALETTE)]
        axes.plot(times, errors, style, color=color, label=scores.name, linewidth=1.6)
        drawn += [float(error) for error in errors]
    if result.reference is not None and group in result.reference.groups:
        errors = result.reference.groups[group].error_per_step
        axes.plot(times, errors, "-", color=OBSERVED_GREY, label=result.reference.name, linewidth=3.0)
        drawn += [float(error) for error in errors]
    axes.set_title(group, fontsize=11)
    axes.set_xlabel("forecast time (s)")
    axes.set_ylabel(f"mean distance ({unit_label(result.unit)})")
    tidy(axes)
    if min(drawn) > 0:
        use_log_scale(axes)


def draw_coverage(axes: Axes, scores: ForecasterScores) -> None:
    """Draw what one forecaster's central intervals hold at every step, or say that it states none."""
    axes.set_title(scores.name, fontsize=11)
    distribution = scores.groups[MIXED].distribution
    if distribution is None or not distribution.coverage_per_step:
        say(axes, "no intervals stated")
        return
    for index, (nominal, shares) in enumerate(distribution.coverage_per_step.items()):
        color = PALETTE[list(CENTRAL_INTERVALS).index(nominal)]
        axes.axhline(100 * nominal, color=color, linestyle="--", linewidth=1.0, alpha=0.7)
        label = f"{100 * nominal:g} %"
        marker = MARKS[index % len(MARKS)]
        steps = np.arange(1, len(shares) + 1)
        axes.plot(steps, 100 * shares, color=color, marker=marker, markersize=3.5, label=label)
    axes.set_xlabel("forecast step")
    axes.set_ylabel("truths inside (%)")
    axes.set_ylim(0.0, 100.0)
    tidy(axes)


def rank_histogram(scores: ForecasterScores, group: str) -> RankHistogram | None:
    """A forecaster's rank histogram for a group of windows; None when it states no distribution."""
    distribution = scores.groups[group].distribution
    return None if distribution is None else distribution.ranks


def draw_ranks(axes: Axes, title: str, ranks: RankHistogram) -> None:
    """Draw one rank histogram relative to the even share."""
    edges = np.linspace(0.0, 1.0, RANK_BINS + 1)
    relative = RANK_BINS * ranks.shares
    axes.bar(edges[:-1], relative, np.diff(edges), align="edge", color=BLUE, edgecolor="white")
    axes.axhline(1.0, color=OBSERVED_GREY, linestyle="--", linewidth=1.2)
    axes.set_title(
        f"{title}\n{100 * ranks.unevenness:.1f} % in a wrong bin, from {ranks.source}", fontsize=10
    )
    axes.set_xlabel("rank of the truth (0 below, 1 above all)")
    axes.set_ylabel("share / even share")
    axes.set_xlim(0.0, 1.0)
    tidy(axes, grid="y")
