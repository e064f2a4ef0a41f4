"""EuRoC/ASL csv: ``timestamp [ns], x, y, z, qw, qx, qy, qz, ...`` in whole nanoseconds and metres.

Source of the format: https://projects.asl.ethz.ch/datasets/doku.php?id=kmavvisualinertialdatasets.
"""

from __future__ import annotations

import re

from examples.trajectory_3d.recordings.assembly import floats, stated, times_of, unix_or_elapsed
from examples.trajectory_3d.recordings.epochs import MOST_NS
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import Row, rows, shown, split_lines
from examples.trajectory_3d.recordings.trajectory import Trajectory

_NAMES = (
    *("x", "y", "z", "qw", "qx", "qy", "qz", "vx", "vy", "vz"),
    *("bwx", "bwy", "bwz", "bax", "bay", "baz"),  # biases of gyroscope and accelerometer
)
_WIDTHS = (
    4,
    8,
    11,
    17,
)  # stamp and position; with quaternion; with velocity; with biases
_STAMP = re.compile(r"\d{18,19}", re.ASCII)
_HEADER = re.compile(r"#\s*time\w*\s*(\[ns\])?\s*,\s*p", re.IGNORECASE)


def sniff(source: Source) -> Match:
    """Certain by the header with nanoseconds and position; likely by 18 or 19 digits in all lines."""
    lines = [line.strip() for line in source.head_lines()[:20] if line.strip()]
    if lines and _HEADER.match(lines[0]):
        return Match.CERTAIN
    cells = [line.split(",") for line in lines if not line.startswith("#")]
    if any(line.startswith("#") for line in lines) and not _HEADER.match(lines[0]):
        return Match.NO  # a table of something else, such as angular rates
    fits = cells and all(len(each) in _WIDTHS and _STAMP.fullmatch(each[0].strip()) for each in cells)
    return Match.LIKELY if fits else Match.NO


@register_format("euroc", "EuRoC/ASL csv (nanoseconds, position, quaternion)", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Position in metres, then quaternion, velocity and biases as far as the file has them.

    Raises:
        RecordingError: a header without position; a stamp that is no whole number; a line of another length
            than the first.
    """
    _check_header(source)
    stamps, table, width = [], [], 0
    for row in rows(source, separator=","):
        if not width:
            width = len(row.cells)
            if width not in _WIDTHS:
                raise row.fault(f"{width} cells", expected="4, 8, 11 or 17: stamp, position, quaternion, ...")
        row.require(width, f"{width} cells, as in the first line")
        stamps.append(_stamp(row))
        table.append(row.numbers(1, width))
    times, start = times_of(source.path, stamps)
    names = _NAMES[: max(width, 4) - 1]
    declared = stated(options, unit="m", frame="xyz")
    clock = unix_or_elapsed(stamps)
    return [Trajectory(times, floats(table, len(names)), names, **declared, clock=clock, start_ns=start)]


def _check_header(source: Source) -> None:
    first = split_lines(source.head_text or "")[0].strip()
    if first.startswith("#") and "," in first and not _HEADER.match(first):
        row = Row(source.path, 1, first, ",")
        raise row.fault(
            f"a header that begins {shown(first)}", expected="#timestamp [ns], p_x, p_y, p_z, ..."
        )


def _stamp(row: Row) -> int:
    """The first cell, exact: 19 digits do not fit a float64."""
    cell = row.cells[0].strip()
    if not re.fullmatch(r"-?\d{1,19}", cell, re.ASCII) or abs(int(cell)) > MOST_NS:
        raise row.fault(shown(cell), expected="a stamp in whole nanoseconds", cell=0)
    return int(cell)
