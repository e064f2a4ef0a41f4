"""Pictures of paths and forecasts. Every function returns a matplotlib Figure; `save_figure` writes it.

Arrays are positions in metres, [points, 3] for one path. Observed points are grey dots, the true path a solid
black line, the forecast a dashed line with open marks: they stay apart in print without colour.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from examples.trajectory_3d.evaluation import INTERVAL_LEVELS
from examples.trajectory_3d.figure_style import (
    AXIS_NAMES,
    BLACK,
    BLUE,
    GREEN,
    MARKS,
    OBSERVED_GREY,
    ORANGE,
    PALETTE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    add_3d_axes,
    frame_2d,
    frame_3d,
    new_figure,
    save_figure,
    say,
    tidy,
)
from examples.trajectory_3d.forecasters import FloatArray, IntArray, PathForecast
from examples.trajectory_3d.interval_tube import FAN, tube
from examples.trajectory_3d.recordings.units import unit_label
from examples.trajectory_3d.result_figures import plot_metrics_comparison, plot_training_progress

if TYPE_CHECKING:
    from m.moe import Forecast

__all__ = [
    "plot_forecast",
    "plot_forecast_fans",
    "plot_metrics_comparison",
    "plot_motion_types",
    "plot_prediction_grid",
    "plot_training_progress",
    "save_figure",
]

REFERENCE_COLORS = (BLUE, GREEN, PURPLE, SKY)
REFERENCE_STYLES = (":", "-.", (0, (5, 1)), (0, (1, 3)))
EXPERT_COLORS = (BLUE, GREEN, PURPLE, ORANGE, SKY, YELLOW)  # not those of the truth and the forecast
FAN_MARKED = 4  # of so many points one is marked in pictures of long forecasts
MAX_PATHS_PER_TYPE = len(PALETTE)


def plot_forecast(
    context: FloatArray,
    truth: FloatArray | None,
    forecast: "PathForecast | Forecast",
    *,
    dt: float | None = None,
    title: str = "",
    references: Mapping[str, PathForecast] | None = None,
    unit: str = "m",
) -> Figure:
    """Draw one forecast: in space, from above (x-y), from the side (x-z), and its error over the horizon.

    Args:
        context: observed points, [L, 3] metres.
        truth: true continuation, [H, 3] metres; None when it is not known, and then the width of the 80 %
            interval takes the place of the error.
        forecast: of one window, from a `Forecaster` (B = 1) or from a model's own ``forecast``. With
            quantiles 0.1 and 0.9, the 80 % interval is shown; with expert_ids, the marks show the expert.
        dt: seconds between points; None counts in steps.
        title: says what was forecast and by whom.
        references: name -> forecast (B = 1) of other forecasters, drawn in the error panel.
        unit: of positions.

    Raises:
        ValueError: if shapes do not belong together, or for references without a truth.
    """
    forecast = _as_path_forecast(forecast)
    _check_window(context, truth, forecast)
    if truth is None and references:
        raise ValueError("references are compared by their errors, which needs a truth; got truth=None")
    known = [] if truth is None else [truth]
    figure = new_figure(13.5, 7.6, title)
    grid = figure.add_gridspec(2, 3, width_ratios=[1.5, 1.0, 1.0], height_ratios=[1.25, 1.0])
    view = add_3d_axes(figure, grid[:, 0], unit)
    guess = forecast.mean[0]
    _draw_tube(view, forecast)
    _draw_paths(view, context, truth, guess, (0, 1, 2))
    _draw_experts(view, guess, forecast.expert_ids, (0, 1, 2))
    frame_3d(view, [context, *known, guess, *_interval(forecast)], zoom=0.95)
    view.set_title("whole window", fontsize=10)
    recent = context[-2 * len(guess) :]  # the projections look closer
    for column, plane in ((1, (0, 1)), (2, (0, 2))):
        axes = figure.add_subplot(grid[0, column])
        _draw_intervals(axes, forecast, plane)
        _draw_paths(axes, recent, truth, guess, plane)
        _draw_experts(axes, guess, forecast.expert_ids, plane)
        frame_2d(axes, [recent, *known, guess, *_interval(forecast)], plane, unit)
        axes.set_title(f"{AXIS_NAMES[plane[0]]}-{AXIS_NAMES[plane[1]]} projection, closer", fontsize=10)
    _draw_error(
        figure.add_subplot(grid[1, 1:]), truth, forecast, references or {}, dt=dt, unit=unit_label(unit)
    )
    handles = _legend(forecast, truth_known=truth is not None)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 9), frameon=False, fontsize=9
    )
    return figure


def plot_prediction_grid(
    context: FloatArray,
    truth: FloatArray,
    forecast: PathForecast,
    *,
    dt: float,
    labels: Sequence[str],
    title: str,
    unit: str = "m",
) -> Figure:
    """Draw several windows side by side, usually one per motion type: in space, and the error below.

    Args:
        context: observed points, [B, L, 3].
        truth: true continuations, [B, H, 3].
        forecast: of the B windows.
        dt: seconds between points.
        labels: heading of each window, B of them.
        title: says by whom, and at which training step.
        unit: of positions.

    Raises:
        ValueError: if shapes do not belong together.
    """
    _check_windows(labels, context, truth, forecast)
    figure = new_figure(3.3 * max(len(labels), 2), 6.4, title)
    figure.set_layout_engine("constrained", rect=(0.0, 0.0, 0.97, 1.0))  # no engine sees a view's z label
    grid = figure.add_gridspec(2, len(labels), height_ratios=[1.9, 1.0])
    for column, label in enumerate(labels):
        window = forecast.select([column])
        _check_window(context[column], truth[column], window)
        view = add_3d_axes(figure, grid[0, column], unit)
        _draw_paths(view, context[column], truth[column], window.mean[0], (0, 1, 2))
        frame_3d(view, [context[column], truth[column], window.mean[0]], zoom=0.88)
        view.set_title(label, fontsize=11)
        axes = figure.add_subplot(grid[1, column])
        _draw_error_curve(axes, truth[column], window.mean[0], dt, unit_label(unit))
        axes.set_ylabel(f"error ({unit_label(unit)})" if column == 0 else "")
    figure.legend(
        handles=_legend(PathForecast(forecast.mean)), loc="outside lower center", ncols=4, frameon=False
    )
    return figure


def _check_windows(
    labels: Sequence[str], context: FloatArray, truth: FloatArray, forecast: PathForecast
) -> None:
    """Refuse windows side by side of which not all have everything."""
    if not 1 <= len(labels) == len(context) == len(truth) == len(forecast.mean):
        raise ValueError(
            f"pictures need one label, context, truth and forecast per window, at least one; got "
            f"{len(labels)}, {len(context)}, {len(truth)} and {len(forecast.mean)}"
        )


def plot_forecast_fans(
    context: FloatArray,
    truth: FloatArray,
    forecast: PathForecast,
    *,
    dt: float,
    labels: Sequence[str],
    title: str,
) -> Figure:
    """Draw several windows side by side, with paths drawn from the forecast: in space, and closer from above.

    Args:
        context: observed points, [B, L, 3].
        truth: true continuations, [B, H, 3].
        forecast: of the B windows, with samples.
        dt: seconds between points.
        labels: heading of each window, B of them.
        title: says by whom.

    Raises:
        ValueError: if shapes do not belong together, or without samples.
    """
    samples = forecast.samples
    if samples is None:
        raise ValueError("a picture of fans needs paths drawn from the forecast; ask it for samples")
    _check_windows(labels, context, truth, forecast)
    figure = new_figure(3.4 * max(len(labels), 2), 7.2, title)
    figure.set_layout_engine("constrained", rect=(0.0, 0.0, 0.97, 1.0))  # no engine sees a view's z label
    grid = figure.add_gridspec(2, len(labels), height_ratios=[1.35, 1.0])
    for column, label in enumerate(labels):
        window = forecast.select([column])
        _check_window(context[column], truth[column], window)
        parts = (truth[column], window.mean[0], samples[column])
        view = add_3d_axes(figure, grid[0, column])
        _draw_fan(view, samples[column], (0, 1, 2))
        _draw_paths(view, context[column], truth[column], window.mean[0], (0, 1, 2), marked=FAN_MARKED)
        frame_3d(view, [context[column], *parts], zoom=0.9)
        view.set_title(label, fontsize=11)
        recent = context[column][-len(truth[column]) // 4 :]
        axes = figure.add_subplot(grid[1, column])
        _draw_fan(axes, samples[column], (0, 1))
        _draw_paths(axes, recent, truth[column], window.mean[0], (0, 1), marked=FAN_MARKED)
        frame_2d(axes, [recent, *parts], (0, 1))
        axes.set_title(f"from above, {dt * len(truth[column]):.2g} s ahead", fontsize=9)
    fan = Line2D(
        [], [], color=ORANGE, linewidth=1.2, label=f"{samples.shape[1]} paths drawn from the forecast"
    )
    figure.legend(
        handles=[*_legend(PathForecast(forecast.mean)), fan],
        loc="outside lower center",
        ncols=5,
        frameon=False,
    )
    return figure


def plot_motion_types(paths: Mapping[str, FloatArray], dt: float) -> Figure:
    """Draw example paths of each motion type in space, and the speed of one path of each type over time.

    Args:
        paths: motion type -> example paths, [n, T, 3] with T >= 2; the first eight are drawn.
        dt: seconds between points.

    Raises:
        ValueError: without a motion type, or for paths of another shape.
    """
    for name, examples in paths.items():
        if examples.ndim != 3 or examples.shape[-1] != 3 or min(examples.shape[0], examples.shape[1] - 1) < 1:
            raise ValueError(
                f"paths of {name!r} must have shape [n, T, 3], n >= 1, T >= 2, got {list(examples.shape)}"
            )
    if not paths:
        raise ValueError("plot_motion_types needs at least one motion type")
    columns = min(3, len(paths) + 1)
    rows = math.ceil((len(paths) + 1) / columns)
    figure = new_figure(4.4 * columns, 4.1 * rows, "Motion types")
    grid = figure.add_gridspec(rows, columns)
    cells = [grid[index // columns, index % columns] for index in range(len(paths) + 1)]
    for cell, (name, examples) in zip(cells, paths.items(), strict=False):
        shown = examples[:MAX_PATHS_PER_TYPE]
        view = add_3d_axes(figure, cell)
        for path, color in zip(shown, PALETTE, strict=False):
            view.plot(*path.T, color=color, linewidth=1.6)
            view.scatter(*path[:1].T, color=color, s=18, depthshade=False)
        frame_3d(view, [shown], zoom=0.92)
        view.set_title(f"{name}, {dt * (examples.shape[1] - 1):.3g} s", fontsize=11)
    _draw_speeds(figure.add_subplot(cells[-1]), paths, dt)
    return figure


def _draw_speeds(axes: Axes, paths: Mapping[str, FloatArray], dt: float) -> None:
    for index, (name, examples) in enumerate(paths.items()):
        speed = np.linalg.norm(np.diff(examples[0], axis=0), axis=-1) / dt  # [T - 1]
        times = dt * (np.arange(len(speed)) + 0.5)
        style = ("-", "--", "-.", ":")[index % 4]
        axes.plot(times, speed, style, color=PALETTE[index % len(PALETTE)], label=name, linewidth=1.6)
    axes.set_title("speed of one path each", fontsize=11)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("speed (m/s)")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)


def _as_path_forecast(forecast: "PathForecast | Forecast") -> PathForecast:
    if isinstance(forecast, PathForecast):
        return forecast
    # Imported here: whoever holds a model's forecast has paid for torch, others need not.
    from examples.trajectory_3d.model_forecaster import path_forecast  # noqa: PLC0415

    return path_forecast(forecast)


def _check_window(context: FloatArray, truth: FloatArray | None, forecast: PathForecast) -> None:
    expected = forecast.mean.shape[1:] if truth is None else truth.shape
    if context.ndim != 2 or context.shape[-1] != 3 or forecast.mean.shape != (1, *expected):
        raise ValueError(
            f"a picture needs a context [L, 3], a truth [H, 3] and a forecast [1, H, 3], got "
            f"{list(context.shape)}, {None if truth is None else list(truth.shape)} and "
            f"{list(forecast.mean.shape)}"
        )


def _draw_paths(
    axes: Any,
    context: FloatArray,
    truth: FloatArray | None,
    guess: FloatArray,
    plane: tuple[int, ...],
    *,
    marked: int = 1,
) -> None:
    """Draw the paths on the given coordinates, in a flat panel or in space; mark every n-th forecast point.

    The true path and the forecast are not joined to the last observed point: it is noisy, and the joint would
    show a kink that neither of them has.
    """
    kept = list(plane)
    axes.plot(*context[:, kept].T, ".", color=OBSERVED_GREY, markersize=3.5)
    if truth is not None:
        axes.plot(*truth[:, kept].T, "-", color=BLACK, linewidth=2.2)
    axes.plot(*guess[:, kept].T, "--", color=VERMILLION, linewidth=1.8)
    axes.plot(
        *guess[marked - 1 :: marked, kept].T, "o", color=VERMILLION, markerfacecolor="white", markersize=3.8
    )
    axes.plot(*context[-1:, kept].T, "D", color=BLACK, markersize=5.5)


def _draw_fan(axes: Any, samples: FloatArray, plane: tuple[int, ...]) -> None:
    """Draw possible paths, [S, H, 3], thin and below everything else."""
    for path in samples:
        axes.plot(*path[:, list(plane)].T, "-", color=ORANGE, linewidth=0.7, alpha=0.45, zorder=1)


def _draw_experts(axes: Any, guess: FloatArray, experts: IntArray | None, plane: tuple[int, ...]) -> None:
    if experts is None or len(np.unique(experts[0])) == 1:  # one expert: the legend says it
        return
    for expert in np.unique(experts[0]):
        points = guess[experts[0] == expert][:, list(plane)]
        axes.plot(*points.T, linestyle="none", **_expert_style(int(expert)))


def _expert_style(expert: int) -> dict[str, Any]:
    mark = MARKS[(expert // 24 + expert) % len(MARKS)]  # 6 colours and 8 marks meet again at 24
    color = EXPERT_COLORS[expert % len(EXPERT_COLORS)]
    return {
        "marker": mark,
        "color": color,
        "markersize": 4.6,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def _interval(forecast: PathForecast) -> list[FloatArray]:
    """Ends of the 80 % interval of the only window, each [H, 3]; empty when it is not stated."""
    quantiles = forecast.quantiles or {}
    stated = all(level in quantiles for level in INTERVAL_LEVELS)
    return [quantiles[level][0] for level in INTERVAL_LEVELS] if stated else []


def _draw_tube(axes: Any, forecast: PathForecast) -> None:
    """Draw the 80 % interval in space as a tube below everything else, where it is stated."""
    ends = _interval(forecast)
    if ends:
        axes.computed_zorder = False  # what is drawn later lies above
        skin = tube(forecast.mean[0], *ends)
        axes.add_collection3d(Poly3DCollection(skin, facecolor=FAN, edgecolor="none"))


def _draw_intervals(axes: Axes, forecast: PathForecast, plane: tuple[int, int]) -> None:
    """Draw the 80 % interval of each coordinate as an ellipse around each forecast point."""
    ends = [end[:, list(plane)] for end in _interval(forecast)]
    if ends:
        for centre, size in zip((ends[0] + ends[1]) / 2, ends[1] - ends[0], strict=True):
            axes.add_patch(
                Ellipse(tuple(centre), size[0], size[1], color=VERMILLION, alpha=0.10, linewidth=0)
            )


def _times_ahead(horizon: int, dt: float | None) -> FloatArray:
    """Time of each forecast point after the last observed one, [H], in seconds or (dt None) steps."""
    return (1.0 if dt is None else dt) * np.arange(1, horizon + 1)


def _time_label(dt: float | None) -> str:
    return "steps ahead" if dt is None else "time ahead (s)"


def _draw_error_curve(axes: Axes, truth: FloatArray, guess: FloatArray, dt: float | None, unit: str) -> float:
    """Draw the distance at every step, on an axis from zero, and return the largest."""
    error = np.linalg.norm(guess - truth, axis=-1)  # [H]
    times = _times_ahead(len(truth), dt)
    axes.plot(times, error, "o--", color=VERMILLION, markerfacecolor="white", markersize=3.8, linewidth=1.8)
    axes.set_xlim(0.0, times[-1] + 0.5 * times[0])
    axes.set_ylim(0.0, _headroom(float(error.max())))
    axes.set_xlabel(_time_label(dt))
    axes.set_title(f"mean {error.mean():.3g} {unit}", fontsize=9)
    tidy(axes)
    return float(error.max())


def _draw_error(
    axes: Axes,
    truth: FloatArray | None,
    forecast: PathForecast,
    references: Mapping[str, PathForecast],
    *,
    dt: float | None,
    unit: str,
) -> None:
    if truth is None:
        _draw_uncertainty(axes, forecast, dt, unit)
        return
    largest = _draw_error_curve(axes, truth, forecast.mean[0], dt, unit)
    times = _times_ahead(len(truth), dt)
    handles = [Line2D([], [], linestyle="--", color=VERMILLION, label="this forecast")]
    for index, (name, reference) in enumerate(references.items()):
        error = np.linalg.norm(reference.mean[0] - truth, axis=-1)
        style = REFERENCE_STYLES[index % len(REFERENCE_STYLES)]
        color = REFERENCE_COLORS[index % len(REFERENCE_COLORS)]
        handles += axes.plot(times, error, linestyle=style, color=color, label=name, linewidth=1.4)
        largest = max(largest, float(error.max()))
    axes.set_ylim(0.0, _headroom(largest))
    axes.set_ylabel(f"distance to the true position ({unit})")
    axes.set_title(f"error over the horizon, mean {_mean_error(truth, forecast):.3g} {unit}", fontsize=10)
    axes.legend(handles=handles, edgecolor="none", framealpha=0.85, fontsize=9, loc="upper left")


def _draw_uncertainty(axes: Axes, forecast: PathForecast, dt: float | None, unit: str) -> None:
    """Without a truth there is no error; draw what the forecaster says of itself."""
    ends = _interval(forecast)
    if not ends:
        say(axes, "neither the truth nor the uncertainty is known")
        return
    widths = (ends[1] - ends[0]) / 2  # [H, 3]
    times = _times_ahead(len(widths), dt)
    for name, width, color, style in zip(
        AXIS_NAMES, widths.T, REFERENCE_COLORS, ("-", "--", ":"), strict=False
    ):
        axes.plot(times, width, style, color=color, label=name, linewidth=1.6)
    axes.set_xlim(0.0, times[-1] + 0.5 * times[0])
    axes.set_ylim(0.0, _headroom(float(widths.max())))
    axes.set_xlabel(_time_label(dt))
    axes.set_ylabel(f"half the 80 % interval ({unit})")
    axes.set_title("how sure the forecast is; the true continuation is not known", fontsize=10)
    axes.legend(edgecolor="none", framealpha=0.85, fontsize=9, loc="upper left")
    tidy(axes)


def _headroom(largest: float) -> float:
    """Upper end of an error axis; a perfect forecast still gets a scale, of 1 mm."""
    return 1.06 * max(largest, 1e-3)


def _mean_error(truth: FloatArray, forecast: PathForecast) -> float:
    return float(np.linalg.norm(forecast.mean[0] - truth, axis=-1).mean())


def _legend(forecast: PathForecast, *, truth_known: bool = True) -> list[Any]:
    ids = forecast.expert_ids
    experts = [] if ids is None else [int(expert) for expert in np.unique(ids)]
    handles: list[Any] = [
        Line2D([], [], linestyle="none", marker=".", color=OBSERVED_GREY, label="observed"),
        Line2D([], [], linestyle="none", marker="D", color=BLACK, label="last observed point"),
        *([Line2D([], [], color=BLACK, linewidth=2.2, label="true path")] if truth_known else []),
        Line2D(
            [], [], color=VERMILLION, linestyle="--", marker="o", markerfacecolor="white", markersize=4,
            label="forecast" if len(experts) != 1 else f"forecast, led by expert {experts[0]}",
        ),
    ]  # fmt: skip
    if _interval(forecast):
        handles.append(Ellipse((0, 0), 1, 1, color=VERMILLION, alpha=0.2, label="80 % interval per axis"))
    if len(experts) > 1:
        handles += [
            Line2D([], [], linestyle="none", label=f"expert {expert}", **_expert_style(expert))
            for expert in experts
        ]
    return handles
