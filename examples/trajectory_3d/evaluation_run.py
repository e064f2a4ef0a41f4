"""Evaluating a trained model on disk: forecasts, baselines, and everything under ``evaluation/``."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from examples.trajectory_3d.baselines import standard_baselines
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.demo import draw_median_forecasts
from examples.trajectory_3d.evaluation import EvaluationResult, evaluate
from examples.trajectory_3d.evaluation_report import render_text, to_json
from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.result_figures import plot_metrics_comparison
from examples.trajectory_3d.run_folder import CONFIG, EVALUATION, config_hash, now
from examples.trajectory_3d.windows import evaluation_windows
from m.checkpoint import load_model, write_text_atomic
from m.config import load_config, to_dict

SUMMARY_TEXT = "evaluation_summary.txt"
METRICS_JSON = "metrics.json"


def evaluate_model(
    path: Path, experiment: ExperimentConfig, *, device: torch.device, output: Path | None = None
) -> tuple[EvaluationResult, Path]:
    """Evaluate a checkpoint on the test stream of an experiment, beside the classical baselines.

    Args:
        path: of the checkpoint.
        experiment: says which data, how many windows.
        device: where the model runs.
        output: folder for the results; see `default_folder`.

    Returns:
        The result and the folder with ``evaluation_summary.txt``, ``metrics.json``,
        ``metrics_comparison.png`` and ``prediction_<type>.png``.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
    """
    model = load_model(path, device=device)
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    folder = output or default_folder(path, experiment)
    folder.mkdir(parents=True, exist_ok=True)
    kind = "dense" if model.config.router.is_dense else "MoE"
    forecaster = ModelForecaster(model, f"{kind} {path.parent.name}")
    result = evaluate(
        [forecaster, *standard_baselines()], windows, batch_size=experiment.evaluation.batch_size
    )
    write_results(result, folder, path, experiment)
    save_figure(plot_metrics_comparison(result), folder / "metrics_comparison.png")
    draw_median_forecasts(forecaster, windows, folder, prefix="prediction")
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


def write_results(result: EvaluationResult, folder: Path, path: Path, experiment: ExperimentConfig) -> None:
    """Write the result as text and as JSON."""
    dataset = experiment.dataset
    details = {
        "model": str(path),
        "evaluated": now(),
        "data": f"test stream of seed {dataset.evaluation_seed}, {dataset.sampling_rate:g} Hz, "
        f"context noise {dataset.noise_std:g} m",
    }
    text = render_text(result, title=f"Evaluation of {path.parent.name}", details=details)
    write_text_atomic(folder / SUMMARY_TEXT, text)
    content = {**details, "dataset": to_dict(dataset), **to_json(result)}
    write_text_atomic(folder / METRICS_JSON, json.dumps(content, indent=2, allow_nan=False) + "\n")
