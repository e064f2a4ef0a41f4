"""Pictures of numbers: the course of a training run, and forecasters compared per motion type."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.trajectory_3d.evaluation import EvaluationResult
from examples.trajectory_3d.experts.validation_metrics import TYPE_KNOWN, served
from examples.trajectory_3d.figure_style import (
    BLUE,
    HATCHES,
    MARKS,
    PALETTE,
    VERMILLION,
    new_figure,
    say,
    tidy,
    use_log_scale,
)
from examples.trajectory_3d.metrics import METRICS, MetricSpec
from examples.trajectory_3d.recordings.units import unit_label

Record = Mapping[str, Any]

COMPARED_METRICS = (
    "position_error",
    "endpoint_error",
    "velocity_error",
    "acceleration_error",
    "trajectory_deviation",
    "energy_conservation",
)
LOG_SCALE_RATIO = 20.0  # largest over smallest value from which a logarithmic axis reads better


def plot_training_progress(history: Sequence[Record], unit: str = "m") -> Figure:
    """Draw a training run: losses, errors, learning rate, throughput, and expert load over the steps.

    Args:
        history: records in the order written, each with "step". A record with "learning_rate" is of training
            (also "loss", "expert_load" as shares [layers][experts], "sequences_per_second"); others are of
            evaluation. A training record's metric "final_nll" is drawn in place of its loss: it is what
            validation calls the loss. Metrics ("loss", "position_error", "velocity_error",
            "acceleration_error") stand in the record itself or in its "metrics", those of evaluation also by
            motion type ("position_error/<type>") and those of experts (`validation_metrics`). A series that
            no record has is marked 'not recorded'.
        unit: of positions.
    """
    unit = unit_label(unit)
    train = [record for record in history if "learning_rate" in record]
    validation = [record for record in history if "learning_rate" not in record]
    figure = new_figure(17.0, 10.5, "Training progress")
    grid = figure.add_gridspec(3, 4, height_ratios=[1.0, 1.0, 1.3])
    panels = (
        ("loss", "negative log-likelihood (nats per coordinate)"),
        ("position_error", f"position error ({unit})"),
        ("velocity_error", f"velocity error ({unit}/s)"),
        ("acceleration_error", f"acceleration error ({unit}/s$^2$)"),
        ("learning_rate", "learning rate"),
        ("sequences_per_second", "windows per second"),
    )
    places = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 2), (1, 3)]
    for (key, label), (row, column) in zip(panels, places, strict=True):
        _draw_series(figure.add_subplot(grid[row, column]), key, label, _as_validated(train), validation)
    by_type = figure.add_subplot(grid[1, 0])
    _draw_family(by_type, "position_error/", f"position error by motion type ({unit})", validation)
    known = figure.add_subplot(grid[1, 1])
    _draw_family(known, TYPE_KNOWN, "motion type known by the expert (share)", validation, label="layer ")
    _draw_expert_load(figure, figure.add_subplot(grid[2, :3]), train)
    _draw_service(figure, figure.add_subplot(grid[2, 3]), validation)
    return figure


def plot_metrics_comparison(result: EvaluationResult) -> Figure:
    """Draw main metrics as bars, motion types by forecasters; the position error with its 95 % interval."""
    specs = {spec.name: spec for spec in METRICS}
    figure = new_figure(15.0, 8.2, "Forecasters compared per motion type")
    grid = figure.add_gridspec(2, 3)
    for index, name in enumerate(COMPARED_METRICS):
        axes = figure.add_subplot(grid[index // 3, index % 3])
        _draw_bars(axes, result, specs[name])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    return figure


def _draw_series(
    axes: Axes, key: str, label: str, train: Sequence[Record], validation: Sequence[Record]
) -> None:
    axes.set_title(label, fontsize=11)
    drawn = []
    for records, name, style in ((train, "training", "-"), (validation, "validation", "o--")):
        steps, values = _series(records, key)
        if steps:
            color = BLUE if name == "training" else VERMILLION
            axes.plot(steps, values, style, color=color, label=name, linewidth=1.4, markersize=3.5)
            drawn += values
    if not drawn:
        say(axes, "not recorded")
        return
    if key.endswith("_error") and min(drawn) > 0:
        use_log_scale(axes)
    elif min(drawn) >= 0:
        axes.set_ylim(bottom=0.0)
    axes.set_xlabel("step")
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=8)
    tidy(axes)


def _draw_family(
    axes: Axes, prefix: str, title: str, validation: Sequence[Record], *, label: str = ""
) -> None:
    """Draw all metrics of evaluation whose names begin alike, one line each."""
    axes.set_title(title, fontsize=11)
    names = [name for record in validation[-1:] for name in record.get("metrics") or {}]
    keys = [name for name in names if name.startswith(prefix)]
    drawn: list[float] = []
    for index, key in enumerate(keys):
        steps, values = _series(validation, key)
        axes.plot(
            steps,
            values,
            ("-", "--", "-.", ":")[index % 4],
            marker=MARKS[index % len(MARKS)],
            color=PALETTE[index % len(PALETTE)],
            label=label + key.removeprefix(prefix).replace("_", " "),
            linewidth=1.4,
            markersize=3.5,
        )
        drawn += values
    if not drawn:
        say(axes, "not recorded")
        return
    if min(drawn) > 0 and "error" in prefix:
        use_log_scale(axes)
    else:
        axes.set_ylim(bottom=0.0)
    axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    tidy(axes)


def _as_validated(train: Sequence[Record]) -> list[Record]:
    """Training records whose loss is what validation calls so: that which is minimised has more terms."""
    return [
        {**each, "loss": (each.get("metrics") or {}).get("final_nll", each.get("loss"))} for each in train
    ]


def _series(records: Sequence[Record], key: str) -> tuple[list[float], list[float]]:
    """Steps and values of the records that hold a finite number under the key, or under metrics.key."""
    steps, values = [], []
    for record in records:
        value = record.get(key, (record.get("metrics") or {}).get(key))
        if isinstance(value, int | float) and math.isfinite(value):
            steps.append(float(record["step"]))
            values.append(float(value))
    return steps, values


def _draw_expert_load(figure: Figure, axes: Axes, train: Sequence[Record]) -> None:
    """Draw the share of each expert, relative to the even share, over steps; layers stacked."""
    axes.set_title(
        "expert load per layer (share of the routed tokens, relative to the even share)", fontsize=11
    )
    records = [record for record in train if record.get("expert_load")]
    if not records:
        say(axes, "not recorded")
        return
    load = np.asarray(
        [record["expert_load"] for record in records], dtype=np.float64
    )  # [steps, layers, experts]
    _, layers, experts = load.shape
    total = load.sum(axis=-1, keepdims=True)
    relative = load * experts / np.where(total > 0, total, 1.0)
    steps = np.asarray([record["step"] for record in records], dtype=np.float64)
    first = steps[0] - (steps[1] - steps[0] if len(steps) > 1 else 1.0)
    edges = np.concatenate([[first], steps])  # a record covers the steps since the one before
    image = axes.pcolormesh(
        edges,
        np.arange(layers * experts + 1),
        relative.transpose(1, 2, 0).reshape(layers * experts, -1),
        cmap="cividis",
        vmin=0.0,
        vmax=max(2.0, float(np.quantile(relative, 0.99))),
    )
    figure.colorbar(image, ax=axes, label="1 = even", pad=0.01, extend="max")
    for layer in range(1, layers):
        axes.axhline(layer * experts, color="white", linewidth=1.5)
    axes.set_yticks([(layer + 0.5) * experts for layer in range(layers)])
    axes.set_yticklabels([f"layer {layer}\n{experts} experts" for layer in range(layers)], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("step")


def _draw_service(figure: Figure, axes: Axes, validation: Sequence[Record]) -> None:
    """Draw the share of each expert in each motion type's choices at the last validation; layers stacked."""
    axes.set_title("who serves whom, last validation", fontsize=11)
    metrics: Mapping[str, Any] = validation[-1].get("metrics") or {} if validation else {}
    prefix = "position_error/"
    types = [name.removeprefix(prefix) for name in metrics if name.startswith(prefix)]
    layers = served(metrics, types)
    if not layers:
        say(axes, "not recorded")
        return
    shares = np.array(layers, dtype=np.float64)  # [layers, types, experts]
    image = axes.imshow(
        shares.reshape(-1, shares.shape[-1]), cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto"
    )
    figure.colorbar(image, ax=axes, label="share of the type", pad=0.01)
    for layer in range(1, len(layers)):
        axes.axhline(layer * len(types) - 0.5, color="white", linewidth=1.5)
    rows = [f"{kind}, {layer}" for layer in range(len(layers)) for kind in types]
    axes.set_yticks(range(len(rows)), labels=rows, fontsize=6)
    axes.set_xticks(range(shares.shape[-1]) if shares.shape[-1] <= 16 else [])
    axes.set_xlabel("expert")
    axes.set_ylabel("motion type, layer", fontsize=8)


