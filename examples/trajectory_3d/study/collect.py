"""What the run folders of a study hold, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.trajectory_3d.evaluation_folder import METRICS_JSON
from examples.trajectory_3d.run_folder import EVALUATION, LOG, SUMMARY
from examples.trajectory_3d.study.costs import read_costs
from examples.trajectory_3d.study.folder import Outcome, StudyFolder
from examples.trajectory_3d.study.plan import BaselineJob, Trial
from m.config import ConfigError, read_yaml
from m.training import read_jsonl

UNFINISHED = "unfinished"


@dataclass(frozen=True)
class TrialResult:
    """A trial and what came of it so far.

    Attributes:
        trial: as planned.
        outcome: None while it has not ended.
        summary: content of its training summary; empty before it began.
        groups: scores on the test windows by motion type, as in ``metrics.json``; None without.
        validations: step, metrics and elapsed seconds of every validation, in order.
        costs: of its sessions, see `study.costs`.
    """

    trial: Trial
    outcome: Outcome | None
    summary: Mapping[str, Any]
    groups: Mapping[str, Any] | None
    validations: tuple[Mapping[str, Any], ...]
    costs: tuple[Mapping[str, Any], ...]

    @property
    def status(self) -> str:
        """How it ended, or `UNFINISHED`."""
        return UNFINISHED if self.outcome is None else self.outcome.status

    @property
    def step(self) -> int:
        """Optimizer steps done, as far as is known."""
        if self.outcome is not None and self.outcome.step:
            return self.outcome.step
        return int(self.summary.get("step", 0))


def read_trial(folder: StudyFolder, trial: Trial) -> TrialResult:
    """Read what there is of a trial; only one that has ended has scores.

    Raises:
        ConfigError: a file is damaged; names it.
    """
    run, outcome = folder.run(trial.name), folder.outcome(trial.name)
    finished = outcome is not None and outcome.status == "finished"
    summary = run / SUMMARY
    try:
        lines = read_jsonl(run / LOG)
        costs = read_costs(run)
    except ValueError as error:
        raise ConfigError(f"{run}: {error}") from error
    return TrialResult(
        trial=trial,
        outcome=outcome,
        summary=read_yaml(summary) if summary.exists() else {},
        groups=_scores(run / EVALUATION / METRICS_JSON)["forecasters"][0]["groups"] if finished else None,
        validations=tuple(line for line in lines if line["event"] == "evaluation"),
        costs=tuple(costs),
    )


def read_baselines(folder: StudyFolder, job: BaselineJob) -> list[dict[str, Any]]:
    """Scores of the classical forecasters, as in ``metrics.json``; empty before they were judged.

    Raises:
        ConfigError: the file is damaged; names it.
    """
    outcome = folder.outcome(job.name)
    if outcome is None or outcome.status != "finished":
        return []
    found: list[dict[str, Any]] = _scores(folder.baselines(job.name) / METRICS_JSON)["forecasters"]
    return found


def _scores(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); delete the trial's file in outcomes/, and it is judged again"
        ) from error
    return content
