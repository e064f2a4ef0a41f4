"""Pictures of a study: error against compute, learning curves, errors by motion type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from examples.trajectory_3d.evaluation_set import MIXED
from examples.trajectory_3d.figure_style import MARKS, PALETTE, new_figure, say, tidy, use_log_scale
from examples.trajectory_3d.study.summary import POSITION_ERROR
from examples.trajectory_3d.study.words import error_of, scored

_PANEL = 6.6  # inches
_LEGEND_ROW = 0.24
_LOG_FROM = 4.0  # largest over smallest error from which the axis is logarithmic
_BASELINE_GREY = "#6B6B6B"
_BASELINE_STYLES: tuple[Any, ...] = (":", "--", "-.", (0, (1, 3)), (0, (6, 3)), (0, (3, 1, 1, 1)))

Content = Mapping[str, Any]


def plot_pareto(content: Content) -> Figure:
    """Draw each arm's test error over the operations of one forecast; one panel for each kind of data."""
    return _panels(content, "Error against active compute", _draw_pareto)


def plot_learning_curves(content: Content) -> Figure:
    """Draw validation errors over the windows seen, mean and range over the seeds of each arm."""
    runs = content["runs"]
    return _panels(content, "Learning curves", lambda axes, group: _draw_curves(axes, group, runs))


def plot_errors_by_type(content: Content) -> Figure:
    """Draw each arm's test error on each motion type, with its interval, and the baselines."""
    return _panels(content, "Test error by motion type", _draw_types)


def _panels(content: Content, title: str, draw: Callable[[Axes, Content], None]) -> Figure:
    groups = content["groups"]
    entries = max((len(group["arms"]) + len(group["baselines"]) for group in groups), default=1)
    figure = new_figure(max(8.0, _PANEL * len(groups)), 5.6 + _LEGEND_ROW * entries, title)
    grid = figure.add_gridspec(1, max(1, len(groups)))
    for index, group in enumerate(groups):
        axes = figure.add_subplot(grid[0, index])
        heading = group["description"].replace(", noise", ",\nnoise")
        axes.set_title(heading if len(groups) == 1 else f"Data {index + 1}: {heading}", fontsize=9.5)
        draw(axes, group)
        tidy(axes)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(
                handles,
                labels,
                loc="upper center",
                bbox_to_anchor=(0.5, -0.14),
                frameon=False,
                fontsize=8,
                ncols=1 if max(map(len, labels)) > 34 else 2,
            )
    figure.supxlabel(_origin(content), fontsize=7, color="#777777")
    return figure


def _origin(content: Content) -> str:
    """The line that ties a picture to its runs."""
    study = content["study"]
    environment = study["environment"]
    return (
        f"study {study['plan_hash']}, commit {environment['git_commit']}, "
        f"torch {environment['versions']['torch']}, {environment['machine']}; "
        "run folders, config hashes and seeds: comparison_report.txt"
    )


def _style(group: Content, arm: Content) -> dict[str, Any]:
    """Colour and mark of an arm, the same in all pictures; dense ones are hollow and dashed."""
    place = [each["name"] for each in group["arms"]].index(arm["name"])
    color = PALETTE[place % len(PALETTE)]
    dense = arm["kind"] == "dense"
    return {
        "color": color,
        "marker": MARKS[place % len(MARKS)],
        "linestyle": "--" if dense else "-",
        "markerfacecolor": "white" if dense else color,
        "markersize": 6.5,
    }


def _draw_pareto(axes: Axes, group: Content) -> None:
    arms = scored(group)
    if not arms:
        say(axes, "no trial has finished yet")
        return
    for arm in arms:
        error, style = arm["scores"][MIXED][POSITION_ERROR], _style(group, arm)
        style["linestyle"] = "none"
        bar = _bar(error)
        axes.errorbar(
            arm["costs"]["forward_megaflops"], error["mean"], yerr=bar, capsize=3, label=arm["label"], **style
        )
    _draw_front(axes, arms)
    _draw_baselines(axes, group, MIXED)
    _log_x(axes)
    _error_axis(axes)
    axes.set_xlabel("operations of one forecast (MFLOP, active experts only)")
    axes.set_ylabel("mean position error on the test windows (m)")


def _error_axis(axes: Axes) -> None:
    """Logarithmic where errors differ by factors; a narrow range has too few round numbers for that."""
    low, high = float(axes.dataLim.y0), float(axes.dataLim.y1)
    if low > 0 and high > _LOG_FROM * low:
        use_log_scale(axes)


def _log_x(axes: Axes) -> None:
    """A logarithmic x axis in plain numbers, at least one decade wide."""
    smallest, largest = float(axes.dataLim.x0), float(axes.dataLim.x1)
    axes.set_xscale("log")
    middle = (smallest * largest) ** 0.5
    axes.set_xlim(min(smallest / 1.5, middle / 3.2), max(largest * 1.5, middle * 3.2))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def pareto_front(arms: Sequence[Content]) -> list[Content]:
    """Arms that none other beats in both error and operations, in order of operations."""
    front: list[Content] = []
    ordered = sorted(arms, key=lambda arm: (_operations(arm), _error(arm)))
    for arm in ordered:
        if not front or _error(arm) < _error(front[-1]):
            front.append(arm)
    return front


