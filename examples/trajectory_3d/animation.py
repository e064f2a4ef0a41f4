"""Animations of forecasting: a path is drawn over time, and at every moment the forecast made then.

`animate_forecasts` returns a matplotlib animation, which a notebook shows with
``HTML(animation.to_jshtml())``; `save_animation` writes it as GIF or MP4. As in `visualization`, observed
points are grey dots, the truth is black, the forecast vermillion and dashed, and nothing touches pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from examples.trajectory_3d.arrays import Float64Array, FloatArray
from examples.trajectory_3d.evaluation import INTERVAL_LEVELS
from examples.trajectory_3d.figure_style import (
    AXIS_NAMES,
    BLACK,
    OBSERVED_GREY,
    VERMILLION,
    add_3d_axes,
    frame_3d,
    new_figure,
    settle_layout,
    tidy,
    whole_file,
)
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.interval_tube import FAN, tube
from examples.trajectory_3d.metrics import position_error
from m.config import ConfigError

AnimationFormat: TypeAlias = Literal["auto", "gif", "mp4"]

FRAME_MILLISECONDS = 80  # GIF counts in hundredths of a second
MOST_FRAMES = 90  # that move; about seven seconds
DPI = 90
_LAST_FRAME_HELD = 12
_EARLIER_GREY = "#CFCFCF"  # observed, but out of the forecaster's sight


def animation_suffix(wanted: AnimationFormat) -> str:
    """File suffix of the wanted format, ``.gif`` or ``.mp4``; ``auto`` is MP4 where ffmpeg is installed.

    Raises:
        ConfigError: MP4 without ffmpeg.
    """
    if wanted == "gif" or (wanted == "auto" and not FFMpegWriter.isAvailable()):
        return ".gif"
    if not FFMpegWriter.isAvailable():
        raise ConfigError(
            "an MP4 needs the program ffmpeg, which is not found here; install it, or ask for gif"
        )
    return ".mp4"


class ForecastAnimation(FuncAnimation):
    """What `animate_forecasts` returns: a matplotlib animation that also gives its frames as pixels, fast."""

    def __init__(self, stage: _Stage, moments: Sequence[int]) -> None:
        self._stage, self._moments = stage, moments
        super().__init__(stage.figure, stage.show, frames=moments, interval=FRAME_MILLISECONDS, blit=False)
        self._draw_was_started = True  # else matplotlib warns of an animation that was made and never shown

    def pixels(self) -> Iterator[NDArray[np.uint8]]:
        """The frames in order, [height, width, 4].

        What stands still (axes, labels, legend) is drawn once, which makes a frame ten times as fast.
        """
        canvas: Any = self._stage.canvas  # whose drawing methods matplotlib leaves untyped
        moving = self._stage.show(self._moments[0])
        with _left_out(moving):
            canvas.draw()
        still = canvas.copy_from_bbox(self._stage.figure.bbox)
        for moment in self._moments:
            canvas.restore_region(still)
            for artist in self._stage.show(moment):
                _draw_alone(artist)
            yield np.array(canvas.buffer_rgba())


def animate_forecasts(
    path: FloatArray,
    observed: FloatArray,
    forecasts: PathForecast,
    *,
    dt: float,
    title: str = "",
    points_per_frame: int | None = None,
) -> ForecastAnimation:
    """Animate a path that is observed point by point, with the forecast made at each point.

    Three panels: the whole path in space; closer, moving along, a projection on the coordinate plane in which
    the path extends most; and the position error of each forecast over the moment it was made. The 80 %
    interval is shown when quantiles 0.1 and 0.9 are stated, the true continuation as a thin line.

    Args:
        path: true positions, [N + H, 3] metres.
        observed: measured positions of the first N points, [N, 3] metres.
        forecasts: F forecasts of H steps, the last from all N observed points, each earlier one from one
            point fewer: the first needs N - F + 1 points.
        dt: seconds between points.
        title: says what is forecast and by whom.
        points_per_frame: observed points that each frame adds; None adds as many as make at most
            `MOST_FRAMES` frames.

    Returns:
        The animation, a frame every `FRAME_MILLISECONDS`, its last frame held for a second.

    Raises:
        ValueError: if shapes do not belong together, or a number is not positive.
    """
    journey = _Journey(path, observed, forecasts, dt)
    each = points_per_frame if points_per_frame is not None else math.ceil(len(observed) / MOST_FRAMES)
    if each < 1:
        raise ValueError(f"points_per_frame must be at least 1, got {each}")
    stage = _Stage(journey, title, speed=1000.0 * each * dt / FRAME_MILLISECONDS)
    moments = [*range(len(observed), 0, -each)][::-1]  # points seen in each frame; the last shows all
    return ForecastAnimation(stage, moments + moments[-1:] * _LAST_FRAME_HELD)


def save_animation(animation: ForecastAnimation, path: Path) -> Path:
    """Write the animation so that `path` holds either the old one or the complete new one.

    The format follows the suffix, ``.gif`` or (with ffmpeg) ``.mp4``; missing folders are made.

    Raises:
        ValueError: for another suffix.
        ConfigError: MP4 without ffmpeg.
    """
    suffix = path.suffix.lower()
    if suffix not in {".gif", ".mp4"}:
        raise ValueError(f"cannot write an animation to {path}: its suffix must be .gif or .mp4")
    if suffix == ".mp4":
        animation_suffix("mp4")
    rate: Any = 1000.0 / FRAME_MILLISECONDS  # typed as a whole number, which the writers do not need
    with whole_file(path) as partial:
        if suffix == ".gif":
            _write(map(_fewer_colours, animation.pixels()), PillowWriter(fps=rate), partial)
        else:
            _write(animation.pixels(), FFMpegWriter(fps=rate), partial)
    return path


def _fewer_colours(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame in 16 levels of each colour, which nobody sees in lines on white.

    A GIF frame holds 256 colours. With fewer none is approximated, so that what stands still is equal in all
    frames and is stored once: a tenth of the bytes, and no flicker.
    """
    return (np.round(frame / 17.0) * 17.0).astype(np.uint8)


