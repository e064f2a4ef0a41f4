"""What is known of a trained model from the files around it, without torch and without its weights."""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from examples.trajectory_3d import run_folder
from examples.trajectory_3d.checkpoint_check import checkpoint_problem, safetensors_problem
from examples.trajectory_3d.model_discovery import RELEASE_CARD, RELEASE_WEIGHTS
from examples.trajectory_3d.plain_files import count_at, mapping_at, number_at, read_mapping, text_at
from examples.trajectory_3d.process_identity import is_alive

Kind = Literal["run", "release", "checkpoint"]

RELEASE_CONFIG = "config.json"
CHECKPOINTS = (run_folder.BEST_MODEL, run_folder.FINAL_MODEL, run_folder.TRAINING_STATE)
STATUSES = ("running", "finished", "interrupted", "failed", "exported", "checkpoint", "unknown")
BROKEN = ("corrupt", "foreign")
FRESH_SECONDS = 600.0  # a running run of another host is believed this long after its last sign of life
_ENDED = ("finished", "interrupted", "failed")


@dataclass(frozen=True)
class RunInfo:
    """A run, an exported model, or a lone checkpoint.

    Attributes:
        path: run's or release's folder, or the checkpoint.
        kind: which of the three.
        name: of the run; of a release that of its card, else of its folder; of a checkpoint its file's.
        status: one of `STATUSES`, or one of `BROKEN` when its model file, or all about it, is.
        problems: what is wrong with its files, one text each.
        modified: when its newest file was written, seconds since 1970.
        size_bytes: of all its files.
        step, max_steps: optimizer steps made and planned.
        metric: which validation number chose the best model.
        best: its best value, which may be NaN.
        best_step: where it was reached.
        error: mean distance of the test forecasts in metres, when evaluated.
        gn: test figure of `skill`, when evaluated.
        model: configuration of the architecture.
        total_parameters, active_parameters: learned numbers, and those that one token uses.
        summary, config, evaluation, card: contents of the files, empty when missing or broken.
    """

    path: Path
    kind: Kind
    name: str
    status: str
    problems: tuple[str, ...] = ()
    modified: float = 0.0
    size_bytes: int = 0
    step: int | None = None
    max_steps: int | None = None
    metric: str | None = None
    best: float | None = None
    best_step: int | None = None
    error: float | None = None
    gn: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    total_parameters: int | None = None
    active_parameters: int | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """Short text such as ``4x256, 8 experts top-2``; empty when unknown."""
        layers, dim = count_at(self.model, "n_layers"), count_at(self.model, "dim")
        if layers is None or dim is None:
            return ""
        experts, top = count_at(self.model, "router", "n_experts"), count_at(self.model, "router", "top_k")
        if experts is None or top is None:
            return f"{layers}x{dim}"
        if text_at(self.model, "router", "kind") == "dense":
            return f"{layers}x{dim}, dense"
        return f"{layers}x{dim}, {experts} experts top-{top}"

    @property
    def model_file(self) -> Path | None:
        """What would be loaded: the best model, else the final one; None when there is none."""
        if self.kind == "checkpoint":
            return self.path
        names = (RELEASE_WEIGHTS,) if self.kind == "release" else CHECKPOINTS[:2]
        return next((self.path / name for name in names if (self.path / name).is_file()), None)


def read_run(folder: Path) -> RunInfo:
    """What a run's folder says of it. Broken files are named in ``problems``."""
    summary, summary_problem = read_mapping(folder / run_folder.SUMMARY)
    config, config_problem = read_mapping(folder / run_folder.CONFIG)
    evaluation, evaluation_problem = read_mapping(folder / run_folder.EVALUATION / "metrics.json")
    size, modified = folder_size(folder)
    weights = [_named(folder / name, checkpoint_problem) for name in CHECKPOINTS]
    problems = tuple(
        each for each in (summary_problem, config_problem, evaluation_problem, *weights) if each is not None
    )
    metric = text_at(config, "training", "best_metric")
    status = "corrupt" if summary_problem else run_status(summary, _last_sign(folder))
    if weights[0] is not None or (weights[1] is not None and not (folder / CHECKPOINTS[0]).exists()):
        status = "foreign" if ": foreign" in str(weights[0] or weights[1]) else "corrupt"
    return RunInfo(
        path=folder,
        kind="run",
        name=folder.name,
        status=status,
        problems=problems,
        modified=modified,
        size_bytes=size,
        step=count_at(summary, "step"),
        max_steps=count_at(summary, "max_steps"),
        metric=metric,
        best=number_at(summary, "best_validation", "metrics", metric) if metric else None,
        best_step=count_at(summary, "best_validation", "step"),
        **_tested(evaluation),
        **_architecture(mapping_at(summary, "model") or mapping_at(config, "model")),
        summary=summary,
        config=config,
        evaluation=evaluation,
    )


