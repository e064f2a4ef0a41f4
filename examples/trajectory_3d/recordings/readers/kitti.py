"""KITTI odometry poses: twelve numbers a line, the upper 3 x 4 of the pose matrix row by row; no times.

Source of the format: the devkit of https://www.cvlibs.net/datasets/kitti/eval_odometry.php. The axes are
those of the first camera: x right, y down, z forward.
"""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.recordings.assembly import floats, stated, times_at_rate
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import head_cells, parse_number, rows
from examples.trajectory_3d.recordings.trajectory import Trajectory

_TITLE = "twelve numbers, a 3 x 4 pose matrix row by row"
_WITHIN = 0.01  # of R R^T - 1; poses have six digits or more


def sniff(source: Source) -> Match:
    """Certain where every line has twelve numbers whose 3 x 3 part is a rotation."""
    lines = head_cells(source)
    if not lines or any(len(cells) != 12 for cells in lines):
        return Match.NO
    try:
        table = np.array([[parse_number(cell) for cell in cells] for cells in lines])
    except ValueError:
        return Match.NO
    return Match.CERTAIN if _are_rotations(table.reshape(-1, 3, 4)[:, :, :3]).all() else Match.NO


def _are_rotations(matrices: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        off = np.abs(matrices @ matrices.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        return np.asarray((off < _WITHIN) & (np.linalg.det(matrices) > 0))


@register_format("kitti", "KITTI poses (3 x 4 matrices, no times)", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Position in metres in the axes of the first camera, at the rate that the user gives.

    Raises:
        RecordingError: a line of other than twelve numbers, or no rate.
    """
    table, lines = [], []
    for row in rows(source):
        row.require(12, _TITLE)
        table.append(row.numbers(0, 12))
        lines.append(row.line)
    matrices = floats(table, 12).reshape(-1, 3, 4)
    times = times_at_rate(source.path, len(matrices), options, "a file of KITTI poses")
    odd = np.flatnonzero(~_are_rotations(matrices[:, :, :3]))
    notes = (f"{len(odd)} matrices hold no rotation, the first in line {lines[odd[0]]}",) if len(odd) else ()
    declared = stated(options, unit="m", frame="kitti-camera")
    return [Trajectory(times, matrices[:, :, 3].copy(), **declared, clock="index", notes=notes)]
