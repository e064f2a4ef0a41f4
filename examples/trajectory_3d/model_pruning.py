"""Removing runs, or what only a resume needs, from the outputs folder."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from examples.trajectory_3d import run_folder
from examples.trajectory_3d.run_metadata import CHECKPOINTS, RunInfo, folder_size, read_run
from m.config import ConfigError

What = Literal["run", "states", "visualizations"]

_REMOVABLE = ("finished", "interrupted", "failed", "unknown")
_FILES = (*CHECKPOINTS, run_folder.CONFIG, run_folder.LOG, run_folder.PROGRESS_PICTURE, run_folder.SUMMARY)
_FOLDERS = (run_folder.PICTURES, run_folder.TENSORBOARD, run_folder.EVALUATION)
_AGE = re.compile(r"(\d{1,6})([hdw])")
_HOUR = 3600.0
_SECONDS = {"h": _HOUR, "d": 24 * _HOUR, "w": 7 * 24 * _HOUR}


@dataclass(frozen=True)
class Removal:
    """What is to go of one run.

    Attributes:
        info: the run.
        paths: files and folders directly in its folder.
        size_bytes: of them all.
    """

    info: RunInfo
    paths: tuple[Path, ...]
    size_bytes: int


def seconds_of(text: str) -> float:
    """Seconds of an age such as ``12h``, ``30d`` or ``2w``.

    Raises:
        ConfigError: the text is none.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"--older-than takes an age such as 12h, 30d or 2w, got '{text}'")
    return int(match[1]) * _SECONDS[match[2]]


def chosen(
    infos: Sequence[RunInfo],
    *,
    statuses: Sequence[str] = (),
    older_than: float | None = None,
    keep: int = 0,
    rank: Callable[[RunInfo], float] = lambda info: -info.modified,
) -> list[RunInfo]:
    """The runs that all conditions choose; running, broken and other models are never among them.

    Args:
        infos: to choose from.
        statuses: only of these, any when empty.
        older_than: seconds since the last file was written.
        keep: so many of ``infos`` are kept whatever else is said, smallest ``rank`` first.
        rank: what counts for ``keep``.
    """
    removable = [info for info in infos if info.kind == "run" and info.status in _REMOVABLE]
    kept = {info.path for info in sorted(removable, key=rank)[:keep]}
    latest = time.time() - (older_than or 0.0)
    return [
        info
        for info in removable
        if info.path not in kept
        and (not statuses or info.status in statuses)
        and (older_than is None or info.modified < latest)
    ]


def plan(infos: Sequence[RunInfo], roots: Sequence[Path], what: What) -> list[Removal]:
    """What is to be removed; runs of which nothing is are left out.

    Files that a run does not write, links, and folders outside the roots are never in it.
    """
    removals = []
    for info in infos:
        if not _inside(info.path, roots):
            continue
        paths = tuple(path for path in _candidates(info.path, what) if _is_own(path))
        if paths:
            removals.append(Removal(info, paths, sum(_size(path) for path in paths)))
    return removals


def remove(removal: Removal) -> list[str]:
    """Remove what was planned, and the run's folder when nothing is left in it.

    Returns:
        Why something could not be removed, one text each.
    """
    folder = removal.info.path
    if read_run(folder).status not in _REMOVABLE:
        return [f"{folder}: is running now, left alone"]
    problems = []
    for path in removal.paths:
        try:
            if path.is_symlink():
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}")
    try:
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        problems.append(f"{folder}: {error.strerror or error}")
    return problems


def _candidates(folder: Path, what: What) -> list[Path]:
    if what == "states":
        return [folder / run_folder.TRAINING_STATE]
    if what == "visualizations":
        return [folder / run_folder.PICTURES]
    others = sorted(folder.glob(f"{run_folder.EVALUATION}_*"))
    return [*(folder / name for name in (*_FILES, *_FOLDERS)), *others]


def _is_own(path: Path) -> bool:
    return os.path.lexists(path) and not path.is_symlink()


def _inside(folder: Path, roots: Sequence[Path]) -> bool:
    """Whether the folder really lies below a root; a root itself does not."""
    real = folder.resolve()
    return any(root.resolve() in real.parents for root in roots) and not folder.is_symlink()


def _size(path: Path) -> int:
    return folder_size(path)[0] if path.is_dir() else path.stat().st_size
