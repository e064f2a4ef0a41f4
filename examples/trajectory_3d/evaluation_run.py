"""Evaluations on disk: of a trained model or of classical forecasters alone; everything in their folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from matplotlib.figure import Figure

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
from examples.trajectory_3d.evaluation_folder import (
    METRICS_JSON,
    PREDICTION,
    SUMMARY_TEXT,
    classical_folder,
    default_folder,
    make_writable,
    remove_earlier,
)
from examples.trajectory_3d.evaluation_json import to_json
from examples.trajectory_3d.evaluation_report import render_text
from examples.trajectory_3d.expert_figures import plot_specialisation, plot_worth
from examples.trajectory_3d.experts.analysis import ExpertAnalysis, analyse_experts
from examples.trajectory_3d.experts.summary import to_json as experts_to_json
from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.forecasters import Forecaster, PathForecast
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.recorded.opening import open_recordings
from examples.trajectory_3d.report.page import REPORT
from examples.trajectory_3d.report.write import BATCH_SIZE as REPORT_BATCH
from examples.trajectory_3d.report.write import write_evaluation_report
from examples.trajectory_3d.result_figures import plot_metrics_comparison
from examples.trajectory_3d.run_folder import now
from examples.trajectory_3d.trained_model import load_trained, training_notes
from examples.trajectory_3d.windows import evaluation_windows
from m.checkpoint import write_text_atomic
from m.config import ConfigError, to_dict
from m.release import registered_path

T = TypeVar("T")

_EXPECTED = (ValueError, ArithmeticError, OSError, RuntimeError)  # others are bugs, and keep their trace
_EXPERTS = "expert analysis"


class IncompleteEvaluationError(RuntimeError):
    """Something that was asked for could not be evaluated or written; the rest was.

    Attributes:
        result: scores of what could be evaluated.
        folder: with everything that could be written.
    """

    def __init__(self, result: EvaluationResult, folder: Path, missing: Mapping[str, str]) -> None:
        reasons = [*result.failed.values(), *(f"{part}: {reason}" for part, reason in missing.items())]
        super().__init__(f"incomplete: {'; '.join(reasons)}. Everything else is in {folder}")
        self.result = result
        self.folder = folder


@dataclass(frozen=True)
class Evaluated:
    """What was evaluated, and what came out.

    Attributes:
        forecasters: those with scores, the one reported on first.
        result: scores of all.
        windows: that they forecast.
        experts: analysis of the first forecaster's; None without.
    """

    forecasters: tuple[Forecaster, ...]
    result: EvaluationResult
    windows: EvaluationSet
    experts: ExpertAnalysis | None = None


def evaluate_model(
    path: Path,
    experiment: ExperimentConfig,
    *,
    device: torch.device,
    output: Path | None = None,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    oracle: bool = False,
    experts: bool = True,
) -> tuple[EvaluationResult, Path]:
    """Evaluate a model on the test stream of an experiment, beside the classical baselines.

    Args:
        path: of the checkpoint, or of a release's ``model.safetensors``.
        experiment: says which data, how many windows.
        device: where the model runs.
        output: folder for the results; see `evaluation_folder.default_folder`.
        baselines: names, as `baselines.make_baselines` takes them.
        oracle: also fit the parametric oracles, and compare errors with theirs.
        experts: also analyse the model's experts, for which it forecasts the windows without each of them.

    Returns:
        The result and the folder with ``evaluation_summary.txt``, ``metrics.json``,
        ``prediction_<type>.png``, and the pictures and page of `write_pictures`.

    Raises:
        CheckpointError: the model cannot be loaded.
        ConfigError: there is no baseline of a name, or the folder cannot be written.
        ForecastError: no forecaster gave anything that can be measured.
        IncompleteEvaluationError: some did not, or a part could not be made; all the rest is written.
    """
    classical = _baselines(baselines)
    trained = load_trained(path, device=device)
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    folder = make_writable(output or default_folder(path, trained, experiment))
    name = trained.title
    forecaster = ModelForecaster(trained.model, name, samples=experiment.evaluation.samples)
    missing: dict[str, str] = {}
    evaluated = _evaluate((forecaster, *classical), windows, experiment, missing, oracle=oracle)
    notes = training_notes(trained, experiment.dataset)
    installed = trained.is_release and registered_path(trained.name) == path.parent
    details = _details({"model": trained.name if installed else str(path), **notes}, experiment)
    writing = Writing(folder, name, evaluated, experiment=experiment, details=details, missing=missing)
    if name in evaluated.result.failed:
        return writing.everything()
    size = experiment.evaluation.batch_size
    return writing.everything(
        (lambda: analyse_experts(trained.model, windows, batch_size=size)) if experts else None,
        lambda: draw_median_forecasts(
            ModelForecaster(trained.model, name), windows, folder, prefix=PREDICTION
        ),
    )


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
        ConfigError: no baselines, or none of a name, or the folder cannot be written.
        ForecastError, IncompleteEvaluationError: see `evaluate_model`.
    """
    classical = _baselines(baselines)
    if not classical:
        raise ConfigError("without a model and without baselines there is nothing to evaluate")
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    folder = make_writable(output or classical_folder(experiment))
    missing: dict[str, str] = {}
    evaluated = _evaluate(classical, windows, experiment, missing, oracle=oracle)
    details = _details({"model": "none"}, experiment)
    writing = Writing(
        folder, classical[0].name, evaluated, experiment=experiment, details=details, missing=missing
    )
    return writing.everything()


