"""TRC marker files: frame, time and three columns a marker, by tabs or commas.

Source of the format: OpenSim, "Marker (.trc) Files",
https://simtk-confluence.stanford.edu/display/OpenSim/Marker+%28.trc%29+Files.
"""

from __future__ import annotations

import math

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array
from examples.trajectory_3d.recordings.assembly import distinct, floats, plural, stated, times_of
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import Row, shown, split_lines
from examples.trajectory_3d.recordings.trajectory import LENGTH_UNITS, Trajectory

_UNITS = {"meters": "m", "metres": "m", "meter": "m", "metre": "m", "millimeters": "mm", "centimeters": "cm"}
_MOST_MARKERS = 10_000


def sniff(source: Source) -> Match:
    """Certain by its first word."""
    return Match.CERTAIN if (source.head_text or "").startswith("PathFileType") else Match.NO


@register_format("trc", "TRC motion-capture markers", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """A track for every marker that was seen; empty cells, which are lost samples, become NaN.

    Raises:
        RecordingError: a header without what it must say, or a line that does not fit it.
    """
    lines = split_lines(source.text())
    facts = _facts(source, lines)
    markers = _markers(source, lines, facts)
    width = 2 + 3 * len(markers)
    stamps, table = [], []
    for number, text in enumerate(lines[5:], start=6):
        row = Row(source.path, number, text, facts["separator"])
        if not any(cell.strip() for cell in row.cells):
            continue
        if len(row.cells) < width or any(cell.strip() for cell in row.cells[width:]):
            raise row.fault(
                f"{len(row.cells)} cells",
                expected=f"{width}: frame, time and 3 for each of {len(markers)} markers",
            )
        stamps.append(row.nanoseconds(1))
        table.append([_value(row, cell) for cell in range(2, width)])
    times, start = times_of(source.path, stamps)
    points = floats(table, 3 * len(markers)).reshape(len(table), len(markers), 3)
    seen: BoolArray = np.asarray(np.isfinite(points).all(axis=2).any(axis=0))
    unit, notes = _notes(facts, points, seen)
    declared = stated(options, unit=unit, frame="xyz")
    return [
        Trajectory(times, points[:, index].copy(), **declared, start_ns=start, track=name, notes=notes)
        for index, name in enumerate(distinct(markers))
        if seen[index]
    ]


def _notes(facts: dict[str, str], points: Float64Array, seen: BoolArray) -> tuple[str, tuple[str, ...]]:
    """Unit by the header, and what is odd in header and frames ``[N, markers, 3]``."""
    notes = []
    if facts["NumFrames"] != str(len(points)):
        notes.append(f"the header says {facts['NumFrames']} frames, the file has {len(points)}")
    if not seen.all():
        notes.append(f"{plural(int((~seen).sum()), 'marker')} of {len(seen)} never seen")
    unit = _UNITS.get(facts["Units"].lower(), facts["Units"])
    if unit not in LENGTH_UNITS:
        notes.append(f"unit {shown(unit)} is not known")
        unit = "unknown"
    return unit, tuple(notes)


def _value(row: Row, cell: int) -> float:
    if not row.cells[cell].strip():
        return math.nan
    return row.number(cell, "a number, or nothing where the marker was lost")


def _facts(source: Source, lines: list[str]) -> dict[str, str]:
    """What lines 2 and 3 say, by name, and the separator."""
    if len(lines) < 5 or not lines[0].startswith("PathFileType"):
        raise RecordingError(
            source.path, "no whole TRC header", expected="five lines, the first PathFileType", line=1
        )
    separator = "\t" if "\t" in lines[2] else ","
    keys = [cell.strip() for cell in lines[1].split(separator)]
    values = [cell.strip() for cell in lines[2].split(separator)]
    facts = {key: value for key, value in zip(keys, values, strict=False) if key}
    for key in ("NumFrames", "NumMarkers", "Units"):
        if not facts.get(key):
            raise RecordingError(source.path, f"no {key} in the header", expected="names and values", line=3)
    return facts | {"separator": separator}


def _markers(source: Source, lines: list[str], facts: dict[str, str]) -> list[str]:
    """Names in line 4, one for every three columns; line 5 says how many columns there are."""
    separator = facts["separator"]
    count = facts["NumMarkers"]
    if not (count.isascii() and count.isdigit() and 0 < int(count[:9]) <= _MOST_MARKERS):
        raise RecordingError(
            source.path, f"NumMarkers is {shown(count)}", expected="a number of markers", line=3
        )
    names = [cell.strip() for cell in lines[3].split(separator)]
    markers = [name for name in names[2:] if name]
    if names[:1] not in (["Frame#"], ["Frame"]) or len(markers) != int(count):
        raise RecordingError(
            source.path,
            f"a line of names with {plural(len(markers), 'marker')}",
            expected=f"Frame#, Time and {count} names",
            line=4,
        )
    return markers