def _write(frames: Iterable[NDArray[np.uint8]], writer: AbstractMovieWriter, path: Path) -> None:
    """Write finished frames, each as a figure that holds nothing else: figures are what writers take."""
    remaining = iter(frames)
    first = next(remaining)
    height, width, _ = first.shape
    screen = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(screen)
    image = screen.figimage(first)
    with writer.saving(screen, path, DPI):
        writer.grab_frame()
        for frame in remaining:
            image.set_data(frame)
            writer.grab_frame()


@contextmanager
def _left_out(artists: Sequence[Artist]) -> Iterator[None]:
    """Leave artists out of what the canvas draws."""
    for artist in artists:
        artist.set_animated(True)
    try:
        yield
    finally:
        for artist in artists:
            artist.set_animated(False)


def _draw_alone(artist: Artist) -> None:
    """Draw one artist onto what its axes have drawn."""
    if isinstance(artist, Poly3DCollection):
        artist.do_3d_projection()  # the axes do it for those that they draw
    assert artist.axes is not None
    artist.axes.draw_artist(artist)


@dataclass(frozen=True)
class _Journey:
    """What is animated; see `animate_forecasts`. N points are observed, F forecasts look H steps ahead."""

    path: FloatArray
    observed: FloatArray
    forecasts: PathForecast
    dt: float

    def __post_init__(self) -> None:
        made, horizon, _ = self.forecasts.mean.shape
        points = len(self.observed)
        if self.observed.shape != (points, 3) or self.path.shape != (points + horizon, 3) or made > points:
            raise ValueError(
                f"an animation needs observed points [N, 3], a path [N + H, 3] and at most N forecasts "
                f"[F, H, 3], got {list(self.observed.shape)}, {list(self.path.shape)} and "
                f"{list(self.forecasts.mean.shape)}"
            )
        if made == 0 or not (math.isfinite(self.dt) and self.dt > 0):
            raise ValueError(
                f"an animation needs at least one forecast and a positive time step, got {made} and {self.dt}"
            )

    @property
    def horizon(self) -> int:
        return int(self.forecasts.mean.shape[1])

    @property
    def first(self) -> int:
        """Points seen before the first forecast is made; each forecast's context is taken to be as long."""
        return len(self.observed) - len(self.forecasts.mean) + 1

    @cached_property
    def errors(self) -> Float64Array:
        """Position error of each forecast, [F] metres."""
        ends = np.arange(self.first, len(self.observed) + 1)[:, None]
        return position_error(self.forecasts.mean, self.path[ends + np.arange(self.horizon)])

    def time(self, seen: int) -> float:
        """Moment of the newest of the points seen, in seconds."""
        return self.dt * (seen - 1)

    def future(self, seen: int) -> FloatArray:
        """True positions of the next H points, [H, 3]; none before the first forecast, [0, 3]."""
        return self.path[seen : seen + self.horizon] if seen >= self.first else self.path[:0]

    def guess(self, seen: int) -> FloatArray:
        """Centre of the forecast made from the points seen, [H, 3]; [0, 3] before the first."""
        return self.forecasts.mean[seen - self.first] if seen >= self.first else self.path[:0]

    def interval(self, seen: int) -> tuple[FloatArray, FloatArray] | None:
        """Ends of its 80 % interval, each [H, 3]; None before the first, or when it is not stated."""
        quantiles = self.forecasts.quantiles or {}
        if seen < self.first or any(level not in quantiles for level in INTERVAL_LEVELS):
            return None
        low, high = (quantiles[level][seen - self.first] for level in INTERVAL_LEVELS)
        return low, high

    def expert(self, seen: int) -> int | None:
        """The expert that led the forecast's first step, if there are experts."""
        ids = self.forecasts.expert_ids
        return None if ids is None or seen < self.first else int(ids[seen - self.first, 0])


