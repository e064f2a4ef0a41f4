"""A run's folder: which files it holds, and the summary that says what became of the run."""

from __future__ import annotations

import datetime
import hashlib
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from m.config import dump_yaml, read_yaml, write_yaml

OUTPUT_ROOT = Path("outputs/trajectory_3d")
BEST_MODEL = "best_model.pt"
FINAL_MODEL = "final_model.pt"
TRAINING_STATE = "training_state.pt"
CONFIG = "config.yaml"
SUMMARY = "training_summary.yaml"
LOG = "training_log.jsonl"
PROGRESS_PICTURE = "training_progress.png"
PICTURES = "visualizations"
TENSORBOARD = "tensorboard"
EVALUATION = "evaluation"

_PACKAGES = ("m-trajectory", "torch", "numpy", "scipy")


def config_hash(config: dict[str, Any]) -> str:
    """Short fingerprint of a resolved configuration: equal settings, equal hash."""
    return hashlib.sha256(dump_yaml(config).encode()).hexdigest()[:12]


def file_part(name: str) -> str:
    """Make a name safe as part of a file's."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)


def environment() -> dict[str, Any]:
    """What a result depends on beside the configuration: versions, processor, code, command."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    command = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return {
        "command": " ".join(command),
        "git_commit": _git_commit(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def _git_commit() -> str | None:
    """Commit of the code that runs, with ``+`` when it has uncommitted changes; None outside git."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None


def now() -> str:
    """Present time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def update_summary(folder: Path, changes: dict[str, Any]) -> None:
    """Merge ``changes`` into the folder's summary; top-level keys are replaced."""
    path = folder / SUMMARY
    current = read_yaml(path) if path.exists() else {}
    write_yaml(path, {**current, **changes, "updated": now()})
