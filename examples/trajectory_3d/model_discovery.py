"""Finding trained models on disk, without loading them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from examples.trajectory_3d.run_folder import (
    BEST_MODEL,
    CONFIG,
    FINAL_MODEL,
    OUTPUT_ROOT,
    TRAINING_STATE,
)

RELEASE_WEIGHTS = "model.safetensors"
RELEASE_CARD = "card.json"


class ModelNotFoundError(FileNotFoundError):
    """No trained model where one was looked for; the message says where and what to do."""


@dataclass(frozen=True)
class FoundModel:
    """A model file and the configuration beside it.

    Attributes:
        path: the checkpoint.
        config: resolved configuration of its run, None when there is none beside it.
        card: of a release, which says what it was trained on; None without.
    """

    path: Path
    config: Path | None
    card: Path | None = None

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.path.parent.name


def find_models(root: Path = OUTPUT_ROOT) -> list[FoundModel]:
    """All best models below ``root``, newest first."""
    paths = [path for path in root.glob(f"**/{BEST_MODEL}") if path.is_file()]  # no links to what is gone
    paths.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [_described(path) for path in paths]


def latest_model(root: Path = OUTPUT_ROOT) -> FoundModel:
    """The best model of the run that improved last.

    Raises:
        ModelNotFoundError: there is none.
    """
    found = find_models(root)
    if not found:
        raise ModelNotFoundError(
            f"no trained model below {root}; train one: "
            "trajectory-3d-train examples/trajectory_3d/configs/quick_test_3d.yaml"
        )
    return found[0]


def model_at(path: Path) -> FoundModel:
    """The model that a path means: a checkpoint, or the best one of a run's folder, else its final one.

    Raises:
        ModelNotFoundError: there is none; says so of a training that has saved none yet.
    """
    if path.is_dir():
        names = (BEST_MODEL, FINAL_MODEL)
        file = next((path / name for name in names if (path / name).is_file()), path / BEST_MODEL)
    else:
        file = path
    if file.name == TRAINING_STATE or not file.is_file():
        raise ModelNotFoundError(_no_model(file))
    return _described(file)


def released_model(name_or_path: str) -> FoundModel | None:
    """The shipped model that a text means, as `m.load` takes it; None when it means no shipped model.

    A registered name comes first, whatever lies in the working folder. A run's folder is none, even one that
    also holds a release: its own model is what was trained there.

    Raises:
        CheckpointError: the application that registered the name is broken.
    """
    path = Path(name_or_path)
    if not path.suffix and os.sep not in name_or_path:
        from m.release import registered_path  # noqa: PLC0415  (torch, only for what may be a name)

        path = registered_path(name_or_path) or path
    folder = path.parent if path.name == RELEASE_WEIGHTS else path
    if not (folder / RELEASE_WEIGHTS).is_file() or (path == folder and (folder / BEST_MODEL).is_file()):
        return None
    card = folder / RELEASE_CARD
    return FoundModel(folder / RELEASE_WEIGHTS, None, card if card.is_file() else None)


def named_model(name_or_path: str) -> FoundModel:
    """The model that a user names: a shipped one by `released_model`, else that of `model_at`.

    Raises:
        ModelNotFoundError: there is none.
        CheckpointError: the application that registered the name is broken.
    """
    return released_model(name_or_path) or model_at(Path(name_or_path))


def _no_model(file: Path) -> str:
    """Why there is no model, and what to do."""
    folder = file.parent
    if file.name == TRAINING_STATE:
        return f"{file} is what a training resumes from, not a model; name {BEST_MODEL} or the folder instead"
    if file.name == BEST_MODEL and (folder / TRAINING_STATE).is_file():
        return (
            f"no model in {folder}: its training stopped before the first validation (there is only "
            f"{TRAINING_STATE}); go on with it: trajectory-3d-train {folder / CONFIG} --name {folder.name} "
            f"--output-root {folder.parent} --resume"
        )
    others = ", ".join(str(found.path) for found in find_models()[:3])
    return f"no model at {file}" + (
        f"; found elsewhere: {others}" if others else "; train one with trajectory-3d-train"
    )


def _described(path: Path) -> FoundModel:
    config = path.parent / CONFIG
    return FoundModel(path, config if config.is_file() else None)
