"""Early stopping: Optuna's successive halving decides which trials go on, and its decisions are kept.

Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020 (asynchronous successive
halving), as Optuna's ``SuccessiveHalvingPruner`` implements it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.trajectory_3d.study.plan import StudyPlan, Trial
from m.config import ConfigError
from m.training import read_jsonl

if TYPE_CHECKING:
    import optuna


class Referee:
    """Decides at every evaluation whether a trial goes on.

    Trials compete with those of the same test windows, metric and number of steps. What was reported and
    decided is appended to a file, and told to Optuna again when a study goes on: it then stands where it
    stood, and a report that a resumed trial repeats gets the answer that it had.

    Args:
        plan: of the study.
        log: file of decisions; need not exist.

    Raises:
        ConfigError: Optuna is not installed, or the log is not one of this study.
    """

    def __init__(self, plan: StudyPlan, log: Path) -> None:
        self._log = log
        self._trials: dict[str, optuna.Trial] = {}
        self._stopped: dict[str, int] = {}
        self._decisions: dict[tuple[str, int], bool] = {}
        if plan.early_stop is None:
            raise ValueError("this plan stops nothing early")
        for members in _rivals(plan.trials):
            study = _open_study(members, plan.early_stop)
            self._trials |= {trial.name: study.ask() for trial in members}
        for line in read_jsonl(log):
            self._replay(line)
        self._settle_log()

    def goes_on(self, name: str, step: int, value: float) -> bool:
        """Whether a trial goes on after an evaluation; the same answer for the same step, always."""
        known = self._decisions.get((name, step))
        if known is not None:
            return known
        decision = self._decide(name, step, value)
        line = json.dumps({"trial": name, "step": step, "value": value, "goes_on": decision})
        with self._log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        return decision

    def stopped_at(self, name: str) -> int | None:
        """The step at which a trial was stopped; None when it was not."""
        return self._stopped.get(name)

    def _decide(self, name: str, step: int, value: float) -> bool:
        trial = self._trials[name]
        trial.report(value, step)
        goes_on = not trial.should_prune()
        self._decisions[name, step] = goes_on
        if not goes_on:
            self._stopped[name] = step
        return goes_on

    def _replay(self, line: dict[str, Any]) -> None:
        name = line.get("trial")
        if name not in self._trials:
            raise ConfigError(f"{self._log}: no trial '{name}' in this study; delete the file to decide anew")
        if self._decide(name, line["step"], line["value"]) != line["goes_on"]:  # another version of Optuna
            self._decisions[name, line["step"]] = line["goes_on"]
            self._stopped.pop(name, None)
            if not line["goes_on"]:
                self._stopped[name] = line["step"]

    def _settle_log(self) -> None:
        """Remove a last line that a killed process left unfinished, so that the next one stands alone."""
        if self._log.exists():
            text = self._log.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                self._log.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")


def _rivals(trials: Sequence[Trial]) -> list[list[Trial]]:
    groups: dict[tuple[Any, ...], list[Trial]] = {}
    for trial in trials:
        training = trial.experiment.training
        key = (trial.data, training.best_metric, training.best_mode, training.max_steps)
        groups.setdefault(key, []).append(trial)
    return list(groups.values())


def import_optuna() -> Any:
    """Optuna, which is an extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "--early-stop needs Optuna, which is not installed; install the extra: pip install "
            "'m-trajectory[tune]'"
        ) from None
    return optuna


def _open_study(members: Sequence[Trial], factor: int) -> optuna.Study:
    module = import_optuna()
    module.logging.set_verbosity(module.logging.WARNING)
    first = min(trial.experiment.training.eval_interval for trial in members)
    mode = members[0].experiment.training.best_mode
    study: optuna.Study = module.create_study(
        direction="minimize" if mode == "min" else "maximize",
        pruner=module.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor),
    )
    return study
