"""``metadata.json``: what is deployed, how good it is, and what exactly the folder holds."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

from examples.trajectory_3d.model_discovery import FoundModel
from examples.trajectory_3d.model_export import sha256
from examples.trajectory_3d.run_folder import EVALUATION, SUMMARY, environment, now
from m.config import read_yaml, to_dict
from m.export.parity import Parity
from m.moe import MoESequenceRegressor, model_size

FORMAT, VERSION = "trajectory_3d.deployment", 1
METADATA_FILE = "metadata.json"

_OF_TRAINING = (
    "name",
    "status",
    "step",
    "max_steps",
    "started",
    "elapsed_seconds",
    "seed",
    "config_hash",
    "git_commit",
    "command",
    "versions",
    "best_validation",
)


def describe(model: MoESequenceRegressor, found: FoundModel) -> dict[str, Any]:
    """The model card: architecture, training, and figures of its evaluation, as far as they are known."""
    size = model_size(model.config)
    return {
        "architecture": to_dict(model.config),
        "parameters": size.total_parameters,
        "active_parameters": size.active_parameters,
        "training": _training(found),
        "evaluation": _evaluation(found),
    }


def deployment_metadata(
    name: str,
    card: dict[str, Any],
    served: dict[str, Any],
    parity: Parity | None,
    requirements: list[str],
) -> dict[str, Any]:
    """All but the files, which are added by `with_files`."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "created": now(),
        "served": served,
        "parity": None if parity is None else {**asdict(parity), "worse": parity.worse},
        "model_card": card,
        "deployed_with": {**environment(), "python": platform.python_version()},
        "requirements": requirements,
    }


def with_files(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content with size and SHA-256 of every file of the folder but the metadata itself."""
    files = {
        file.relative_to(folder).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": sha256(file),
        }
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != METADATA_FILE
    }
    return {**content, "files": files}


def write_metadata(content: dict[str, Any], folder: Path) -> None:
    """Write it; numbers that are not finite become null."""
    text = json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"
    (folder / METADATA_FILE).write_text(text, encoding="utf-8")


def _training(found: FoundModel) -> dict[str, Any] | None:
    if found.card is not None:
        card = json.loads(found.card.read_text(encoding="utf-8"))
        return {"training": card.get("training"), "dataset": card.get("dataset")}
    summary = found.path.parent / SUMMARY
    if not summary.is_file():
        return None
    content = read_yaml(summary)
    return {key: content[key] for key in _OF_TRAINING if key in content} | {"dataset": content.get("dataset")}


def _evaluation(found: FoundModel) -> dict[str, Any] | None:
    """Figures of the model's own forecasts by type of motion."""
    if found.card is not None:
        content = json.loads(found.card.read_text(encoding="utf-8")).get("evaluation")
    else:
        file = found.path.parent / EVALUATION / "metrics.json"
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    if not content:
        return None
    own = next((each for each in content["forecasters"] if not each["is_baseline"]), None)
    return {
        "windows": content.get("num_windows"),
        "context": content.get("context_length"),
        "horizon": content.get("horizon"),
        "dt": content.get("dt"),
        "by_type": None if own is None else own["groups"],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
