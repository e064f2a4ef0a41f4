"""``recordings.yaml`` in a run's folder: what its recordings were, so that a resumed run has the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.recorded.opening import open_recordings
from examples.trajectory_3d.recorded.parts import PARTS
from m.config import ConfigError, read_yaml, write_yaml

NAME = "recordings.yaml"


def account(config: DatasetConfig) -> dict[str, Any] | None:
    """Groups, windows, unit, step, notes and fingerprint of a configuration's recordings; None without."""
    if config.recordings is None:
        return None
    facts = open_recordings(config).facts
    return {
        "fingerprint": facts.fingerprint,
        "unit": facts.unit,
        "step_seconds": facts.step,
        "notes": list(facts.notes),
        "windows": {
            name: {part: int(facts.windows[part][number]) for part in PARTS}
            for number, name in enumerate(facts.groups)
        },
    }


def keep_account(folder: Path, config: DatasetConfig, *, resume: bool) -> None:
    """Write the account into a run's folder, or hold it against the one there.

    Raises:
        ConfigError: the recordings have changed since the run began.
    """
    now = account(config)
    if now is None:
        return
    path = folder / NAME
    if not resume:
        write_yaml(path, now)
        return
    saved = read_yaml(path)
    if saved.get("fingerprint") != now["fingerprint"]:
        raise ConfigError(
            f"cannot resume: the recordings in dataset.paths are not those of {path}, so the stream of "
            "windows is another; put the files back as they were, or start another run"
        )
