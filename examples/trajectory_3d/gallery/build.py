"""Makes what the gallery shows: evaluates the shipped model, trains the quick one, and opens their pages."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.demo import draw_animations, example_paths
from examples.trajectory_3d.evaluation import MIXED, EvaluationResult
from examples.trajectory_3d.evaluation_run import evaluate_model
from examples.trajectory_3d.experts.analysis import ExpertAnalysis, analyse_experts
from examples.trajectory_3d.experts.summary import service_claims, worth_claims
from examples.trajectory_3d.experts.validation_metrics import TYPE_KNOWN
from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.gallery.browser import picture_of, whole_picture_of
from examples.trajectory_3d.gallery.pictures import Exhibit, Room, write_page
from examples.trajectory_3d.live.server import live_server
from examples.trajectory_3d.model_discovery import released_model
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.report.payload import skill_claims
from examples.trajectory_3d.run_folder import LOG, PROGRESS_PICTURE
from examples.trajectory_3d.trained_model import load_trained, released_experiment
from examples.trajectory_3d.training import train
from examples.trajectory_3d.visualization import plot_motion_types
from examples.trajectory_3d.windows import evaluation_windows
from m.config import ConfigError, load_config
from m.training import read_jsonl

CONFIGS = Path(__file__).parents[1] / "configs"
SHIPPED = "trajectory-3d"
RIVALS = ("ridge-autoregression", "classical-combination", "kalman-constant-acceleration")
ANIMATED = "lorenz"
_COMMAND = "uv run trajectory-3d-"


def build_gallery(page: Path, images: Path, work: Path, *, windows: int, browser: str) -> list[Path]:
    """Make every picture and write the page.

    What an earlier gallery left in ``work`` is removed.

    Args:
        page: Markdown file to write.
        images: folder for its pictures.
        work: folder for what the commands leave behind.
        windows: test windows to evaluate.
        browser: Chromium to open the pages with.

    Returns:
        The written files, the page last.
    """
    if work.exists():
        shutil.rmtree(work)
    evaluated = _evaluate(windows, work / "evaluation")
    rooms = [
        _forecasts(evaluated.result, evaluated.folder),
        _scores(evaluated.result, evaluated.folder),
        _experts(evaluated.experts, evaluated.folder),
        _report(evaluated, browser),
        _training(work / "quick_test_3d", browser),
        _motion(work / "demo"),
    ]
    intro = (
        "Made by `uv run python -m examples.trajectory_3d.gallery`: every picture and every number below it. "
        f'The model is the shipped one, `load("{SHIPPED}")`, on {evaluated.result.num_windows} windows of '
        "the test stream."
    )
    return write_page(rooms, intro, page, images)


@dataclass(frozen=True)
class _Evaluation:
    """The shipped model's evaluation, and what it wrote."""

    result: EvaluationResult
    experts: ExpertAnalysis
    folder: Path


def _evaluation_command(windows: int) -> str:
    """The command that evaluates as the gallery does."""
    return f"{_COMMAND}eval {SHIPPED} --baselines {','.join(RIVALS)} evaluation.test_windows={windows}"


def _found() -> tuple[Path, Path]:
    """Weights and card of the shipped model."""
    found = released_model(SHIPPED)
    if found is None or found.card is None:
        raise ConfigError(f"no model is registered as {SHIPPED}; install the package")
    return found.path, found.card


def _shipped() -> tuple[ModelForecaster, DatasetConfig]:
    """The shipped model as a forecaster, and the data that it is for."""
    weights, card = _found()
    trained = load_trained(weights, device=torch.device("cpu"))
    return ModelForecaster(trained.model, trained.title), released_experiment(card, []).dataset


def _evaluate(count: int, folder: Path) -> _Evaluation:
    """What ``trajectory-3d-eval trajectory-3d`` does, and the analysis of experts for the captions."""
    weights, card = _found()
    experiment = released_experiment(card, [f"evaluation.test_windows={count}"])
    device = torch.device("cpu")
    result, _ = evaluate_model(weights, experiment, device=device, output=folder, baselines=RIVALS)
    windows = evaluation_windows(experiment.dataset, "test", count)
    experts = analyse_experts(load_trained(weights, device=device).model, windows)
    if experts is None:
        raise ConfigError(f"the model {SHIPPED} has no experts to show")
    return _Evaluation(result, experts, folder)


def _forecasts(result: EvaluationResult, folder: Path) -> Room:
    scores = result.forecasters[0]
    exhibits = [
        Exhibit(
            folder / "prediction_grid.png",
            "a forecast of each motion type",
            ["Of each motion type the window whose error is the median.", skill_claims(result)[0]],
        )
    ]
    for kind in ("lissajous", "robotic"):
        error = scores.groups[kind].metrics["position_error"]
        best = min(result.forecasters[1:], key=lambda each: each.groups[kind].metrics["position_error"])
        theirs = best.groups[kind].metrics["position_error"]
        exhibits.append(
            Exhibit(
                folder / f"prediction_{kind}.png",
                f"one forecast of {kind} motion, closer",
                [
                    f"Over all {kind} windows the error is {error:.3g} m; of {best.name}, the best classical "
                    f"forecaster here, {theirs:.3g} m."
                ],
            )
        )
    return Room("Forecasts", _evaluation_command(result.num_windows), exhibits)


