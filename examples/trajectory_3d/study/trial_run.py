"""One job of a study, done in this process: train, judge, measure. Going on where it was left is the rule."""

from __future__ import annotations

import shutil
import signal
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from examples.trajectory_3d.evaluation import ForecastError
from examples.trajectory_3d.evaluation_folder import METRICS_JSON
from examples.trajectory_3d.evaluation_run import (
    IncompleteEvaluationError,
    evaluate_baselines,
    evaluate_model,
)
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.run_folder import BEST_MODEL, TRAINING_STATE
from examples.trajectory_3d.study.costs import CostMeter
from examples.trajectory_3d.study.folder import Outcome, StudyFolder
from examples.trajectory_3d.study.plan import BaselineJob, Trial
from examples.trajectory_3d.trained_model import load_trained
from examples.trajectory_3d.training import train
from examples.trajectory_3d.windows import evaluation_windows
from m.checkpoint import CheckpointError
from m.config import ConfigError
from m.training import Callback, EvaluationRecord, NonFiniteLossError

Judge = Callable[[int, float], bool]
"""Told a step and the metric of its evaluation; whether the trial may go on."""

# What a second attempt would meet again.
LASTING_ERRORS = (ConfigError, CheckpointError, NonFiniteLossError, ForecastError, FileExistsError)

_WARM_UP, _TIMED = 3, 25  # forecasts
_PATIENCE_SECONDS = 10.0  # for all timed forecasts together


class InterruptedTrialError(RuntimeError):
    """A signal ended the training; it is saved, and goes on another time."""


class EvaluationWatch(Callback):
    """Tells a judge of every evaluation, and ends the training when it says so.

    Args:
        metric: name of the evaluation's metric to report.
        judge: decides.
    """

    def __init__(self, metric: str, judge: Judge) -> None:
        self._metric = metric
        self._judge = judge
        self.stopped_at: int | None = None

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Report; on a no, ask the loop to save and stop, in the way that it can be asked."""
        if not self._judge(record.step, record.metrics[self._metric]):
            self.stopped_at = record.step
            signal.raise_signal(signal.SIGTERM)


def run_job(folder: StudyFolder, name: str, *, device: str, threads: int, judge: Judge) -> Outcome:
    """Do a job of the study in ``folder``, or what is left of it.

    Args:
        folder: of the study.
        name: of a trial or of a baselines' job.
        device: kind of device.
        threads: of torch, in this process.
        judge: hears of a trial's evaluations.

    Raises:
        InterruptedTrialError: a signal ended the training.
        ConfigError, CheckpointError, NonFiniteLossError, ForecastError: the job cannot be done.
    """
    torch.set_num_threads(threads)
    job = folder.job(name)
    if isinstance(job, BaselineJob):
        return _judge_baselines(folder, job)
    return _run_trial(folder, job, torch.device(device), judge)


def _judge_baselines(folder: StudyFolder, job: BaselineJob) -> Outcome:
    output = folder.baselines(job.name)
    try:
        evaluate_baselines(job.experiment, baselines=job.baselines, output=output)
    except IncompleteEvaluationError as error:
        return _incomplete(job.name, output, 0, error)
    return Outcome(name=job.name, status="finished")


def _incomplete(name: str, output: Path, step: int, error: IncompleteEvaluationError) -> Outcome:
    """An evaluation without some picture is one; one without its scores is none."""
    if not error.result.forecasters or not (output / METRICS_JSON).exists():
        raise ForecastError(str(error)) from error
    return Outcome(name=name, status="finished", step=step, reason=str(error))


def _run_trial(folder: StudyFolder, trial: Trial, device: torch.device, judge: Judge) -> Outcome:
    run, experiment = folder.run(trial.name), trial.experiment
    resume = (run / TRAINING_STATE).exists()
    if not resume and run.exists():
        shutil.rmtree(run)  # killed before its first state was saved: nothing in it can be gone on with
    watch = EvaluationWatch(experiment.training.best_metric, judge)
    try:
        result = train(experiment, run, device=device, resume=resume, callbacks=(CostMeter(run), watch))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; or remove {run}, and the trial begins anew") from error
    if result.status != "finished":
        if watch.stopped_at is None:
            raise InterruptedTrialError(f"{trial.name}: stopped at step {result.step}")
        return stopped_outcome(trial, watch.stopped_at)
    best = run / BEST_MODEL
    if not best.exists():
        raise ForecastError(f"no validation gave a {experiment.training.best_metric}, so there is no model")
    outcome = Outcome(name=trial.name, status="finished", step=result.step)
    try:
        # Without the analysis of experts, which a study shows nothing of: it forecasts the test windows once
        # for each of them. trajectory-3d-eval makes it for the runs that deserve it.
        evaluate_model(best, experiment, device=device, experts=False)
    except IncompleteEvaluationError as error:
        if any(failed.endswith(trial.name) for failed in error.result.failed):
            raise ForecastError(str(error)) from error
        outcome = _incomplete(trial.name, error.folder, result.step, error)
    milliseconds = milliseconds_per_forecast(best, trial, device)
    return Outcome(**{**vars(outcome), "milliseconds_per_forecast": round(milliseconds, 3)})


def stopped_outcome(trial: Trial, step: int) -> Outcome:
    """Of a trial that the scheduler stopped at a step."""
    total = trial.experiment.training.max_steps
    return Outcome(
        name=trial.name,
        status="stopped early",
        step=step,
        reason=f"successive halving stopped it at step {step} of {total}",
    )


def milliseconds_per_forecast(path: Path, trial: Trial, device: torch.device) -> float:
    """Median time of a forecast of one path, horizon and context as in the test, without sampling."""
    forecaster = ModelForecaster(load_trained(path, device=device).model, trial.name)
    dataset = trial.experiment.dataset
    context = evaluation_windows(dataset, "test", 1).context
    for _ in range(_WARM_UP):
        forecaster.forecast(context, dataset.prediction_length)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _TIMED and (not times or time.perf_counter() - began < _PATIENCE_SECONDS):
        start = time.perf_counter()
        forecaster.forecast(context, dataset.prediction_length)  # its numbers are on the CPU when it returns
        times.append(time.perf_counter() - start)
    return 1000.0 * statistics.median(times)
