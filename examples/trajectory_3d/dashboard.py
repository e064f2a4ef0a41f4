"""The analysis of an evaluation on one sheet: errors, what they depend on, calibration, experts."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.calibration_figures import draw_coverage, draw_ranks, rank_histogram
from examples.trajectory_3d.evaluation import MIXED, EvaluationResult, EvaluationSet, ForecasterScores
from examples.trajectory_3d.expert_figures import draw_heat
from examples.trajectory_3d.experts.analysis import ExpertAnalysis
from examples.trajectory_3d.experts.features import speed_and_curvature
from examples.trajectory_3d.experts.summary import MOTION
from examples.trajectory_3d.figure_style import (
    BLACK,
    BLUE,
    MARKS,
    OBSERVED_GREY,
    PALETTE,
    VERMILLION,
    new_figure,
    say,
    tidy,
    use_log_scale,
)
from examples.trajectory_3d.recordings.units import unit_label

_SHOWN_WINDOWS = 300  # of each type in the scatter
_ENDS = (5.0, 25.0, 50.0, 75.0, 95.0)  # percentiles of the boxes


def plot_dashboard(
    result: EvaluationResult,
    windows: EvaluationSet,
    errors: Float64Array,
    experts: ExpertAnalysis | None = None,
) -> Figure:
    """Draw everything that says how good the first forecaster is, and why.

    Args:
        result: of the evaluation.
        windows: that were evaluated.
        errors: position error of the first forecaster in each window, [N] metres.
        experts: their analysis; their panels say so when there is none.
    """
    name = result.forecasters[0].name
    mixed = result.forecasters[0].groups[MIXED]
    unit = unit_label(windows.unit)
    figure = new_figure(
        17.0,
        13.0,
        f"{name}: position error {mixed.metrics['position_error']:.3g} {unit}, gn {mixed.skill.gn:.3g}, "
        f"over {result.num_windows} windows",
    )
    grid = figure.add_gridspec(3, 3)
    panels = [figure.add_subplot(grid[index // 3, index % 3]) for index in range(9)]
    _draw_gn(panels[0], result)
    _draw_boxes(panels[1], windows, errors)
    _draw_steps(panels[2], result)
    _draw_curvature(panels[3], windows, errors)
    _draw_calibration(panels[4], panels[5], result.forecasters[0])
    if experts is None:
        for axes, title in zip(panels[6:], ("load of experts", "who serves whom", "worth"), strict=True):
            axes.set_title(title, fontsize=11)
            say(axes, "no experts")
    else:
        _draw_experts(figure, panels[6:], experts)
    return figure


def _draw_gn(axes: Axes, result: EvaluationResult) -> None:
    best = result.best_baseline(MIXED)
    shown = [(result.forecasters[0], BLUE, "")]
    if best is not None and best is not result.forecasters[0]:
        shown.append((best, VERMILLION, "//"))
    if result.reference is not None:
        shown.append((result.reference, OBSERVED_GREY, ".."))
    places = np.arange(len(result.group_names))
    width = 0.8 / len(shown)
    for index, (scores, colour, hatch) in enumerate(shown):
        skills = [scores.groups[g].skill if g in scores.groups else None for g in result.group_names]
        values = np.array([np.nan if skill is None else skill.gn for skill in skills])
        ends = np.array([(np.nan, np.nan) if skill is None else skill.gn_interval for skill in skills]).T
        axes.bar(
            places + (index - (len(shown) - 1) / 2) * width,
            values,
            width,
            yerr=np.nan_to_num(np.abs(ends - values)),
            color=colour,
            hatch=hatch,
            edgecolor="white",
            error_kw={"linewidth": 0.9, "capsize": 2},
            label=scores.name,
        )
    axes.set_xticks(places, result.group_names, fontsize=9)
    axes.set_title("error / spread of the context (gn), with 95 % interval", fontsize=11)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes, grid="y")
    use_log_scale(axes)


def _draw_boxes(axes: Axes, windows: EvaluationSet, errors: Float64Array) -> None:
    groups = windows.groups()
    boxes = []
    for kind, members in groups.items():
        low, first, middle, third, high = np.percentile(errors[members], _ENDS)
        boxes.append(
            {
                "label": kind,
                "whislo": low,
                "q1": first,
                "med": middle,
                "q3": third,
                "whishi": high,
                "fliers": [],
            }
        )
    drawn = axes.bxp(
        boxes, showfliers=False, patch_artist=True, medianprops={"color": BLACK, "linewidth": 1.6}
    )
    for patch in drawn["boxes"]:
        patch.set(facecolor="#CFE3F1", edgecolor=BLUE)
    means = [errors[members].mean() for members in groups.values()]
    axes.plot(np.arange(1, len(means) + 1), means, "D", color=VERMILLION, markersize=5, label="mean")
    axes.set_title(
        f"position error ({unit_label(windows.unit)}): quartiles, 5 and 95 % of windows", fontsize=11
    )
    axes.tick_params(axis="x", labelsize=9)
    axes.legend(frameon=False, fontsize=8)
    tidy(axes, grid="y")
    use_log_scale(axes)


def _draw_steps(axes: Axes, result: EvaluationResult) -> None:
    times = result.dt * np.arange(1, result.horizon + 1)
    for index, (kind, scores) in enumerate(result.forecasters[0].groups.items()):
        axes.plot(
            times,
            scores.error_per_step,
            color=BLACK if kind == MIXED else PALETTE[index % len(PALETTE)],
            marker=MARKS[index % len(MARKS)],
            markersize=3.5,
            linewidth=2.4 if kind == MIXED else 1.3,
            label=kind,
        )
    axes.set_title(f"mean distance to the true position ({unit_label(result.unit)})", fontsize=11)
    axes.set_xlabel("time ahead (s)")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    tidy(axes)
    use_log_scale(axes)


def _draw_curvature(axes: Axes, windows: EvaluationSet, errors: Float64Array) -> None:
    last = np.array([windows.context.shape[1] - 1])
    speed, curvature = (values[:, 0] for values in speed_and_curvature(windows.context, last, windows.dt))
    turning = speed * curvature  # rad/s
    known = np.isfinite(turning) & (turning > 0) & (errors > 0)
    if not known.any():
        say(axes, "no path has a direction")
        return
    for index, (kind, members) in enumerate(windows.groups().items()):
        rows = members[known[members]][:_SHOWN_WINDOWS]
        if kind != MIXED:
            axes.plot(
                turning[rows],
                errors[rows],
                MARKS[index % len(MARKS)],
                color=PALETTE[index % len(PALETTE)],
                markersize=3,
                alpha=0.45,
                linestyle="none",
                label=kind,
            )
    rank = spearmanr(turning[known], errors[known]).statistic
    axes.set_xscale("log")
    axes.set_title(
        f"error ({unit_label(windows.unit)}) against turning at the end: rank correlation {rank:.2f}",
        fontsize=11,
    )
    axes.set_xlabel("rate of turning (rad/s), from the noisy context")
    axes.legend(frameon=False, fontsize=8, markerscale=2)
    tidy(axes)
    use_log_scale(axes)


def _draw_calibration(coverage: Axes, histogram: Axes, scores: ForecasterScores) -> None:
    draw_coverage(coverage, scores)
    coverage.set_title("what the central intervals hold, by step (dashed: stated)", fontsize=11)
    if coverage.lines:
        coverage.legend(frameon=False, fontsize=8)
    ranks = rank_histogram(scores, MIXED)
    if ranks is None:
        histogram.set_title("rank of the truth", fontsize=11)
        say(histogram, "no distribution stated")
    else:
        draw_ranks(histogram, "all windows", ranks)


def _draw_experts(figure: Figure, panels: list[Axes], experts: ExpertAnalysis) -> None:
    names = [f"layer {index}" for index in range(len(experts.layers))]
    load = np.array([layer.balance.load * len(layer.balance.load) for layer in experts.layers])
    draw_heat(
        figure, panels[0], load, rows=names, label="1 = even", limits=(0.0, max(2.0, load.max())), decimals=1
    )
    panels[0].set_title("load of each expert, relative to an even share", fontsize=11)
    panels[0].set_xlabel("expert")
    told = [layer.specialisations[MOTION].explained for layer in experts.layers]
    chosen = int(np.argmax(told))
    table = experts.layers[chosen].specialisations[MOTION]
    draw_heat(
        figure, panels[1], 100 * table.shares, rows=table.groups, label="% of the type's choices",
        limits=(0.0, 100.0),
    )  # fmt: skip
    panels[1].set_title(
        f"layer {chosen}: experts say {100 * told[chosen]:.0f} % of the motion type", fontsize=11
    )
    panels[1].set_xlabel("expert")
    lesions = experts.lesions
    harm = 100 * lesions.harm[chosen].T
    reach = max(1.0, float(np.abs(harm).max()))
    draw_heat(
        figure, panels[2], harm, rows=lesions.groups, label="% more error", limits=(-reach, reach),
        colours="PuOr_r",
    )  # fmt: skip
    panels[2].set_title(f"layer {chosen}: growth of the error without an expert", fontsize=11)
    panels[2].set_xlabel("expert switched off")
