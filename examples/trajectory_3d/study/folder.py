"""The folder of a study: its plan on disk, what became of each job, and that only one process works in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

from examples.trajectory_3d.run_folder import config_hash, environment, now
from examples.trajectory_3d.study.plan import (
    BaselineJob,
    StudyPlan,
    Trial,
    baselines_from_json,
    trial_from_json,
)
from m.checkpoint.atomic import write_text_atomic
from m.config import ConfigError

if sys.platform != "win32":  # there two studies in one folder are not kept apart
    import fcntl

STUDY = "study.json"
LOCK = "study.lock"
RUNS = "runs"
BASELINES = "baselines"
OUTCOMES = "outcomes"
LOGS = "logs"
DECISIONS = "early_stopping.jsonl"
STUDY_FORMAT = "trajectory_3d.study"
STUDY_VERSION = 1
_SHOWN_DIFFERENCES = 6

Status: TypeAlias = Literal["finished", "stopped early", "failed"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job.

    Attributes:
        name: of the job.
        status: how it ended; "stopped early" by the scheduler, with its checkpoints in place.
        reason: of a failure or an early stop; what is incomplete of one that finished; else empty.
        step: optimizer steps done; 0 for baselines.
        restarts: how often its worker died and was started again, in the session that ended it.
        milliseconds_per_forecast: median time of one forecast of one path, after training.
    """

    name: str
    status: Status
    reason: str = ""
    step: int = 0
    restarts: int = 0
    milliseconds_per_forecast: float | None = None


class StudyFolder:
    """Where a study lies.

    Args:
        path: of the folder; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def study(self) -> Path:
        """The plan's file."""
        return self.path / STUDY

    @property
    def decisions(self) -> Path:
        """Log of what the early-stopping scheduler was told and decided."""
        return self.path / DECISIONS

    def run(self, name: str) -> Path:
        """Run folder of a trial, as ``trajectory-3d-train`` makes them."""
        return self.path / RUNS / name

    def baselines(self, name: str) -> Path:
        """Evaluation folder of classical forecasters."""
        return self.path / BASELINES / name

    def log(self, name: str) -> Path:
        """What a job's worker printed."""
        return self.path / LOGS / f"{name}.log"

    def begin(self, plan: StudyPlan, threads: int) -> bool:
        """Write the plan down, or find it there.

        Args:
            plan: of this call.
            threads: of each trial; those of the study's first call count, since sums differ in their last
                bits by the number of threads.

        Returns:
            Whether the study is gone on with.

        Raises:
            ConfigError: the folder holds another study, or something else.
        """
        content = json.loads(json.dumps(plan.to_json()))
        if self.study.exists():
            saved = self.read()
            if saved["plan"] == content:
                return True
            if not self._is_untouched():
                raise ConfigError(self._refusal(saved, content))
            self.study.unlink()  # nothing was done by the earlier plan: there is nothing to protect
        else:
            self._refuse_foreign_content()
        document = {
            "format": STUDY_FORMAT,
            "version": STUDY_VERSION,
            "plan_hash": config_hash(content),
            "created": now(),
            "threads_per_trial": threads,
            "environment": environment(),
            "plan": content,
        }
        write_text_atomic(self.study, json.dumps(document, indent=1) + "\n")
        return False

    def read(self) -> dict[str, Any]:
        """The study's document.

        Raises:
            ConfigError: there is none, or it is damaged.
        """
        try:
            content = json.loads(self.study.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self.study} cannot be read ({error}); put it back, or choose another --name"
            ) from error
        if not isinstance(content, dict) or content.get("format") != STUDY_FORMAT:
            raise ConfigError(f"{self.study} is no study's plan; choose another --name")
        if content.get("version") != STUDY_VERSION:
            raise ConfigError(
                f"{self.study} has version {content.get('version')}, this program reads {STUDY_VERSION}"
            )
        return content

    def job(self, name: str) -> Trial | BaselineJob:
        """A job of the plan on disk.

        Raises:
            ConfigError: there is none of this name.
        """
        plan = self.read()["plan"]
        for content in plan["trials"]:
            if content["name"] == name:
                return trial_from_json(content, str(self.study))
        for content in plan["baselines"]:
            if content["name"] == name:
                return baselines_from_json(content, str(self.study))
        raise ConfigError(f"{self.study} has no trial '{name}'")

    def outcome(self, name: str) -> Outcome | None:
        """What became of a job; None while it has not ended."""
        path = self.path / OUTCOMES / f"{name}.json"
        if not path.exists():
            return None
        try:
            return Outcome(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{path} cannot be read ({error}); delete it, and the trial goes on from its checkpoint"
            ) from error

    def record(self, outcome: Outcome) -> None:
        """Note what became of a job."""
        text = json.dumps(asdict(outcome), indent=1) + "\n"
        write_text_atomic(self.path / OUTCOMES / f"{outcome.name}.json", text)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside the block no other process may work on this study.

        Raises:
            ConfigError: one does, or the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / LOCK).open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"the study cannot be written to {self.path} ({error.strerror})") from error
        with lock:
            _lock(lock, self.path)
            yield

    def _refuse_foreign_content(self) -> None:
        held = sorted(p.name for p in self.path.iterdir() if p.name != LOCK) if self.path.exists() else []
        if held:
            raise ConfigError(
                f"{self.path} holds {', '.join(held[:3])} but no {STUDY}, so it is no study; "
                "choose another --name"
            )

    def _is_untouched(self) -> bool:
        """Whether no job of the plan here has left anything behind."""
        folders = (self.path / name for name in (RUNS, BASELINES, OUTCOMES))
        return not any(folder.exists() and any(folder.iterdir()) for folder in folders)

    def _refusal(self, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
        found = list(differences(saved["plan"], wanted))
        more = f"; and {len(found) - _SHOWN_DIFFERENCES} more" if len(found) > _SHOWN_DIFFERENCES else ""
        return (
            f"{self.path} holds another study (begun {saved.get('created')}); this one differs: "
            f"{'; '.join(found[:_SHOWN_DIFFERENCES])}{more}. Repeat the command it was begun with to go on "
            f"({saved['environment']['command']}), begin this one beside it with --name NAME, or remove the "
            "folder"
        )


def _lock(file: IO[str], path: Path) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"another process is working on the study in {path}; wait for it, or choose another --name"
        ) from None
    except OSError:  # a file system without locks
        return


def differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """In words, how one plan differs from another."""
    for key in ("device", "early_stop", "max_steps"):
        if saved.get(key) != wanted[key]:
            yield f"{key} {saved.get(key)} -> {wanted[key]}"
    for kind in ("trials", "baselines"):
        old, new = ({entry["name"]: entry for entry in plan[kind]} for plan in (saved, wanted))
        for name in [name for name in old if name not in new]:
            yield f"without {name}"
        for name in [name for name in new if name not in old]:
            yield f"with {name}"
        for name in [name for name in old if name in new]:
            yield from (f"{name}: {change}" for change in _changes(old[name], new[name]))


def _changes(saved: Any, wanted: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(saved, dict) and isinstance(wanted, dict):
        for key in {**saved, **wanted}:
            yield from _changes(saved.get(key), wanted.get(key), f"{prefix}.{key}" if prefix else key)
    elif saved != wanted:
        yield f"{prefix.removeprefix('experiment.')} {saved} -> {wanted}"
