"""Evaluations on disk: of a trained model or of classical forecasters alone; everything in their folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from examples.trajectory_3d.baselines import DEFAULT_BASELINES, make_baselines
from examples.trajectory_3d.calibration_figures import (
    plot_coverage_per_step,
    plot_error_per_step,
    plot_rank_histograms,
)
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.demo import draw_median_forecasts
from examples.trajectory_3d.evaluation import EvaluationResult, EvaluationSet, evaluate
from examples.trajectory_3d.evaluation_json import to_json
from examples.trajectory_3d.evaluation_report import render_text
from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.forecasters import Forecaster, PathForecast
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.result_figures import plot_metrics_comparison
from examples.trajectory_3d.run_folder import CONFIG, EVALUATION, OUTPUT_ROOT, config_hash, now
from examples.trajectory_3d.windows import evaluation_windows
from m.checkpoint import load_model, write_text_atomic
from m.config import ConfigError, load_config, to_dict

SUMMARY_TEXT = "evaluation_summary.txt"
METRICS_JSON = "metrics.json"
CLASSICAL = "classical"  # folder of evaluations without a model, below the outputs


def evaluate_model(
    path: Path,
    experiment: ExperimentConfig,
    *,
    device: torch.device,
    output: Path | None = None,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    oracle: bool = False,
) -> tuple[EvaluationResult, Path]:
    """Evaluate a checkpoint on the test stream of an experiment, beside the classical baselines.

    Args:
        path: of the checkpoint.
        experiment: says which data, how many windows.
        device: where the model runs.
        output: folder for the results; see `default_folder`.
        baselines: names, as `baselines.make_baselines` takes them.
        oracle: also fit the parametric oracles, and compare errors with theirs.

    Returns:
        The result and the folder with ``evaluation_summary.txt``, ``metrics.json``,
        ``prediction_<type>.png`` and the pictures of `draw_result`.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        ConfigError: there is no baseline of a name.
    """
    classical = _baselines(baselines)
    model = load_model(path, device=device)
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    folder = output or default_folder(path, experiment)
    kind = "dense" if model.config.router.is_dense else "MoE"
    forecaster = ModelForecaster(model, f"{kind} {path.parent.name}", samples=experiment.evaluation.samples)
    result = _evaluate([forecaster, *classical], windows, experiment, oracle=oracle)
    write_results(result, folder, {"model": str(path)}, experiment)
    draw_median_forecasts(ModelForecaster(model, forecaster.name), windows, folder, prefix="prediction")
    return result, folder


def evaluate_baselines(
    experiment: ExperimentConfig,
    *,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    output: Path | None = None,
    oracle: bool = False,
) -> tuple[EvaluationResult, Path]:
    """Evaluate classical forecasters alone on the test stream of an experiment.

    Args:
        experiment: says which data, how many windows.
        baselines: names, as `baselines.make_baselines` takes them.
        output: folder for the results; by default one below the outputs, named by the data.
        oracle: also fit the parametric oracles, and compare errors with theirs.

    Returns:
        The result and the folder with ``evaluation_summary.txt``, ``metrics.json`` and the pictures of
        `draw_result`.

    Raises:
        ConfigError: no baselines, or none of a name.
    """
    classical = _baselines(baselines)
    if not classical:
        raise ConfigError("without a model and without baselines there is nothing to evaluate")
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    folder = output or OUTPUT_ROOT / CLASSICAL / config_hash(to_dict(experiment.dataset))
    result = _evaluate(classical, windows, experiment, oracle=oracle)
    write_results(result, folder, {"model": "none"}, experiment)
    return result, folder


def default_folder(path: Path, experiment: ExperimentConfig) -> Path:
    """``evaluation/`` beside the checkpoint; for other data than the run's own, a folder named by it.

    So a trial on noisier data never replaces the evaluation that others quote.
    """
    own = path.parent / CONFIG
    dataset = to_dict(experiment.dataset)
    if not own.exists() or to_dict(load_config(ExperimentConfig, own).dataset) == dataset:
        return path.parent / EVALUATION
    return path.parent / f"{EVALUATION}_{config_hash(dataset)}"


def write_results(
    result: EvaluationResult, folder: Path, subject: Mapping[str, str], experiment: ExperimentConfig
) -> None:
    """Write the result as text, as JSON and as pictures.

    Args:
        result: of the evaluation.
        folder: made if missing.
        subject: what was evaluated, such as ``{"model": path}``; stands at the head of both documents.
        experiment: says which data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dataset = experiment.dataset
    details = {
        **subject,
        "evaluated": now(),
        "data": f"test stream of seed {dataset.evaluation_seed}, {dataset.sampling_rate:g} Hz, "
        f"context noise {dataset.noise_text}",
    }
    text = render_text(result, title=f"Evaluation of {result.forecasters[0].name}", details=details)
    write_text_atomic(folder / SUMMARY_TEXT, text)
    content = {**details, "dataset": to_dict(dataset), **to_json(result)}
    write_text_atomic(folder / METRICS_JSON, json.dumps(content, indent=2, allow_nan=False) + "\n")
    draw_result(result, folder)


def draw_result(result: EvaluationResult, folder: Path) -> list[Path]:
    """Draw the numbers of an evaluation; returns the written files.

    ``metrics_comparison.png`` and ``error_per_step.png``; ``coverage_per_step.png`` and
    ``rank_histogram.png`` when a forecaster states intervals or a distribution.
    """
    figures = {
        "metrics_comparison": plot_metrics_comparison(result),
        "error_per_step": plot_error_per_step(result),
        "coverage_per_step": plot_coverage_per_step(result),
        "rank_histogram": plot_rank_histograms(result),
    }
    return [
        save_figure(figure, folder / f"{name}.png") for name, figure in figures.items() if figure is not None
    ]


def _baselines(names: Sequence[str]) -> tuple[Forecaster, ...]:
    try:
        return make_baselines(names)
    except ValueError as error:
        raise ConfigError(f"--baselines: {error}") from error


def _evaluate(
    forecasters: Sequence[Forecaster],
    windows: EvaluationSet,
    experiment: ExperimentConfig,
    *,
    oracle: bool,
) -> EvaluationResult:
    reference = _oracle_forecast(windows, experiment) if oracle else None
    batch_size = experiment.evaluation.batch_size
    return evaluate(forecasters, windows, batch_size=batch_size, reference=reference)


def _oracle_forecast(windows: EvaluationSet, experiment: ExperimentConfig) -> PathForecast:
    """Oracles' forecast of all windows, [N, H, 3]; NaN in windows of a type that has no oracle."""
    # Imported here: evaluations without oracles need none of their fitting code.
    from examples.trajectory_3d.oracles.forecast import forecast_with_oracles  # noqa: PLC0415

    known = forecast_with_oracles(windows, motion_options=experiment.dataset.motion_options)
    mean = np.full(windows.targets.shape, np.nan)
    mean[known.windows] = known.forecast.mean
    return PathForecast(mean)
