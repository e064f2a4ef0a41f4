"""Vicon Nexus' csv export: sections, of which ``Trajectories`` holds the markers.

A section is its name, its rate, a line of marker names over every third column, a line of axes
(``Frame,Sub Frame,X,Y,Z,...``), a line of units, and a line a frame, up to a blank line.
Source: https://docs.vicon.com/display/Nexus216/Export+data (File format of ASCII export).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.cells import is_missing
from examples.trajectory_3d.recordings.tables.dialect import split
from examples.trajectory_3d.recordings.tables.names import length_unit
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory, relative

_SECTION = "trajectories"
_SECTIONS = {_SECTION, "devices", "joints", "model outputs", "segments", "events", "bones", "forces"}


def sniff(source: Source) -> Match:
    """By the name of a section and the axes below."""
    lines = source.head_lines()
    section = _first_cell(lines[0]).lower() if lines else ""
    axes = [line.lower().replace(" ", "").replace("\t", ",") for line in lines[:200]]
    frames = any(line.startswith("frame,subframe") for line in axes)
    return Match.CERTAIN if section in _SECTIONS and frames else Match.NO


@register_format("vicon", "Vicon Nexus csv export", sniff=sniff, uses=TABLE_CHOICES)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """A track a marker, at the rate and in the unit of the file; times count from frame 0.

    Raises:
        RecordingError: no section of trajectories, a head that is not as it should be, a wrong cell, columns
            chosen by the user.
    """
    if options.position or options.time or options.track or options.extra:
        raise RecordingError(
            source.path, "columns chosen", expected="none: the file names its markers and axes"
        )
    lines = source.text().splitlines()
    start = next((i for i, line in enumerate(lines) if _first_cell(line).lower() == _SECTION), None)
    if start is None or len(lines) < start + 6:
        raise RecordingError(source.path, "no section 'Trajectories' with frames", expected="markers", line=1)
    separator = "\t" if "\t" in lines[start + 3] else ","
    head = [split(line, separator) for line in lines[start : start + 5]]
    rate = _rate(source, head[1], start + 2)
    markers = _markers(source, head[2], head[3], start + 3)
    unit = options.unit or length_unit(head[4][2] if len(head[4]) > 2 else "") or "unknown"
    body = list(takewhile(lambda line: line.strip(" \t,"), lines[start + 5 :]))
    table = _numbers(source, [split(line, separator) for line in body], 2 + 3 * len(markers), start + 6)
    times, zero = relative(np.rint(table[:, 0] * (NANOSECONDS / rate)).astype(np.int64))
    return [
        Trajectory(
            times=times,
            points=table[:, 2 + 3 * i : 5 + 3 * i],
            unit=unit,
            frame=options.frame or "xyz",
            start_ns=zero,
            track=marker,
        )
        for i, marker in enumerate(markers)
        if np.isfinite(table[:, 2 + 3 * i : 5 + 3 * i]).any()
    ]


def _first_cell(line: str) -> str:
    return line.replace("\t", ",").partition(",")[0].strip(' "\ufeff')


def _rate(source: Source, cells: Sequence[str], line: int) -> float:
    try:
        rate = float(cells[0])
    except (ValueError, IndexError):
        rate = 0.0
    if not 0 < rate < 1e9:
        found = cells[0] if cells else ""
        raise RecordingError(
            source.path, f"'{found[:40]}' as rate", expected="frames a second", line=line, column=1
        )
    return rate


def _markers(source: Source, names: Sequence[str], axes: Sequence[str], line: int) -> list[str]:
    """Names of the markers; each stands over the X of its three columns."""
    count = sum(1 for axis in axes if axis)
    if (
        count < 5
        or (count - 2) % 3
        or [axis.upper() for axis in axes[2:count]] != list("XYZ") * ((count - 2) // 3)
    ):
        raise RecordingError(
            source.path,
            "axes that are not X, Y, Z each",
            expected="Frame, Sub Frame, X, Y, Z ...",
            line=line + 1,
        )
    padded = [*names, *[""] * count]
    return [padded[i] or f"marker {(i + 1) // 3}" for i in range(2, count, 3)]


def _numbers(source: Source, rows: Sequence[Sequence[str]], width: int, line: int) -> Float64Array:
    table = np.full((len(rows), width), np.nan)
    for number, row in enumerate(rows):
        if len(row) < width and any(row[2:]):
            raise RecordingError(
                source.path, f"{len(row)} cells", expected=f"{width}", line=line + number, column=len(row)
            )
        for column, cell in enumerate(row[:width]):
            if column > 1 and is_missing(cell):
                continue
            try:
                table[number, column] = float(cell)
            except ValueError as error:
                raise RecordingError(
                    source.path,
                    f"'{cell[:40]}' is no number",
                    expected="a number or nothing",
                    line=line + number,
                    column=column + 1,
                ) from error
    if not np.isfinite(table[:, 0]).all() or (np.abs(table[:, 0]) > 1e9).any():
        raise RecordingError(source.path, "a frame that is no number of one", expected="frames below 1e9")
    return table
