"""The books of a study while it runs: what is to be done, what the workers report, what is printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from examples.trajectory_3d.study.folder import Outcome, StudyFolder
from examples.trajectory_3d.study.plan import StudyPlan, Trial
from examples.trajectory_3d.study.referee import Referee

Print = Callable[[str], None]


class Board:
    """Keeps the state of all jobs, on disk and on the screen. Pools of workers report to it.

    Args:
        folder: of the study.
        plan: of the study.
        say: prints a line.
    """

    def __init__(self, folder: StudyFolder, plan: StudyPlan, say: Print) -> None:
        self.folder = folder
        self.plan = plan
        self.say = say
        self._trials = {trial.name: trial for trial in plan.trials}
        self._names = [job.name for job in plan.baselines] + list(self._trials)
        self._referee = None if plan.early_stop is None else Referee(plan, folder.decisions)
        self._began = time.perf_counter()
        self._ended = {name for name in self._names if self._is_done(name)}

    @property
    def total(self) -> int:
        """Number of jobs."""
        return len(self._names)

    @property
    def ended(self) -> int:
        """Number of jobs that need no more work."""
        return len(self._ended)

    def failed(self) -> list[str]:
        """Jobs whose last attempt failed."""
        outcomes = {name: self.folder.outcome(name) for name in self._names}
        return [name for name, outcome in outcomes.items() if outcome and outcome.status == "failed"]

    def open_jobs(self) -> list[str]:
        """Jobs that are not done, in the order of the plan. Failed ones get another chance."""
        for name in self._names:
            step = None if self._referee is None or name in self._ended else self._referee.stopped_at(name)
            if step is not None:  # decided before the study was killed
                self.conclude(_stopped(self._trials[name], step))
        return [name for name in self._names if name not in self._ended]

    def threads(self, name: str, share: int) -> int:
        """Threads of a job that may use ``share`` cores, those of its data workers taken off."""
        trial = self._trials.get(name)
        return share if trial is None else max(1, share - trial.experiment.dataset.num_workers)

    def judge(self, name: str, step: int, value: float) -> bool:
        """Take in an evaluation of a trial; whether it may go on."""
        training = self._trials[name].experiment.training
        total, metric = training.max_steps, training.best_metric
        # At the last step there is nothing left to stop.
        goes_on = self._referee is None or step >= total or self._referee.goes_on(name, step, value)
        verdict = "" if goes_on else ", stopped early"
        self.note(f"{name}: step {step} of {total}, {metric} {value:.4g}{verdict}")
        return goes_on

    def conclude(self, outcome: Outcome, restarts: int = 0) -> None:
        """Note the end of a job."""
        outcome = replace(outcome, restarts=restarts)
        self.folder.record(outcome)
        self._ended.add(outcome.name)
        reason = f": {outcome.reason}" if outcome.reason else ""
        self.note(f"{outcome.name}: {outcome.status}{reason} ({len(self._ended)} of {self.total})")

    def fail(self, name: str, reason: str, restarts: int) -> None:
        """Note that a job cannot be done; the others go on."""
        log = self.folder.log(name).relative_to(self.folder.path)
        self.conclude(Outcome(name=name, status="failed", reason=f"{reason}; log: {log}"), restarts)

    def note(self, text: str) -> None:
        """Print a line with the time since the start."""
        seconds = int(time.perf_counter() - self._began)
        self.say(f"[{seconds // 60:3d}:{seconds % 60:02d}] {text}")

    def _is_done(self, name: str) -> bool:
        outcome = self.folder.outcome(name)
        return outcome is not None and outcome.status != "failed"


def _stopped(trial: Trial, step: int) -> Outcome:
    from examples.trajectory_3d.study.trial_run import stopped_outcome  # noqa: PLC0415

    return stopped_outcome(trial, step)
