"""Finding trained models on disk, without loading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from examples.trajectory_3d.run_folder import BEST_MODEL, CONFIG, OUTPUT_ROOT


class ModelNotFoundError(FileNotFoundError):
    """No trained model where one was looked for; the message says where and what to do."""


@dataclass(frozen=True)
class FoundModel:
    """A model file and the configuration beside it.

    Attributes:
        path: the checkpoint.
        config: resolved configuration of its run, None when there is none beside it.
    """

    path: Path
    config: Path | None

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.path.parent.name


def find_models(root: Path = OUTPUT_ROOT) -> list[FoundModel]:
    """All best models below ``root``, newest first."""
    paths = sorted(root.glob(f"**/{BEST_MODEL}"), key=lambda path: path.stat().st_mtime, reverse=True)
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
    """The model that a path means: a checkpoint, or the best one of a run's folder.

    Raises:
        ModelNotFoundError: there is none.
    """
    file = path / BEST_MODEL if path.is_dir() else path
    if not file.is_file():
        others = ", ".join(str(found.path) for found in find_models()[:3])
        hint = f"; found elsewhere: {others}" if others else "; train one with trajectory-3d-train"
        raise ModelNotFoundError(f"no model at {file}{hint}")
    return _described(file)


def _described(path: Path) -> FoundModel:
    config = path.parent / CONFIG
    return FoundModel(path, config if config.is_file() else None)
