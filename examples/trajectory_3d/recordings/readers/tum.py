"""TUM trajectories: ``t tx ty tz qx qy qz qw``, seconds and metres, blanks, comments.

Source of the format: https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats.
"""

from __future__ import annotations

import json

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.recordings.assembly import floats, stated, times_of, unix_or_elapsed
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import Row, head_cells, parse_number, rows
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.trajectory_json import Facts, described

NAMES = ("x", "y", "z", "qx", "qy", "qz", "qw")
COMMENT = "# trajectory-3d: "  # our own files say here, as JSON, what TUM text cannot
_TITLE = "eight numbers: time, x, y, z, qx, qy, qz, qw"
_UNIT_WITHIN = 0.02  # of the quaternion's length; files with four digits stay within 0.0002


def sniff(source: Source) -> Match:
    """Certain where every line has eight numbers, the last four a unit quaternion."""
    lines = head_cells(source)
    if not lines or any(len(cells) != 8 for cells in lines):
        return Match.NO
    try:
        table = np.array([[parse_number(cell) for cell in cells] for cells in lines])
    except ValueError:
        return Match.NO
    return Match.CERTAIN if not len(_not_unit(table[:, 4:])) else Match.NO


@register_format("tum", "TUM trajectory (t tx ty tz qx qy qz qw)", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Position in metres with the quaternion as further columns.

    Stamps from 1973 on are Unix time, smaller ones count from an unknown zero. NaN stands for what is lost.

    Raises:
        RecordingError: a line of other than eight numbers.
    """
    facts = _facts(source)
    stamps, table, lines = [], [], []
    for row in rows(source):
        row.require(8, _TITLE)
        stamps.append(row.nanoseconds(0))
        table.append(row.numbers(1, 8))
        lines.append(row)
    points = floats(table, 7)
    times, start = times_of(source.path, stamps)
    if facts:
        facts["start_ns"] = start
        facts["unit"], facts["frame"] = options.unit or facts["unit"], options.frame or facts["frame"]
        return [Trajectory(times, points[:, : len(facts["names"])], **facts)]
    notes = _quaternion_notes(points[:, 3:], lines)
    declared = stated(options, unit="m", frame="xyz")
    clock = unix_or_elapsed(stamps)
    return [Trajectory(times, points, NAMES, **declared, clock=clock, start_ns=start, notes=notes)]


def _facts(source: Source) -> Facts | None:
    """What our own writer said in the first line; None for files of others."""
    first = next(iter((source.head_text or "").split("\n", 1)), "")
    if not first.startswith(COMMENT):
        return None
    try:
        facts = described(json.loads(first[len(COMMENT) :]))
        if facts["names"] not in (NAMES, NAMES[:3]):
            raise ValueError("names are not x, y, z with or without the quaternion")
        Trajectory(np.zeros(0), np.zeros((0, len(facts["names"]))), **facts)
    except (ValueError, RecursionError) as error:
        raise RecordingError(source.path, f"a damaged description ({error})", line=1) from error
    return facts


def _not_unit(quaternions: Float64Array) -> IntArray:
    with np.errstate(over="ignore"):
        length = np.linalg.norm(quaternions, axis=1)
    return np.flatnonzero(np.abs(length - 1) > _UNIT_WITHIN)


def _quaternion_notes(quaternions: Float64Array, lines: list[Row]) -> tuple[str, ...]:
    odd = _not_unit(quaternions)
    if not len(odd):
        return ()
    return (f"{len(odd)} quaternions are not of unit length, the first in line {lines[odd[0]].line}",)
