"""Evaluations on disk: of a trained model or of classical forecasters alone; everything in their folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from examples.trajectory_3d.dashboard import plot_dashboard
from examples.trajectory_3d.demo import draw_median_forecasts
from examples.trajectory_3d.evaluation import EvaluationResult, EvaluationSet, evaluate, forecast_all
from examples.trajectory_3d.evaluation_json import to_json
from examples.trajectory_3d.evaluation_report import render_text
from examples.trajectory_3d.expert_figures import plot_specialisation, plot_worth
from examples.trajectory_3d.experts.analysis import ExpertAnalysis, analyse_experts
from examples.trajectory_3d.experts.summary import to_json as experts_to_json
from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.forecasters import Forecaster, PathForecast
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.report.write import BATCH_SIZE as REPORT_BATCH
from examples.trajectory_3d.report.write import write_evaluation_report
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
        ``prediction_<type>.png``, and the pictures and page of `write_pictures`.

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
    experts = analyse_experts(model, windows, batch_size=experiment.evaluation.batch_size)
    details = _details({"model": str(path)}, experiment)
    write_results(result, folder, details, experiment, experts)
    written = Evaluated((forecaster, *classical), result, windows, experts)
    write_pictures(written, folder, details)
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
        The result and the folder with ``evaluation_summary.txt``, ``metrics.json`` and the pictures and
        page of `write_pictures`.

    Raises:
        ConfigError: no baselines, or none of a name.
    """
    classical = _baselines(baselines)
    if not classical:
        raise ConfigError("without a model and without baselines there is nothing to evaluate")
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    folder = output or OUTPUT_ROOT / CLASSICAL / config_hash(to_dict(experiment.dataset))
    result = _evaluate(classical, windows, experiment, oracle=oracle)
    details = _details({"model": "none"}, experiment)
    write_results(result, folder, details, experiment)
    write_pictures(Evaluated(classical, result, windows), folder, details)
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


@dataclass(frozen=True)
class Evaluated:
    """What was evaluated, and what came out.

    Attributes:
        forecasters: the one reported on first.
        result: scores of all.
        windows: that they forecast.
        experts: analysis of the first forecaster's; None without.
    """

    forecasters: tuple[Forecaster, ...]
    result: EvaluationResult
    windows: EvaluationSet
    experts: ExpertAnalysis | None = None


def write_results(
    result: EvaluationResult,
    folder: Path,
    details: Mapping[str, str],
    experiment: ExperimentConfig,
    experts: ExpertAnalysis | None = None,
) -> None:
    """Write the result as text and as JSON.

    Args:
        result: of the evaluation.
        folder: made if missing.
        details: what was evaluated, when, and on which data; stand at the head of both documents.
        experiment: says which data.
        experts: analysis of the model's experts, where it has any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = render_text(
        result, title=f"Evaluation of {result.forecasters[0].name}", details=details, experts=experts
    )
    write_text_atomic(folder / SUMMARY_TEXT, text)
    content = {**details, "dataset": to_dict(experiment.dataset), **to_json(result)}
    content["experts"] = None if experts is None else experts_to_json(experts)
    write_text_atomic(folder / METRICS_JSON, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_pictures(evaluated: Evaluated, folder: Path, details: Mapping[str, str]) -> list[Path]:
    """Draw the numbers of an evaluation, and write the interactive report; returns the written files.

    ``metrics_comparison.png``, ``error_per_step.png``, ``trajectory_analysis_dashboard.png`` and
    ``report.html``; ``coverage_per_step.png`` and ``rank_histogram.png`` when a forecaster states intervals
    or a distribution; ``expert_specialisation.png`` and ``expert_worth.png`` for a model with experts.
    """
    result, experts = evaluated.result, evaluated.experts
    forecast = forecast_all(evaluated.forecasters[0], evaluated.windows, REPORT_BATCH)
    errors = position_error(forecast.mean, evaluated.windows.targets)
    figures = {
        "metrics_comparison": plot_metrics_comparison(result),
        "error_per_step": plot_error_per_step(result),
        "coverage_per_step": plot_coverage_per_step(result),
        "rank_histogram": plot_rank_histograms(result),
        "trajectory_analysis_dashboard": plot_dashboard(result, evaluated.windows, errors, experts),
        "expert_specialisation": None if experts is None else plot_specialisation(experts),
        "expert_worth": None if experts is None else plot_worth(experts),
    }
    written = [
        save_figure(figure, folder / f"{name}.png") for name, figure in figures.items() if figure is not None
    ]
    page = write_evaluation_report(
        folder,
        evaluated.forecasters,
        result,
        evaluated.windows,
        forecast,
        details=details,
        experts=experts,
    )
    return [*written, page]


def _details(subject: Mapping[str, str], experiment: ExperimentConfig) -> dict[str, str]:
    """Head of all documents: subject, such as ``{"model": path}``, date and data."""
    dataset = experiment.dataset
    return {
        **subject,
        "evaluated": now(),
        "data": f"test stream of seed {dataset.evaluation_seed}, {dataset.sampling_rate:g} Hz, "
        f"context noise {dataset.noise_text}",
    }


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
