"""JSON with everything that is known of every track."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.trajectory_json import MARKER, VERSION, content
from examples.trajectory_3d.recordings.writers import register_writer


@register_writer("json", "JSON", suffixes=(".json",))
def write(path: Path, tracks: Sequence[Trajectory]) -> None:
    """``{"format": "trajectory-3d", "version": 1, "tracks": [...]}``, read back without loss.

    A track says its names, unit, frame, clock, origin and notes; ``times_ns`` are whole nanoseconds after
    ``start_ns``, ``points`` its rows in local metres where it has an origin, null for what is lost.

    Raises:
        ValueError: a point at infinity, which JSON does not know.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"format": "{MARKER}", "version": {VERSION}, "tracks": [')
        for number, track in enumerate(tracks):
            file.write((",\n" if number else "\n") + json.dumps(content(track), allow_nan=False))
        file.write("\n]}\n")
