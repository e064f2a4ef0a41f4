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
from examples.trajectory_3d.run_folder import EVALUATION, now
from examples.trajectory_3d.windows import evaluation_windows
from m.checkpoint import load_model, write_text_atomic

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
        output: folder for the results; by default ``evaluation/`` beside the checkpoint.

    Returns:
        The result and the folder with ``evaluation_summary.txt``, ``metrics.json``,
        ``metrics_comparison.png`` and ``prediction_<type>.png``.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
    """
    model = load_model(path, device=device)
    folder = output or path.parent / EVALUATION
    folder.mkdir(parents=True, exist_ok=True)
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    forecaster = ModelForecaster(model, f"MoE {path.parent.name}")
    result = evaluate(
        [forecaster, *standard_baselines()], windows, batch_size=experiment.evaluation.batch_size
    )
    write_results(result, folder, path, experiment)
    save_figure(plot_metrics_comparison(result), folder / "metrics_comparison.png")
    draw_median_forecasts(forecaster, windows, folder, prefix="prediction")
    return result, folder


def write_results(result: EvaluationResult, folder: Path, path: Path, experiment: ExperimentConfig) -> None:
    """Write the result as text and as JSON."""
    details = {
        "model": str(path),
        "evaluated": now(),
        "data": f"test stream of seed {experiment.dataset.seed}, {experiment.dataset.sampling_rate:g} Hz, "
        f"context noise {experiment.dataset.noise_std:g} m",
    }
    text = render_text(result, title=f"Evaluation of {path.parent.name}", details=details)
    write_text_atomic(folder / SUMMARY_TEXT, text)
    content = {**details, **to_json(result)}
    write_text_atomic(folder / METRICS_JSON, json.dumps(content, indent=2, allow_nan=False) + "\n")
