"""One page about a file: the path in space, each coordinate over time, and how even its clock is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.trajectory_3d import figure_style as style
from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.findings import counted, seconds_text
from examples.trajectory_3d.recordings.inspecting import Inspection, TrackView

_COLOURS = (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY)
_MOST_SHADES = 200  # gaps that are still seen one by one
_FAR = 1000.0  # extents from the origin, from where on coordinates count from the first sample
_TIME_UNITS = ((4 * 86400.0, 86400.0, "days"), (4 * 3600.0, 3600.0, "h"), (240.0, 60.0, "min"))


def draw(inspection: Inspection) -> Figure:
    """A page about the file; of many tracks those with most samples, each in its own colour.

    Args:
        inspection: made with views, of which there is at least one.
    """
    views: Sequence[TrackView] = inspection.views[: len(_COLOURS)]
    sides = min(view.path.dimensions for view in views)
    views = _scaled(views, sides)
    base = _base(views, sides)
    paths = [view.path.position[:, :sides] - base for view in views]
    labels = _labels(views[0], base)
    figure = style.new_figure(13.5, 8.4, "")
    figure.suptitle(_title(inspection), fontsize=13, fontweight="bold", x=0.012, ha="left")
    outer = figure.add_gridspec(1, 2, width_ratios=(1.15, 1.0))
    inner = outer[1].subgridspec(sides + 1, 1, height_ratios=[1.0] * sides + [1.1])
    _space(figure, outer[0], paths, labels)
    space = figure.axes[0]
    unit, name = _time_unit(max(_span(view) for view in views))
    first: Axes | None = None
    for axis in range(sides):
        panel = figure.add_subplot(inner[axis], sharex=first)
        first = first or panel
        _over_time(panel, views, [path[:, axis] for path in paths], unit)
        _outliers(panel, views, axis, float(base[axis]), unit)
        panel.set_ylabel(labels[axis])
        panel.tick_params(labelbottom=axis == sides - 1)
    panel.set_xlabel(f"time since the start{' of each track' * (len(views) > 1)} ({name})")
    _steps(figure.add_subplot(inner[sides]), views, "steps of a sample" if inspection.streamed else "steps")
    _legend(space, inspection, views)
    figure.align_ylabels(figure.axes[-sides - 1 :])
    return figure


def save(inspection: Inspection, path: Path) -> Path:
    """Draw and write; the suffix says what kind of picture.

    Raises:
        ValueError: a suffix that is no kind of picture.
    """
    return style.save_figure(draw(inspection), path)


def _title(inspection: Inspection) -> str:
    samples = sum(track.samples for track in inspection.tracks)
    return f"{inspection.path.name}: {counted(len(inspection.tracks), 'track')}, {samples:,} samples"


def _scaled(views: Sequence[TrackView], sides: int) -> Sequence[TrackView]:
    """The same paths in kilometres or millimetres, if metres would need many zeros."""
    if any(view.path.unit != "m" for view in views):
        return views
    points = np.concatenate([view.path.position[:, :sides] for view in views])
    extent = float((np.nanmax(points, axis=0) - np.nanmin(points, axis=0)).max())
    factor, unit = (1e-3, "km") if extent >= 1e4 else (1e3, "mm") if 0 < extent < 0.02 else (1.0, "m")
    return [
        replace(
            view,
            path=replace(view.path, points=view.path.points * factor, unit=unit),
            outliers=view.outliers * np.array([1.0] + [factor] * view.path.dimensions),
        )
        for view in views
    ]


def _base(views: Sequence[TrackView], sides: int) -> Float64Array:
    """What to take off the coordinates: nothing, or a round number where the origin is far away."""
    points = np.concatenate([view.path.position[:, :sides] for view in views])
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    extent = float((high - low).max())
    if extent == 0 or float(np.abs(points[np.isfinite(points)]).max()) < _FAR * extent:
        return np.zeros(sides)
    round_to = 10.0 ** math.ceil(math.log10(extent))
    return np.asarray(np.round(low / round_to) * round_to, dtype=np.float64)


def _labels(view: TrackView, base: Float64Array) -> list[str]:
    """Name, what was taken off, and unit of each coordinate."""
    unit = {"um": "µm", "unknown": "unit not known"}.get(view.path.unit, view.path.unit)
    names = [name if len(name) <= 14 else name[:13] + "…" for name in view.path.names]
    minus = [f" - {value:.0f}" if value > 0 else f" + {-value:.0f}" if value < 0 else "" for value in base]
    return [f"{name}{offset} ({unit})" for name, offset in zip(names, minus, strict=False)]


def _space(figure: Figure, cell: Any, paths: Sequence[Float64Array], labels: Sequence[str]) -> None:
    """The paths in space and in the plane of the first two axes, a unit equally long on all axes."""
    if len(labels) < 2:
        style.say(figure.add_subplot(cell), "one coordinate: see the panels on the right")
        return
    if len(labels) == 2:
        _plane(figure.add_subplot(cell), paths, labels)
        return
    rows = cell.subgridspec(2, 1, height_ratios=(1.55, 1.0))
    axes = style.add_3d_axes(figure, rows[0])
    _paths(axes, paths)
    for name, label in zip("xyz", labels, strict=True):
        getattr(axes, f"set_{name}label")(label, labelpad=4)
    axes.tick_params(axis="z", pad=3)
    style.frame_3d(axes, [path[np.isfinite(path).all(axis=1)] for path in paths], zoom=0.98)
    _plane(figure.add_subplot(rows[1]), paths, labels)


def _plane(panel: Axes, paths: Sequence[Float64Array], labels: Sequence[str]) -> None:
    _paths(panel, [path[:, :2] for path in paths])
    panel.set_aspect("equal", adjustable="datalim")
    panel.set_xlabel(labels[0])
    panel.set_ylabel(labels[1])
    panel.set_title("● start   □ end", fontsize=8, color="#555555", loc="right")
    style.tidy(panel)


def _paths(axes: Any, paths: Sequence[Float64Array]) -> None:
    """Lines with a disc where they start and a square where they end."""
    for path, colour in zip(paths, _COLOURS, strict=False):
        whole = path[np.isfinite(path).all(axis=1)]
        axes.plot(*path.T, color=colour, linewidth=1.1)
        axes.plot(*whole[:1].T, "o", color=colour, markersize=6)
        axes.plot(
            *whole[-1:].T, "s", color="white", markeredgecolor=colour, markeredgewidth=1.5, markersize=6
        )


def _over_time(panel: Axes, views: Sequence[TrackView], columns: Sequence[Float64Array], unit: float) -> None:
    for view, column, colour in zip(views, columns, _COLOURS, strict=False):
        panel.plot((view.path.times - _start(view)) / unit, column, color=colour, linewidth=1.0)
    if len(views) == 1:
        _shade_gaps(panel, views[0], unit)
    style.tidy(panel)


def _shade_gaps(panel: Axes, view: TrackView, unit: float) -> None:
    """Grey where nothing was recorded, if that is seldom enough to be seen."""
    lost = np.flatnonzero(~np.isfinite(view.path.position).all(axis=1))
    times = (view.path.times - _start(view)) / unit
    inner = lost[(lost > 0) & (lost < len(times) - 1)]
    if len(inner) <= _MOST_SHADES:
        for place in inner.tolist():
            panel.axvspan(times[place - 1], times[place + 1], color="#E6E6E6", linewidth=0)


def _outliers(panel: Axes, views: Sequence[TrackView], axis: int, base: float, unit: float) -> None:
    if len(views) == 1 and len(views[0].outliers):
        odd = views[0].outliers
        panel.plot(
            (odd[:, 0] - _start(views[0])) / unit,
            odd[:, 1 + axis] - base,
            "x",
            color=style.VERMILLION,
            markersize=5,
            label="outlier",
        )
        if axis == 0:
            panel.legend(fontsize=8, frameon=False, loc="best")


def _steps(panel: Axes, views: Sequence[TrackView], name: str) -> None:
    """How long the steps are, on two logarithmic scales, so that a single gap is seen beside a million."""
    steps = np.concatenate([view.steps for view in views])
    steps = steps[steps > 0]
    if not len(steps):
        style.say(panel, "a single sample: no steps")
        return
    median = float(np.median(steps))
    low, high = min(0.5 * median, float(steps.min())), max(2 * median, float(steps.max()))
    panel.hist(steps, bins=np.geomspace(low * 0.98, high * 1.02, 70).tolist(), color=style.SKY)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(bottom=0.7)
    panel.axvline(median, color=style.BLACK, linewidth=1.2, label=f"median {seconds_text(median)}")
    gap = min(view.gap for view in views)
    if high > gap:
        panel.axvline(gap, color=style.VERMILLION, linewidth=1.2, linestyle="--", label="gaps begin")
    panel.legend(fontsize=8, frameon=False)
    panel.set_xlabel("step between samples (s)")
    panel.set_ylabel(name)
    style.tidy(panel)
    panel.minorticks_off()
    _plain_ticks(panel, low, high)


def _plain_ticks(panel: Axes, low: float, high: float) -> None:
    """Ticks as people write numbers: 1, 2 and 5 times powers of ten, thinned out over many decades."""
    decades = math.log10(high / low)
    heads = tuple(range(1, 10)) if decades < 0.8 else (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [head * 10.0**power for power in powers for head in heads if low <= head * 10.0**power <= high]
    if len(ticks) >= 2:
        panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def _legend(axes: Any, inspection: Inspection, views: Sequence[TrackView]) -> None:
    if len(inspection.tracks) < 2:
        return
    from matplotlib.lines import Line2D  # noqa: PLC0415

    lines = [Line2D([], [], color=colour) for colour in _COLOURS[: len(views)]]
    names = [view.path.track or "-" for view in views]
    title = (
        None if len(views) == len(inspection.tracks) else f"{len(views)} of {len(inspection.tracks)} tracks"
    )
    place = (-0.3, 1.02) if hasattr(axes, "get_zlim") else (0.0, 1.0)  # beside a box, inside a plane
    axes.legend(
        lines,
        names,
        title=title,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=place,
    )


def _start(view: TrackView) -> float:
    return float(view.path.times[0])


def _span(view: TrackView) -> float:
    return float(view.path.times[-1] - view.path.times[0])


def _time_unit(span: float) -> tuple[float, str]:
    """Seconds in the unit for an axis of time, and its name."""
    return next(((size, name) for least, size, name in _TIME_UNITS if span >= least), (1.0, "s"))