def read_release(folder: Path) -> RunInfo:
    """What an exported model's folder says of it."""
    content, config_problem = read_mapping(folder / RELEASE_CONFIG)
    card, card_problem = read_mapping(folder / RELEASE_CARD)
    weights = _named(folder / RELEASE_WEIGHTS, safetensors_problem)
    size, modified = folder_size(folder)
    if not content and config_problem is None:
        config_problem = f"{RELEASE_CONFIG}: foreign: missing or empty, so the weights are of another program"
    elif content and not mapping_at(content, "model_config"):
        config_problem = f"{RELEASE_CONFIG}: foreign: describes no model of this package"
    problems = tuple(each for each in (config_problem, card_problem, weights) if each is not None)
    broken = weights or config_problem
    evaluation = mapping_at(card, "evaluation")
    forecasters = evaluation.get("forecasters")
    first = forecasters[0] if isinstance(forecasters, list) and forecasters else None
    return RunInfo(
        path=folder,
        kind="release",
        name=text_at(content, "metadata", "name") or text_at(first, "name") or folder.name,
        status="exported" if broken is None else "foreign" if "foreign" in broken else "corrupt",
        problems=problems,
        modified=modified,
        size_bytes=size,
        **_tested(evaluation),
        **_architecture(mapping_at(content, "model_config")),
        config=content,
        evaluation=evaluation,
        card=card,
    )


def read_checkpoint(path: Path) -> RunInfo:
    """What can be told of a checkpoint that lies outside a run's folder."""
    problem = checkpoint_problem(path)
    try:
        found = path.stat()
        size, modified = found.st_size, found.st_mtime
    except OSError:
        size, modified = 0, 0.0
    return RunInfo(
        path=path,
        kind="checkpoint",
        name=path.name,
        status="checkpoint" if problem is None else problem.partition(":")[0],
        problems=() if problem is None else (f"{path.name}: {problem}",),
        modified=modified,
        size_bytes=size,
    )


def run_status(summary: Mapping[str, Any], last_sign: float) -> str:
    """How a run stands. One that says ``running`` is only believed while that can be so.

    Args:
        summary: content of the run's summary.
        last_sign: when the run last wrote into its log or summary, seconds since 1970.
    """
    said = text_at(summary, "status")
    if said in _ENDED:
        return str(said)
    if said != "running":
        return "unknown"
    alive = is_alive(mapping_at(summary, "process"))
    if alive is None:  # another host: as long as it writes
        alive = time.time() - last_sign < FRESH_SECONDS
    return "running" if alive else "interrupted"


def folder_size(folder: Path) -> tuple[int, float]:
    """Bytes of all files below a folder, links not followed, and when the newest was written."""
    total, newest, pending = 0, 0.0, [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                        continue
                    found = entry.stat(follow_symlinks=False)
                    total, newest = total + found.st_size, max(newest, found.st_mtime)
        except OSError:
            continue  # unreadable, or just removed
    return total, newest


def when_of(info: RunInfo) -> datetime.datetime:
    """Local time of the newest file."""
    try:
        return datetime.datetime.fromtimestamp(info.modified).astimezone()
    except (ValueError, OverflowError, OSError):
        return datetime.datetime.fromtimestamp(0).astimezone()


def _last_sign(folder: Path) -> float:
    times = [0.0]
    for name in (run_folder.SUMMARY, run_folder.LOG):
        try:
            times.append((folder / name).stat().st_mtime)
        except OSError:
            continue
    return max(times)


def _named(path: Path, check: Any) -> str | None:
    """What is wrong with a file if it is there, with its name before it."""
    if not os.path.lexists(path):
        return None
    problem = check(path) if path.is_file() else "corrupt: no file"
    return None if problem is None else f"{path.name}: {problem}"


def _tested(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the first forecaster that is no baseline, over all windows."""
    forecasters = evaluation.get("forecasters")
    models = [
        each
        for each in (forecasters if isinstance(forecasters, list) else [])
        if isinstance(each, dict) and each.get("is_baseline") is False
    ]
    mixed = mapping_at(models[0], "groups", "mixed") if models else {}
    return {"error": number_at(mixed, "metrics", "position_error"), "gn": number_at(mixed, "gn")}


def _architecture(model: dict[str, Any]) -> dict[str, Any]:
    from examples.trajectory_3d.model_layers import parameter_totals  # noqa: PLC0415

    total, active = count_at(model, "total_parameters"), count_at(model, "active_parameters")
    if (total is None or active is None) and model:
        total, active = parameter_totals(model)
    return {"model": model, "total_parameters": total, "active_parameters": active}


def finite(value: float | None) -> float | None:
    """The value where it is a number that JSON can hold."""
    return value if value is not None and math.isfinite(value) else None
