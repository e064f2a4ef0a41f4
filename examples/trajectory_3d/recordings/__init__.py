"""Recordings of real motion: read, inspected, mended, cut into windows and written."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from examples.trajectory_3d.recordings.errors import RecordingError
    from examples.trajectory_3d.recordings.options import ReadOptions
    from examples.trajectory_3d.recordings.registry import read, read_all, register_format
    from examples.trajectory_3d.recordings.trajectory import Origin, Trajectory
    from examples.trajectory_3d.recordings.writers import write

__all__ = [
    "Origin",
    "ReadOptions",
    "RecordingError",
    "Trajectory",
    "read",
    "read_all",
    "register_format",
    "write",
]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "Origin": "examples.trajectory_3d.recordings.trajectory",
        "ReadOptions": "examples.trajectory_3d.recordings.options",
        "RecordingError": "examples.trajectory_3d.recordings.errors",
        "Trajectory": "examples.trajectory_3d.recordings.trajectory",
        "read": "examples.trajectory_3d.recordings.registry",
        "read_all": "examples.trajectory_3d.recordings.registry",
        "register_format": "examples.trajectory_3d.recordings.registry",
        "write": "examples.trajectory_3d.recordings.writers",
    },
)