def _operations(arm: Content) -> float:
    return float(arm["costs"]["forward_megaflops"])


def _error(arm: Content) -> float:
    return float(arm["scores"][MIXED][POSITION_ERROR]["mean"])


def _draw_front(axes: Axes, arms: Sequence[Content]) -> None:
    front = pareto_front(arms)
    if len(front) > 1:
        axes.plot(
            [_operations(arm) for arm in front],
            [_error(arm) for arm in front],
            color="#999999",
            linewidth=1.0,
            zorder=0,
            label="none better in both (Pareto front)",
        )


def _draw_baselines(axes: Axes, group: Content, kind: str) -> None:
    for index, baseline in enumerate(group["baselines"]):
        value = baseline["scores"].get(kind, {}).get(POSITION_ERROR)
        if value is not None:
            axes.axhline(
                value,
                color=_BASELINE_GREY,
                linewidth=1.0,
                linestyle=_BASELINE_STYLES[index % len(_BASELINE_STYLES)],
                label=baseline["name"],
            )


def _bar(estimate: Content) -> list[list[float]] | None:
    if estimate["low"] is None:
        return None
    low = max(estimate["low"], 0.05 * estimate["mean"])  # a logarithmic axis has no place for 0 or less
    return [[max(0.0, estimate["mean"] - low)], [max(0.0, estimate["high"] - estimate["mean"])]]


def _draw_curves(axes: Axes, group: Content, runs: Sequence[Content]) -> None:
    drawn = False
    for arm in group["arms"]:
        curves = [run["curve"] for run in runs if run["name"] in arm["runs"] and run["curve"]]
        if not curves:
            continue
        drawn = True
        style, label = _style(group, arm), arm["label"]
        points: dict[int, list[float]] = {}
        for curve in curves:
            for _, windows, value, _ in curve:
                if value is not None:
                    points.setdefault(windows, []).append(value)
        steps = sorted(points)
        if len(curves) > 1:
            label += f" (mean and range of {len(curves)} seeds)"
            low, high = ([end(points[step]) for step in steps] for end in (min, max))
            axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)
        means = [sum(points[step]) / len(points[step]) for step in steps]
        axes.plot(steps, means, linewidth=1.5, label=label, **{**style, "markersize": 4.5})
    if not drawn:
        say(axes, "no validation yet")
        return
    metrics = {run["metric"] for run in runs if run["arm"] in {arm["name"] for arm in group["arms"]}}
    _log_x(axes)
    _error_axis(axes)
    axes.set_xlabel("training windows seen")
    axes.set_ylabel("validation " + " / ".join(sorted(m.replace("_", " ") for m in metrics)) + _unit(metrics))


def _unit(metrics: set[str]) -> str:
    return " (m)" if all(metric.startswith(POSITION_ERROR) for metric in metrics) else ""


def _draw_types(axes: Axes, group: Content) -> None:
    arms = scored(group)
    if not arms:
        say(axes, "no trial has finished yet")
        return
    kinds = [*(kind for kind in group["types"] if kind in arms[0]["scores"]), MIXED]
    for place, arm in enumerate(arms):
        offset = 0.7 * ((place + 0.5) / len(arms) - 0.5)
        style = {**_style(group, arm), "linestyle": "none"}
        for index, kind in enumerate(kinds):
            estimate = error_of(arm, kind)
            if estimate is not None:
                bar = _bar(estimate)
                label = arm["label"] if index == len(kinds) - 1 else None
                axes.errorbar(index + offset, estimate["mean"], yerr=bar, capsize=2.5, label=label, **style)
    _draw_baseline_steps(axes, group, kinds)
    axes.set_xticks(range(len(kinds)), kinds, rotation=0 if len(kinds) <= 6 else 40)
    for border in range(1, len(kinds)):
        axes.axvline(border - 0.5, color="#EEEEEE", linewidth=1.0, zorder=0)
    _error_axis(axes)
    axes.set_ylabel("mean position error (m)")


def _draw_baseline_steps(axes: Axes, group: Content, kinds: Sequence[str]) -> None:
    """A short line for each baseline on each type."""
    for number, baseline in enumerate(group["baselines"]):
        style = _BASELINE_STYLES[number % len(_BASELINE_STYLES)]
        for index, kind in enumerate(kinds):
            value = baseline["scores"].get(kind, {}).get(POSITION_ERROR)
            if value is not None:
                ends, at = [index - 0.42, index + 0.42], [value, value]
                axes.add_line(Line2D(ends, at, color=_BASELINE_GREY, linewidth=1.2, linestyle=style))
        axes.plot([], [], color=_BASELINE_GREY, linewidth=1.2, linestyle=style, label=baseline["name"])
    axes.autoscale_view()