def _draw_bars(axes: Axes, result: EvaluationResult, spec: MetricSpec) -> None:
    groups = result.group_names
    width = 0.8 / len(result.forecasters)
    positions = np.arange(len(groups))
    drawn: list[float] = []
    for index, scores in enumerate(result.forecasters):
        values = np.asarray([scores.groups[group].metrics[spec.name] for group in groups])
        offset = (index - (len(result.forecasters) - 1) / 2) * width
        intervals = None
        if spec.name == "position_error":
            ends = np.asarray([scores.groups[group].position_error_interval for group in groups]).T
            intervals = np.nan_to_num(np.abs(ends - values))  # [2, groups]; no bar where undefined
        axes.bar(
            positions + offset,
            values,
            width,
            yerr=intervals,
            color=PALETTE[index % len(PALETTE)],
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
            error_kw={"linewidth": 0.9, "capsize": 1.5},
            label=scores.name,
        )
        drawn += [float(value) for value in values if math.isfinite(value)]
    _finish_bars(axes, spec, groups, drawn)


def _finish_bars(axes: Axes, spec: MetricSpec, groups: Sequence[str], drawn: Sequence[float]) -> None:
    unit = f" ({spec.unit.replace('^2', '$^2$')})" if spec.unit else ""
    axes.set_title(f"{spec.name.replace('_', ' ')}{unit}, {spec.better} is better", fontsize=10.5)
    axes.set_xticks(np.arange(len(groups)))
    axes.set_xticklabels(groups, fontsize=9)
    tidy(axes, grid="y")
    positive = [value for value in drawn if value > 0]
    if not drawn:
        say(axes, "undefined for this horizon")
    elif len(positive) == len(drawn) and max(drawn) > LOG_SCALE_RATIO * min(drawn):
        use_log_scale(axes)
        axes.set_ylabel("log scale", fontsize=8)