def _scores(result: EvaluationResult, folder: Path) -> Room:
    mixed = result.forecasters[0].groups[MIXED]
    levels = {} if mixed.distribution is None else mixed.distribution.coverage_per_step
    held = [
        f"{100 * float(level):.0f} % intervals hold {100 * min(shares):.0f} to {100 * max(shares):.0f} %"
        for level, shares in sorted(levels.items())
    ]
    return Room(
        "How good, and why",
        _evaluation_command(result.num_windows),
        [
            Exhibit(
                folder / "trajectory_analysis_dashboard.png",
                "errors, what they depend on, calibration and experts on one sheet",
                skill_claims(result),
            ),
            Exhibit(
                folder / "metrics_comparison.png",
                "motion types by metrics, beside classical forecasters",
                [f"{len(result.forecasters)} forecasters on the same {result.num_windows} windows."],
            ),
            Exhibit(
                folder / "coverage_per_step.png",
                "what the intervals hold at every step",
                [f"By step, {', '.join(held)}."],
            ),
        ],
    )


def _experts(experts: ExpertAnalysis, folder: Path) -> Room:
    return Room(
        "What the experts do",
        _evaluation_command(experts.windows),
        [
            Exhibit(
                folder / "expert_specialisation.png",
                "which experts serve which motion",
                service_claims(experts),
            ),
            Exhibit(folder / "expert_worth.png", "what is missed without each expert", worth_claims(experts)),
        ],
    )


def _report(evaluated: _Evaluation, browser: str) -> Room:
    folder = evaluated.folder
    address = (folder / "report.html").absolute().as_uri()
    top = picture_of(address, folder / "report.png", browser=browser, height=1080)
    whole = whole_picture_of(address, folder / "report_whole.png", browser=browser)
    scores = evaluated.result.forecasters[0].groups.values()
    worst = max(group.metrics["position_error"] for group in scores)
    layers = evaluated.experts.layers
    return Room(
        "The interactive report",
        f"{_evaluation_command(evaluated.result.num_windows)}   # then open report.html",
        [
            Exhibit(
                top,
                "the report, its worst forecast first",
                [f"The worst come first; the hardest type has a mean error of {worst:.3g} m."],
            ),
            Exhibit(
                whole,
                "all of the report",
                [f"All of it; {len(layers)} layers of experts."],
            ),
        ],
    )


def _training(folder: Path, browser: str) -> Room:
    experiment = load_config(ExperimentConfig, CONFIGS / "quick_test_3d.yaml")
    with live_server(0) as live:
        assert live is not None
        train(experiment, folder, device=torch.device("cpu"), live=live.history)
        shown = whole_picture_of(live.url, folder / "live_page.png", browser=browser)
    log = read_jsonl(folder / LOG)
    last = [line for line in log if line["event"] == "evaluation"][-1]
    speed = [line["sequences_per_second"] for line in log if line["event"] == "step"]
    known = [value for name, value in last["metrics"].items() if name.startswith(TYPE_KNOWN)]
    told = (
        f"After {last['step']:,} steps and {last['elapsed']:.0f} s the position error on validation windows "
        f"is {last['metrics']['position_error']:.3g} m, and experts say {100 * min(known):.0f} to "
        f"{100 * max(known):.0f} % of the motion type by layer, beyond chance."
    )
    config = "examples/trajectory_3d/configs/quick_test_3d.yaml"
    return Room(
        "A run while it trains",
        f"{_COMMAND}train {config} --live",
        [
            Exhibit(shown, "the live page at the end of a run", [told]),
            Exhibit(
                folder / PROGRESS_PICTURE,
                "the same history as a picture in the run's folder",
                [f"Between records {min(speed):,.0f} to {max(speed):,.0f} windows a second."],
            ),
        ],
    )


def _motion(folder: Path) -> Room:
    """What ``trajectory-3d-demo --animate gif`` makes, of one type's animation only."""
    forecaster, dataset = _shipped()
    paths = example_paths(dataset, count=4, seconds=8.0)
    figure = plot_motion_types(paths, dataset.time_step)
    alone = replace(dataset, type_weights={ANIMATED: 1.0})
    moving = next(draw_animations(folder, forecaster, alone, suffix=".gif"))
    horizon = dataset.prediction_length
    return Room(
        "Motion",
        f"{_COMMAND}demo --animate gif",
        [
            Exhibit(
                moving,
                f"{ANIMATED} motion, forecast at every moment",
                [f"At every point from the {dataset.sequence_length}th on, the next {horizon} are forecast."],
            ),
            Exhibit(
                save_figure(figure, folder / "demo_trajectories.png"),
                "example paths of every motion type",
                [f"{len(paths)} types, {len(next(iter(paths.values())))} paths of each."],
            ),
        ],
    )
