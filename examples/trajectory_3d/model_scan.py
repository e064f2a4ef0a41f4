"""All runs, exports and lone checkpoints below some folders, and the one that a name means."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from examples.trajectory_3d import run_folder
from examples.trajectory_3d.model_discovery import RELEASE_WEIGHTS, ModelNotFoundError
from examples.trajectory_3d.run_metadata import (
    CHECKPOINTS,
    RunInfo,
    read_checkpoint,
    read_release,
    read_run,
)

_OF_RUNS = frozenset({run_folder.SUMMARY, run_folder.LOG, *CHECKPOINTS})
_NO_RUNS_BELOW = frozenset({run_folder.PICTURES, run_folder.TENSORBOARD, run_folder.EVALUATION})
_SHIPPED = "trajectory-3d"
HOW_TO_TRAIN = "train one: trajectory-3d-train examples/trajectory_3d/configs/quick_test_3d.yaml"


def scan(roots: Sequence[Path]) -> list[RunInfo]:
    """Everything below the roots, newest first. Links are not followed; unreadable folders are left out."""
    found: dict[str, RunInfo] = {}
    for root in roots:
        pending = [root]
        while pending:
            infos, below = _read_folder(pending.pop())
            pending += below
            found |= {os.path.realpath(info.path): info for info in infos}
    return sorted(found.values(), key=lambda info: (-info.modified, str(info.path)))


def no_models(roots: Sequence[Path]) -> str:
    """What to say where nothing was found."""
    return f"no trained model below {', '.join(map(str, roots))}; {HOW_TO_TRAIN}"


def find(name: str | None, roots: Sequence[Path]) -> RunInfo:
    """The model that a user means.

    Args:
        name: a run's name, a path below a root, any path, or the name of a shipped model; None for the
            newest that has a sound model.
        roots: where to look.

    Raises:
        ModelNotFoundError: there is none, or the name means several; says which come near.
        CheckpointError: the application that registered the name is broken.
    """
    if name is None:
        return _latest(roots)
    for path in (*(root / name for root in roots), Path(name).expanduser()):
        info = at_path(path)
        if info is not None:
            return info
    infos = scan(roots)
    matching = [info for info in infos if name in (info.name, info.path.name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        paths = ", ".join(str(info.path) for info in matching)
        raise ModelNotFoundError(f"'{name}' may be any of {paths}; name one by its path")
    shipped = _shipped(name)
    if shipped is not None:
        return shipped
    near = difflib.get_close_matches(name, [*(info.name for info in infos), _SHIPPED], n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "trajectory-3d-models list shows all"
    raise ModelNotFoundError(f"no model '{name}' below {', '.join(map(str, roots))}; {hint}")


def at_path(path: Path) -> RunInfo | None:
    """The run, export or checkpoint that a path means: a folder of it, or a file in it; None for others."""
    try:
        if path.is_file():
            if (path.name in _OF_RUNS and path.name not in CHECKPOINTS) or path.name == RELEASE_WEIGHTS:
                path = path.parent
            elif path.suffix == ".pt":
                folder = path.parent
                beside = (folder / run_folder.SUMMARY, folder / run_folder.CONFIG)
                if path.name not in CHECKPOINTS or not any(each.is_file() for each in beside):
                    return read_checkpoint(path)
                path = folder
        infos = _read_folder(path)[0] if path.is_dir() else []
    except (OSError, ValueError):  # a name with a null byte, or too long
        return None
    return next((info for info in infos if info.path == path), None)


def _latest(roots: Sequence[Path]) -> RunInfo:
    for info in scan(roots):
        if info.status not in ("corrupt", "foreign") and info.model_file is not None:
            return info
    raise ModelNotFoundError(no_models(roots))


def _shipped(name: str) -> RunInfo | None:
    """The model that an installed application ships under a name, without importing torch."""
    from examples.trajectory_3d import weights  # noqa: PLC0415

    folders = {_SHIPPED: weights.folder, f"{_SHIPPED}-wide": weights.wide_folder}
    return read_release(Path(folders[name]())) if name in folders else None


def _read_folder(folder: Path) -> tuple[list[RunInfo], list[Path]]:
    """Models of one folder, and the folders in it to look at next."""
    try:
        with os.scandir(folder) as entries:
            kinds = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries
                     if not entry.is_symlink()}  # fmt: skip
    except OSError:
        return [], []
    files = {name for name, is_folder in kinds.items() if not is_folder}
    below = [folder / name for name, is_folder in kinds.items() if is_folder]
    is_run = bool(files & _OF_RUNS) or (run_folder.CONFIG in files and not below)
    infos = []
    if is_run:
        infos.append(read_run(folder))
        below = [each for each in below if each.name not in _NO_RUNS_BELOW]
    if RELEASE_WEIGHTS in files and not is_run:
        infos.append(read_release(folder))
    if not is_run:
        infos += [read_checkpoint(folder / name) for name in files if name.endswith(".pt")]
    return infos, below