class _StillCanvas(FigureCanvasAgg):
    """Draws only when told to, not at every change: between frames nobody looks."""

    def draw_idle(self, *args: Any, **kwargs: Any) -> None:
        """Leave it."""


class _Stage:
    """The figure, and what of it changes with the number of points seen."""

    def __init__(self, journey: _Journey, title: str, speed: float) -> None:
        self.figure = new_figure(10.0, 6.4, title)
        self.figure.set_dpi(DPI)
        self.canvas = _StillCanvas(self.figure)
        grid = self.figure.add_gridspec(2, 2, width_ratios=[1.1, 1.0], height_ratios=[2.7, 1.0])
        self._panels = (
            _SpacePanel(add_3d_axes(self.figure, grid[0, 0]), journey, speed),
            _CloserPanel(self.figure.add_subplot(grid[0, 1]), journey),
            _ErrorPanel(self.figure.add_subplot(grid[1, :]), journey),
        )
        self.figure.legend(
            handles=_legend(journey), loc="outside lower center", ncols=4, frameon=False, fontsize=9
        )
        self.show(len(journey.observed))
        settle_layout(self.figure)

    def show(self, seen: int) -> list[Artist]:
        """Show the moment at which so many points have been observed; returns the changed artists."""
        return [artist for panel in self._panels for artist in panel.show(seen)]


class _Paths:
    """The lines that move, on the given coordinates, in a flat panel or in space."""

    def __init__(self, axes: Any, columns: Sequence[int], *, size: float) -> None:
        self._columns = list(columns)
        nothing: list[list[float]] = [[] for _ in columns]

        def line(style: str, color: str, **options: Any) -> Any:
            return axes.plot(*nothing, style, color=color, **options)[0]

        self._earlier = line(".", _EARLIER_GREY, markersize=0.8 * size)
        self._context = line(".", OBSERVED_GREY, markersize=size)
        self._truth = line("-", BLACK, linewidth=1.2, alpha=0.55)
        self._dashes = line("--", VERMILLION, linewidth=1.5)
        self._marks = line("o", VERMILLION, markerfacecolor="white", markersize=0.55 * size)
        self._newest = line("D", BLACK, markersize=1.1 * size)

    def show(self, journey: _Journey, seen: int, origin: FloatArray) -> list[Artist]:
        """Move the lines to a moment, in coordinates from the origin, [3]."""
        start = max(0, seen - journey.first)
        observed, guess = journey.observed[:seen], journey.guess(seen)
        moved = {
            self._earlier: observed[:start],
            self._context: observed[start:],
            self._truth: journey.future(seen),
            self._dashes: guess,
            self._marks: guess,
            self._newest: observed[-1:],
        }
        for line, points in moved.items():
            values = (points - origin)[:, self._columns].T
            line.set_data_3d(*values) if len(self._columns) == 3 else line.set_data(*values)
        return list(moved)


class _SpacePanel:
    """The whole path in space, the 80 % interval a tube around the forecast."""

    def __init__(self, axes: Any, journey: _Journey, speed: float) -> None:
        axes.computed_zorder = False  # else a line's place in the stack changes from frame to frame
        self._journey = journey
        self._tube = Poly3DCollection([], facecolor=FAN, edgecolor="none")
        axes.add_collection3d(self._tube)
        self._paths = _Paths(axes, (0, 1, 2), size=4.0)
        frame_3d(axes, [journey.path, journey.observed], zoom=1.0)
        self._speed = speed
        self._title = axes.set_title("", fontsize=10)

    def show(self, seen: int) -> list[Artist]:
        journey = self._journey
        ends = journey.interval(seen)
        self._tube.set_verts([] if ends is None else tube(journey.guess(seen), *ends))
        expert = journey.expert(seen)
        lead = "" if expert is None else f", expert {expert} leads"
        self._title.set_text(f"t = {journey.time(seen):.2f} s{lead}  (shown at {self._speed:.2g} x speed)")
        return [self._tube, self._title, *self._paths.show(journey, seen, np.zeros(3))]


