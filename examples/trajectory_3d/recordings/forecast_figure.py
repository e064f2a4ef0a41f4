"""Pictures of forecasts of recordings: in space from the side and above, and coordinate by coordinate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.figure_style import (
    BLACK,
    BLUE,
    OBSERVED_GREY,
    ORANGE,
    SKY,
    add_3d_axes,
    frame_3d,
    new_figure,
    tidy,
)
from examples.trajectory_3d.recordings.forecasting import TrackForecast, in_space

MOST_SHOWN = 4
_INTERVAL = (0.1, 0.9)
_MOST_SAMPLES = 30
_TAIL = 3  # horizons of the past that coordinates are shown with
_AXES = {"enu": ("east", "north", "up"), "ned": ("north", "east", "down")}
_SPANS = ((3 * 86400, 86400, "days"), (3 * 3600, 3600, "hours"), (300, 60, "minutes"))


def plot_track_forecasts(
    forecasts: Sequence[TrackForecast], title: str, truth: Sequence[Float64Array] | None = None
) -> Figure:
    """Draw the first tracks, a row each: the path in space, then each coordinate over time.

    Args:
        forecasts: at least one.
        title: says by whom.
        truth: what came next, where it is known: of each track ``[H, dimensions]``.
    """
    shown = list(forecasts[:MOST_SHOWN])
    figure = new_figure(13.5, 0.9 + 3.3 * len(shown), title)
    figure.set_layout_engine("constrained", rect=(0.01, 0.0, 0.98, 1.0))
    grid = figure.add_gridspec(len(shown), 4, width_ratios=[1.25, 1, 1, 1])
    for row, forecast in enumerate(shown):
        ahead = None if truth is None else truth[row]
        _draw_space(figure, grid[row, 0], forecast, ahead)
        for axis in range(forecast.dimensions):
            _draw_coordinate(figure.add_subplot(grid[row, 1 + axis]), forecast, axis, ahead)
    figure.legend(
        handles=_handles(shown, known=truth is not None), loc="outside lower center", ncols=6, frameon=False
    )
    return figure


def _draw_space(figure: Figure, cell: object, forecast: TrackForecast, ahead: Float64Array | None) -> None:
    """The context and its continuation, moved to the last point where coordinates are large."""
    context, guess = in_space(forecast.context), forecast.forecast.mean[0].astype(np.float64)
    centre = context[-1] if _is_far(context) else np.zeros(3)
    view = add_3d_axes(figure, cell)
    parts = [context - centre, np.vstack([context[-1:], guess]) - centre]
    samples = forecast.forecast.samples
    if samples is not None:
        for path in samples[0][:_MOST_SAMPLES]:
            whole = np.vstack([context[-1:], path]) - centre
            parts.append(whole)
            view.plot(*whole.T, color=ORANGE, linewidth=0.6, alpha=0.4)
    view.plot(*parts[0].T, color=OBSERVED_GREY, linewidth=1.6)
    if ahead is not None:
        true = np.zeros((len(ahead), 3))
        true[:, : ahead.shape[1]] = ahead
        parts.append(np.vstack([context[-1:], true]) - centre)
        view.plot(*parts[-1].T, color=BLACK, linewidth=1.6)
    view.plot(*parts[1].T, color=BLUE, linewidth=2.0)
    frame_3d(view, parts, zoom=0.85)
    names = _axis_names(forecast)
    unit = _unit(forecast)
    for axis, letter in enumerate("xyz"):
        label = f"{names[axis]} ({unit})" if axis < forecast.dimensions else ""
        getattr(view, f"set_{letter}label")(label, labelpad=1, fontsize=8)
    view.set_title(_heading(forecast), fontsize=10)


def _draw_coordinate(axes: Axes, forecast: TrackForecast, axis: int, ahead: Float64Array | None) -> None:
    """One coordinate over seconds from the last point seen."""
    step, horizon = forecast.context.step, forecast.horizon
    past = in_space(forecast.context)[-_TAIL * horizon - 1 :, axis]
    seconds, word = next(
        ((size, word) for least, size, word in _SPANS if step * horizon >= least), (1, "seconds")
    )
    seen = step / seconds * (np.arange(len(past)) - len(past) + 1)
    coming = step / seconds * np.arange(horizon + 1)

    def from_last(values: Float64Array) -> Float64Array:
        return np.concatenate([past[-1:], values])

    quantiles = forecast.quantiles()
    if all(level in quantiles for level in _INTERVAL):
        low, high = (from_last(quantiles[level][:, axis]) for level in _INTERVAL)
        axes.fill_between(coming, low, high, color=SKY, alpha=0.45, linewidth=0)
    samples = forecast.samples()
    if samples is not None:
        for path in samples[:_MOST_SAMPLES]:
            axes.plot(coming, from_last(path[:, axis]), color=ORANGE, linewidth=0.6, alpha=0.4)
    axes.plot(seen, past, color=OBSERVED_GREY, linewidth=1.6)
    if ahead is not None:
        axes.plot(coming, from_last(ahead[:, axis]), color=BLACK, linewidth=1.6)
    axes.plot(coming, from_last(forecast.centre()[:, axis]), color=BLUE, linewidth=1.8)
    axes.axvline(0.0, color="#BBBBBB", linewidth=0.8, zorder=0)
    axes.set_xlabel(f"{word} from the last point seen", fontsize=8)
    axes.set_ylabel(f"{_axis_names(forecast)[axis]} ({_unit(forecast)})", fontsize=8)
    tidy(axes)


def _heading(forecast: TrackForecast) -> str:
    known = forecast.trajectory
    name = known.source.replace("\\", "/").rsplit("/", 1)[-1]
    return f"{name}: {known.track}" if known.track else name


def _axis_names(forecast: TrackForecast) -> tuple[str, ...]:
    """Of the coordinates: what a known frame calls them, else what the file does."""
    names = forecast.trajectory.names[: forecast.dimensions]
    known = _AXES.get(forecast.trajectory.frame)
    return known if known is not None and names == ("x", "y", "z") else names


def _unit(forecast: TrackForecast) -> str:
    unit = forecast.trajectory.unit
    return "file's unit" if unit == "unknown" else unit


def _is_far(points: Float64Array) -> bool:
    """Whether coordinates are so large that their differences would not be read off an axis."""
    return bool(np.abs(points).max() > 50 * max(float(np.ptp(points, axis=0).max()), 1e-12))


def _handles(shown: Sequence[TrackForecast], *, known: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=OBSERVED_GREY, linewidth=1.6, label="seen"),
        Line2D([], [], color=BLUE, linewidth=2.0, label="forecast"),
        Patch(color=SKY, alpha=0.45, label="80 % interval"),
    ]
    if known:
        handles.insert(1, Line2D([], [], color=BLACK, linewidth=1.6, label="what really came"))
    if any(each.forecast.samples is not None for each in shown):
        handles.append(Line2D([], [], color=ORANGE, linewidth=1.0, label="paths drawn from the forecast"))
    return handles
