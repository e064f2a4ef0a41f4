"""What all pictures share: colours, axes in metres with equal scales, and saving.

Figures are built with matplotlib's object interface on the Agg canvas: no window, no global state, so they
can be drawn from worker threads and on machines without a display.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from examples.trajectory_3d.forecasters import FloatArray
from examples.trajectory_3d.recordings.units import unit_label

# Okabe and Ito (2008), colours told apart with every common kind of colour vision.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
OBSERVED_GREY = "#8C8C8C"
GRID_GREY = "#DDDDDD"

MARKS = ("o", "s", "^", "D", "v", "P", "X", "h")  # tell lines and points apart without colour
HATCHES = ("", "//", "..", "xx", "\\\\", "++")  # tell bars apart in print without colour
AXIS_NAMES = ("x", "y", "z")
SMALLEST_SIDE = 0.6  # a flat path still gets a box this high, relative to its longest side
DEFAULT_DPI = 130


def new_figure(width: float, height: float, title: str) -> Figure:
    """Make an empty figure, inches, with a title (unless it is empty) on top."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=14, fontweight="bold")
    return figure


def save_figure(figure: Figure, path: Path, dpi: int = DEFAULT_DPI) -> Path:
    """Write the figure so that `path` holds either the old picture or the complete new one.

    The format follows the suffix (`.png`, `.svg`, `.pdf`); missing folders are made.

    Raises:
        ValueError: for a path without suffix or a suffix matplotlib cannot write.
    """
    suffix = path.suffix.lstrip(".").lower()
    known = FigureCanvasAgg.get_supported_filetypes()
    if suffix not in known:
        raise ValueError(f"cannot write a picture to {path}: its suffix must be one of {sorted(known)}")
    with whole_file(path) as partial, partial.open("wb") as stream:
        settle_layout(figure)
        figure.savefig(stream, format=suffix, dpi=dpi)
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield an empty file beside `path`, of the same suffix, that takes its place on a clean exit.

    When the block raises, `path` keeps what it held. Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)  # mkstemp makes files only the owner may read
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def settle_layout(figure: Figure) -> None:
    """Lay the figure out once and for all.

    savefig would do it twice, a third of the time a picture takes, and in an animation panels would wander.
    """
    engine = figure.get_layout_engine()
    if engine is not None and any(axes.get_subplotspec() for axes in figure.axes):
        engine.execute(figure)
        figure.set_layout_engine("none")


def add_3d_axes(figure: Figure, cell: Any, unit: str = "m") -> Any:
    """Add a 3-D view to the figure in a grid cell, its axes in a unit.

    Axes3D has no type information, hence Any.
    """
    axes: Any = figure.add_subplot(cell, projection="3d")
    axes.view_init(elev=24, azim=-58)
    for name in AXIS_NAMES:
        axis = getattr(axes, f"{name}axis")
        axis.set_pane_color((1.0, 1.0, 1.0, 1.0))
        axis.line.set_color("#666666")
        axis.set_major_locator(MaxNLocator(4))
        getattr(axes, f"set_{name}label")(f"{name} ({unit_label(unit)})", labelpad=1)
    axes.tick_params(labelsize=7, pad=-1)
    return axes


def frame_3d(axes: Any, paths: Sequence[FloatArray], zoom: float = 0.78) -> None:
    """Set the limits so that the paths, each [..., 3], fill the box, a metre equally long on all axes."""
    centre, half = _bounds(paths, SMALLEST_SIDE)
    for index, name in enumerate(AXIS_NAMES):
        getattr(axes, f"set_{name}lim")(centre[index] - half[index], centre[index] + half[index])
    axes.set_box_aspect(half, zoom=zoom)


def frame_2d(axes: Axes, paths: Sequence[FloatArray], plane: tuple[int, int], unit: str = "m") -> None:
    """Set the limits of a projection on two axes (0, 1, 2 for x, y, z), a metre equally long on both."""
    centre, half = _bounds([path[..., list(plane)] for path in paths], SMALLEST_SIDE)
    axes.set_xlim(centre[0] - half[0], centre[0] + half[0])
    axes.set_ylim(centre[1] - half[1], centre[1] + half[1])
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel(f"{AXIS_NAMES[plane[0]]} ({unit_label(unit)})")
    axes.set_ylabel(f"{AXIS_NAMES[plane[1]]} ({unit_label(unit)})")
    tidy(axes)


def use_log_scale(axes: Axes) -> None:
    """Logarithmic y axis whose ticks read as plain numbers: 0.02, 0.05, 0.1.

    An axis on which nothing above zero was drawn stays as it is: it has no logarithm to show.
    """
    if not np.isfinite(axes.dataLim.minposy):
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def tidy(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Give a flat panel light grid lines behind the data and no box."""
    axes.grid(visible=True, axis=grid, color=GRID_GREY, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def say(axes: Axes, text: str) -> None:
    """Write a remark in the middle of a panel that has nothing to show."""
    axes.text(
        0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, color="#777777", style="italic"
    )
    axes.set_xticks([])
    axes.set_yticks([])


def _bounds(paths: Sequence[FloatArray], smallest_side: float) -> tuple[FloatArray, FloatArray]:
    """Centre and half side per axis of the box around all points, with a margin."""
    points = np.concatenate([path.reshape(-1, path.shape[-1]) for path in paths])
    low, high = points.min(axis=0), points.max(axis=0)
    half = 0.5 * (high - low)
    longest = float(half.max()) or 1e-3  # a path that stands still gets a box too
    half = 1.06 * np.maximum(half, smallest_side * longest)
    return 0.5 * (low + high), half
