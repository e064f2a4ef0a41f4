"""Pictures of what experts do: whom they serve, how evenly, and what is missed without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.trajectory_3d.arrays import FloatArray
from examples.trajectory_3d.experts.analysis import ExpertAnalysis
from examples.trajectory_3d.experts.summary import MOTION
from examples.trajectory_3d.figure_style import new_figure

COLUMNS = 2
_MOST_TEXT = 24  # experts beyond which numbers in cells would overlap


def plot_specialisation(analysis: ExpertAnalysis) -> Figure:
    """Draw which experts serve which motion types, a panel per layer, in percent of a type's choices."""
    layers = len(analysis.layers)
    rows = -(-layers // COLUMNS)
    figure = new_figure(13.0, 1.2 + 3.4 * rows, "Which experts serve which motion types")
    grid = figure.add_gridspec(rows, COLUMNS)
    for index, layer in enumerate(analysis.layers):
        axes = figure.add_subplot(grid[index // COLUMNS, index % COLUMNS])
        table = layer.specialisations[MOTION]
        draw_heat(
            figure,
            axes,
            100 * table.shares,
            rows=table.groups,
            label="% of the type's choices",
            limits=(0.0, 100.0),
        )
        chance = 100 * table.chance / table.group_entropy if table.group_entropy > 0 else 0.0
        told = f"{100 * table.explained:.0f} % (chance {chance:.1f} %)"
        axes.set_title(f"layer {index}: the expert says {told} of the type", fontsize=10)
        axes.set_xlabel("expert")
    return figure


def plot_worth(analysis: ExpertAnalysis) -> Figure:
    """Draw by how much each type's error grows without each expert, a panel per layer."""
    layers = len(analysis.layers)
    rows = -(-layers // COLUMNS)
    experts = len(analysis.layers[0].balance.load)
    height = max(3.0, 0.28 * experts + 1.2)
    figure = new_figure(
        13.0, 1.2 + height * rows, "What is missed without an expert: growth of the position error"
    )
    grid = figure.add_gridspec(rows, COLUMNS)
    lesions = analysis.lesions
    reach = max(1.0, float(np.abs(100 * lesions.harm).max()))
    for index in range(layers):
        axes = figure.add_subplot(grid[index // COLUMNS, index % COLUMNS])
        draw_heat(
            figure,
            axes,
            100 * lesions.harm[index],
            rows=[str(expert) for expert in range(experts)],
            columns=lesions.groups,
            label="% more error",
            limits=(-reach, reach),
            colours="PuOr_r",
            decimals=1,
        )
        agreement = lesions.agreement(index)
        told = "" if np.isnan(agreement) else f", served and missed correlate {agreement:.2f}"
        axes.set_title(f"layer {index}{told}", fontsize=10)
        axes.set_ylabel("expert switched off")
    return figure


def draw_heat(
    figure: Figure,
    axes: Axes,
    values: FloatArray,
    *,
    rows: Sequence[str],
    columns: Sequence[str] | None = None,
    label: str,
    limits: tuple[float, float],
    colours: str = "cividis",
    decimals: int = 0,
) -> None:
    """Draw a matrix [rows, columns] with its numbers; NaN stays white. Columns are numbered unless named."""
    image = axes.imshow(values, aspect="auto", cmap=colours, vmin=limits[0], vmax=limits[1])
    figure.colorbar(image, ax=axes, label=label, pad=0.02)
    names = [str(number) for number in range(values.shape[1])] if columns is None else list(columns)
    axes.set_xticks(np.arange(values.shape[1]), names, fontsize=8)
    axes.set_yticks(np.arange(values.shape[0]), list(rows), fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if values.shape[1] > _MOST_TEXT or values.shape[0] > _MOST_TEXT:
        return
    for row, column in np.argwhere(np.isfinite(values)):
        value = float(values[row, column])
        text = f"{round(value, decimals) + 0.0:.{decimals}f}"  # never -0
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=_readable(image, value))


def _readable(image: Any, value: float) -> str:
    """Black on light cells, white on dark ones."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
