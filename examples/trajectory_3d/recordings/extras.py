"""Libraries that only some formats need."""

from __future__ import annotations

from pathlib import Path

from examples.trajectory_3d.recordings.errors import RecordingError


def missing_extra(path: Path, what: str, library: str) -> RecordingError:
    """The error to raise when the library that reads a format is not installed."""
    return RecordingError(
        path,
        f"{what} need the library {library}",
        expected="it installed: pip install 'm-trajectory[formats]'",
    )
