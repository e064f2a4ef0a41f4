"""TUM text: ``t tx ty tz qx qy qz qw``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from examples.trajectory_3d.recordings.epochs import seconds_text
from examples.trajectory_3d.recordings.readers.tum import COMMENT, NAMES
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.trajectory_json import description
from examples.trajectory_3d.recordings.writers import register_writer

_NO_TURN = (
    "0 0 0 1"  # stands where nothing is known of the orientation; the first line then names x, y, z alone
)


@register_writer("tum", "TUM text", suffixes=(".tum",))
def write(path: Path, tracks: Sequence[Trajectory]) -> None:
    """One track, its position in its own unit and frame; the first line, a comment, says which as JSON.

    Raises:
        ValueError: several tracks, or columns other than position and quaternion.
    """
    if len(tracks) != 1:
        raise ValueError(f"one track fits a file, not {len(tracks)}; write csv, json or parquet")
    track = tracks[0]
    if track.names not in (NAMES, NAMES[:3]):
        raise ValueError(
            f"columns {', '.join(track.names)}, where only {', '.join(NAMES)} fit; write csv or json"
        )
    if np.isinf(track.points).any():
        raise ValueError("a point at infinity")
    tail = "" if track.names == NAMES else f" {_NO_TURN}"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{COMMENT}{json.dumps(description(track))}\n# timestamp tx ty tz qx qy qz qw\n")
        for stamp, row in zip(track.stamps_ns().tolist(), track.points.tolist(), strict=True):
            file.write(f"{seconds_text(stamp)} {' '.join(map(repr, row))}{tail}\n")