class Writing:
    """Writes an evaluation, what is sure and cheap first: the scores are safe before anything else begins.

    A part that fails for a reason that can be expected is noted, and the others are still made.

    Args:
        folder: exists and can be written.
        subject: name of the model, or of the first forecaster where there is none; it may have failed.
        evaluated: what to write of.
        experiment: says which data.
        details: what was evaluated, when, and on which data; stand at the head of all documents.
        missing: part -> reason of what already could not be made; gets those that come.
    """

    def __init__(
        self,
        folder: Path,
        subject: str,
        evaluated: Evaluated,
        *,
        experiment: ExperimentConfig,
        details: Mapping[str, str],
        missing: dict[str, str],
    ) -> None:
        self._folder = folder
        self._subject = subject
        self._evaluated = evaluated
        self._experiment = experiment
        self._details = details
        self._missing = missing

    def everything(
        self,
        analyse: Callable[[], ExpertAnalysis | None] | None = None,
        draw_predictions: Callable[[], object] | None = None,
    ) -> tuple[EvaluationResult, Path]:
        """Write scores, experts, pictures and page, in place of those of an earlier evaluation.

        Args:
            analyse: analyses the experts; None, or None as its result, where there are none.
            draw_predictions: writes pictures of forecasts.

        Returns:
            The result and the folder.

        Raises:
            IncompleteEvaluationError: a forecaster or a part is missing; the rest is written.
        """
        self._attempt(
            "removal of an earlier evaluation's pictures",
            lambda: remove_earlier(self._folder, self._evaluated.windows.type_names),
        )
        if analyse is None:
            self.scores()
        else:
            self._missing[_EXPERTS] = "the evaluation was stopped before it"
            self.scores()
            self._evaluated = replace(self._evaluated, experts=self._attempt(_EXPERTS, analyse))
            self.scores()
        noted = len(self._missing)
        self.pictures()
        if draw_predictions is not None:
            self._attempt(f"{PREDICTION}_<type>.png", draw_predictions)
        if len(self._missing) > noted:
            self.scores()  # they say what is missing
        result = self._evaluated.result
        if self._missing or result.failed:
            raise IncompleteEvaluationError(result, self._folder, self._missing)
        return result, self._folder

    def scores(self) -> None:
        """Write ``evaluation_summary.txt`` and ``metrics.json``."""
        for name, render in ((SUMMARY_TEXT, self._summary), (METRICS_JSON, self._document)):
            self._attempt(name, partial(self._write, name, render))

    def pictures(self) -> None:
        """Draw the numbers, and write the interactive report; see `write_pictures`."""
        result, details = self._evaluated.result, dict(self._details)
        if result.absent_types:
            details["no windows of"] = ", ".join(result.absent_types)
        details |= {f"no scores of {name}": reason for name, reason in result.failed.items()}
        makers = self._attempt(
            "pictures and page", lambda: picture_makers(self._evaluated, self._folder, details)
        )
        for name, make in (makers or {}).items():
            self._attempt(name, make)

    def _summary(self) -> str:
        notes = {f"no {part}": reason for part, reason in self._missing.items()}
        return render_text(
            self._evaluated.result,
            title=f"Evaluation of {self._subject}",
            details={**self._details, **notes},
            experts=self._evaluated.experts,
        )

    def _document(self) -> str:
        experts = self._evaluated.experts
        content = {
            **self._details,
            "dataset": to_dict(self._experiment.dataset),
            **to_json(self._evaluated.result),
            "experts": None if experts is None else experts_to_json(experts),
            "missing": dict(self._missing),
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def _write(self, name: str, render: Callable[[], str]) -> None:
        write_text_atomic(self._folder / name, render())

    def _attempt(self, part: str, make: Callable[[], T]) -> T | None:
        self._missing.pop(part, None)  # a second attempt counts
        try:
            return make()
        except _EXPECTED as error:
            self._missing[part] = _in_words(error)
            return None


def write_pictures(evaluated: Evaluated, folder: Path, details: Mapping[str, str]) -> list[Path]:
    """Draw the numbers of an evaluation, and write the interactive report; returns the written files.

    ``metrics_comparison.png``, ``error_per_step.png``, ``trajectory_analysis_dashboard.png`` and
    ``report.html``; ``coverage_per_step.png`` and ``rank_histogram.png`` when a forecaster states intervals
    or a distribution; ``expert_specialisation.png`` and ``expert_worth.png`` for a model with experts.
    """
    made = [make() for make in picture_makers(evaluated, folder, details).values()]
    return [path for path in made if path is not None]


def picture_makers(
    evaluated: Evaluated, folder: Path, details: Mapping[str, str]
) -> dict[str, Callable[[], Path | None]]:
    """File name -> what writes it and returns its path, or None where there is nothing to show."""
    result, windows, experts = evaluated.result, evaluated.windows, evaluated.experts
    forecast = forecast_all(evaluated.forecasters[0], windows, REPORT_BATCH)
    errors = position_error(forecast.mean, windows.targets)
    figures: dict[str, Callable[[], Figure | None]] = {
        "metrics_comparison": lambda: plot_metrics_comparison(result),
        "error_per_step": lambda: plot_error_per_step(result),
        "coverage_per_step": lambda: plot_coverage_per_step(result),
        "rank_histogram": lambda: plot_rank_histograms(result),
        "trajectory_analysis_dashboard": lambda: plot_dashboard(result, windows, errors, experts),
    }
    if experts is not None:
        figures["expert_specialisation"] = lambda: plot_specialisation(experts)
        figures["expert_worth"] = lambda: plot_worth(experts)
    makers: dict[str, Callable[[], Path | None]] = {
        f"{name}.png": partial(_save, make, folder / f"{name}.png") for name, make in figures.items()
    }
    makers[REPORT] = lambda: write_evaluation_report(
        folder, evaluated.forecasters, result, windows, forecast, details=details, experts=experts
    )
    return makers


def _save(make: Callable[[], Figure | None], path: Path) -> Path | None:
    figure = make()
    return None if figure is None else save_figure(figure, path)


def _details(subject: Mapping[str, str], experiment: ExperimentConfig) -> dict[str, str]:
    """Head of all documents: subject, such as ``{"model": path}``, date and data."""
    dataset = experiment.dataset
    data = []
    if dataset.has_motions:
        data.append(
            f"test stream of seed {dataset.evaluation_seed}, {dataset.sampling_rate:g} Hz, "
            f"context noise {dataset.noise_text}"
        )
    details = {**subject, "evaluated": now()}
    if dataset.recordings is None:
        return {**details, "data": data[0]}
    facts = open_recordings(dataset).facts
    data.append(
        f"test part of recordings in {', '.join(dataset.paths)}, {1 / facts.step:.6g} Hz, "
        f"unit {facts.unit}, as measured"
    )
    details["data"] = "; ".join(data)
    return details | ({"recordings": "; ".join(facts.notes)} if facts.notes else {})


def _baselines(names: Sequence[str]) -> tuple[Forecaster, ...]:
    try:
        return make_baselines(names)
    except ValueError as error:
        raise ConfigError(f"--baselines: {error}") from error


def _evaluate(
    forecasters: Sequence[Forecaster],
    windows: EvaluationSet,
    experiment: ExperimentConfig,
    missing: dict[str, str],
    *,
    oracle: bool,
) -> Evaluated:
    """Score all; one that fails is noted in the result, oracles that fail in ``missing``."""
    reference = None
    if oracle:
        try:
            reference = _oracle_forecast(windows, experiment)
        except _EXPECTED as error:
            missing["oracles"] = _in_words(error)
    result = evaluate(
        forecasters,
        windows,
        batch_size=experiment.evaluation.batch_size,
        reference=reference,
        keep_going=True,
    )
    scored = tuple(each for each in forecasters if each.name not in result.failed)
    return Evaluated(scored, result, windows)


def _in_words(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None  # the rest names a temporary file
    return f"{type(error).__name__}: {reason or error}".splitlines()[0]


def _oracle_forecast(windows: EvaluationSet, experiment: ExperimentConfig) -> PathForecast:
    """Oracles' forecast of all windows, [N, H, 3]; NaN in windows of a type that has no oracle."""
    # Imported here: evaluations without oracles need none of their fitting code.
    from examples.trajectory_3d.oracles.forecast import forecast_with_oracles  # noqa: PLC0415

    known = forecast_with_oracles(windows, motion_options=experiment.dataset.motion_options)
    mean = np.full(windows.targets.shape, np.nan)
    mean[known.windows] = known.forecast.mean
    return PathForecast(mean)
