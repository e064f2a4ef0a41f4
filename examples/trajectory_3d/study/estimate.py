"""What a study will cost, before it starts: from the configurations and a look at the machine."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Sequence

import torch

from examples.trajectory_3d.study.plan import Trial
from examples.trajectory_3d.study.work import BACKWARD_FACTOR, disk_bytes, training_flops, training_windows
from m.moe import model_size

# Of the speed of one large matrix product, what a whole training step reaches, optimizer and data included:
# between a third and three times this in the shipped configurations.
_REACHED = 0.3
_PROBE_SIZE, _PROBE_SECONDS = 512, 0.15
_PICTURE_SECONDS = 20.0  # of every trial
_TEST_PASSES, _VALIDATION_PASSES = 3, 3  # forecasts of every test, or validation, window
_LONG_HOURS = 1.0
_WIDTH = 100


def estimate_lines(trials: Sequence[Trial], threads: int, parallel: int | None) -> list[str]:
    """In words, what the trials will cost here; empty when there are none.

    Args:
        trials: that are still to be trained.
        threads: of each.
        parallel: at once; None when that is for a cluster to decide.
    """
    if not trials:
        return []
    speed = _REACHED * _matmul_speed(threads)
    hours = [_hours(trial, speed) for trial in trials]
    width = max(len(trial.name) for trial in trials)
    at_once = "as many as there is room for" if parallel is None else f"{parallel} at once"
    lines = [f"{len(trials)} trials to train, {at_once} with {threads} threads each:"]
    for trial, each in zip(trials, hours, strict=True):
        size, training = model_size(trial.experiment.model), trial.experiment.training
        active, whole = size.active_parameters / 1e6, size.total_parameters / 1e6
        lines.append(
            f"  {trial.name:{width}}  {active:.2f} of {whole:.2f} M parameters active, "
            f"{training.max_steps} steps of "
            f"{training.batch_size * training.accumulation_steps} windows, about {_duration(each)}"
        )
    lanes = min(parallel or 1, len(trials))
    total, order = sum(hours) / lanes, " one after the other" if parallel is None else ""
    operations, files = sum(map(training_flops, trials)), sum(map(disk_bytes, trials))
    closing = [
        f"Together {operations / 1e12:.3g} TFLOP of training, {files / 1e9:.2g} GB of disk or more, and "
        f"about {_duration(total)}{order}, judged by a matrix product on this machine's CPU; it may be three "
        "times less or more. Ctrl-C saves; the same command goes on."
    ]
    if total > _LONG_HOURS:
        longest = max(trials, key=training_flops)
        closing.append(_advice(longest, speed, len(trials) / lanes))
    return lines + [line for text in closing for line in textwrap.wrap(text, _WIDTH)]


def _hours(trial: Trial, speed: float) -> float:
    """Time of a trial's training, validations, test and pictures."""
    judged = trial.experiment.evaluation
    validations = -(-trial.experiment.training.max_steps // trial.experiment.training.eval_interval)
    windows = (
        _TEST_PASSES * judged.test_windows + _VALIDATION_PASSES * validations * judged.validation_windows
    )
    per_window = training_flops(trial, 1) / training_windows(trial, 1) / BACKWARD_FACTOR
    return ((training_flops(trial) + windows * per_window) / speed + _PICTURE_SECONDS) / 3600.0


def _advice(trial: Trial, speed: float, rounds: float) -> str:
    """How --max-steps would change a long study."""
    per_step = training_flops(trial, 1) / speed
    steps = max(10, min(trial.experiment.training.max_steps, int(1800.0 / max(1.0, rounds) / per_step)))
    steps = round(steps, 1 - len(str(steps)))  # one digit that counts
    return (
        f"A try-out is shorter: with --max-steps {steps} the longest, {trial.name}, trains for about "
        f"{_duration(steps * per_step / 3600.0)}; fewer evaluation.test_windows and "
        "evaluation.validation_windows shorten its judgement. Give it another --name."
    )


def _matmul_speed(threads: int) -> float:
    """Operations per second of a matrix product of 512 by 512, fp32, on the CPU.

    The fastest of several: other work delays most of them, and the study will not always share the machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        factor = torch.ones(_PROBE_SIZE, _PROBE_SIZE)
        fastest, until = math.inf, time.perf_counter() + _PROBE_SECONDS
        while fastest == math.inf or time.perf_counter() < until:
            began = time.perf_counter()
            factor @ factor
            fastest = min(fastest, time.perf_counter() - began)
        return 2.0 * _PROBE_SIZE**3 / fastest if fastest > 0 else 1e10
    finally:
        torch.set_num_threads(before)


def _duration(hours: float) -> str:
    minutes = hours * 60.0
    if minutes < 90:
        return f"{max(1, round(minutes))} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