class _CloserPanel:
    """Two coordinates of the coming steps; the view moves along at one scale. Intervals are ellipses."""

    def __init__(self, axes: Axes, journey: _Journey) -> None:
        self._journey = journey
        self._columns = sorted(np.argsort(np.ptp(journey.path, axis=0))[-2:].tolist())
        self._ellipses = [
            axes.add_patch(Ellipse((0, 0), 0, 0, color=FAN, linewidth=0)) for _ in range(journey.horizon)
        ]
        self._paths = _Paths(axes, self._columns, size=5.5)
        self._low, self._high = self._windows()
        reach = 0.6 * max(float((self._high - self._low)[:, self._columns].max()), 1e-3)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        axes.set_aspect("equal", adjustable="box")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        names = [AXIS_NAMES[column] for column in self._columns]
        axes.set_title(f"closer, {names[0]}-{names[1]} projection, moving along", fontsize=10)
        axes.set_xlabel(f"{names[0]} from the middle of the view (m)")
        axes.set_ylabel(f"{names[1]} (m)")
        tidy(axes)

    def _windows(self) -> tuple[FloatArray, FloatArray]:
        """Corners of the box of each point and the H true ones after it, each [N, 3]."""
        coming = sliding_window_view(self._journey.path, self._journey.horizon + 1, axis=0)  # [N, 3, H + 1]
        return coming.min(axis=-1), coming.max(axis=-1)

    def show(self, seen: int) -> list[Artist]:
        origin = (self._low[seen - 1] + self._high[seen - 1]) / 2
        ends = self._journey.interval(seen)
        for ellipse in self._ellipses:
            ellipse.set_visible(ends is not None)
        if ends is not None:
            low, high = ((end - origin)[:, self._columns] for end in ends)
            for ellipse, centre, size in zip(self._ellipses, (low + high) / 2, high - low, strict=True):
                ellipse.set(center=centre, width=size[0], height=size[1])
        return [*self._ellipses, *self._paths.show(self._journey, seen, origin)]


class _ErrorPanel:
    """The mean distance of each forecast from the truth, over the moment when it was made."""

    def __init__(self, axes: Axes, journey: _Journey) -> None:
        self._journey = journey
        self._times = np.array([journey.time(journey.first + made) for made in range(len(journey.errors))])
        self._line = axes.plot([], [], "-", color=VERMILLION, linewidth=1.6)[0]
        self._newest = axes.plot([], [], "o", color=VERMILLION, markerfacecolor="white", markersize=5)[0]
        last = journey.time(len(journey.observed))
        axes.set(
            xlim=(0.0, 1.02 * max(last, journey.dt)), ylim=(0.0, 1.1 * max(float(journey.errors.max()), 1e-3))
        )
        waiting = self._times[0]
        axes.axvspan(0.0, waiting, color="#F2F2F2", zorder=0)
        axes.text(0.5 * waiting, 0.5, f"the first {journey.first} points are seen", ha="center", va="center",
                  fontsize=8, color="#666666", transform=axes.get_xaxis_transform())  # fmt: skip
        ahead = journey.dt * journey.horizon
        axes.set_title(f"error of the forecast made at t, mean over {ahead:.3g} s", fontsize=10)
        axes.set_xlabel("t (s)")
        axes.set_ylabel("distance (m)")
        tidy(axes)

    def show(self, seen: int) -> list[Artist]:
        made = max(0, seen - self._journey.first + 1)
        times, errors = self._times[:made], self._journey.errors[:made]
        self._line.set_data(times, errors)
        self._newest.set_data(times[-1:], errors[-1:])
        return [self._line, self._newest]


def _legend(journey: _Journey) -> list[Any]:
    def dots(label: str, color: str, mark: str = ".") -> Line2D:
        return Line2D([], [], linestyle="none", marker=mark, color=color, label=label)

    handles: list[Any] = [
        dots("observed earlier", _EARLIER_GREY),
        dots(f"observed, the last {journey.first} points", OBSERVED_GREY),
        dots("newest point", BLACK, "D"),
        Line2D([], [], color=BLACK, linewidth=1.2, alpha=0.55, label="what really follows"),
        Line2D([], [], color=VERMILLION, linestyle="--", marker="o", markerfacecolor="white", markersize=4,
               label=f"forecast, next {journey.horizon} points"),
    ]  # fmt: skip
    if journey.interval(journey.first) is not None:
        handles.append(Patch(color=FAN, linewidth=0, label="80 % interval per axis"))
    return handles
