"""Solutions of RTKLIB (.pos): GPS week and seconds or calendar, degrees, Earth-fixed metres or a baseline.

Source: RTKLIB 2.4.2 manual, appendix B.1, https://www.rtklib.com/prog/manual_2.4.2.pdf.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.assemble import Assembler
from examples.trajectory_3d.recordings.tables.cells import floats
from examples.trajectory_3d.recordings.tables.choose import choose
from examples.trajectory_3d.recordings.tables.dialect import Dialect, find_dialect
from examples.trajectory_3d.recordings.tables.stamps import NO_ZONE
from examples.trajectory_3d.recordings.tables.table import Table
from examples.trajectory_3d.recordings.tables.text_blocks import TextTable
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory

_NAME = "rtklib"
_HEADER = re.compile(r"%\s+(GPST|UTC|JST)\s+(latitude\(deg\)|x-ecef\(m\)|e-baseline\(m\)|latitude\(d'\"\))")
_GPS_ZERO = 315_964_800  # Unix time of 1980-01-06
_JAPAN = 9 * 3600  # seconds that its standard time is ahead
_QUALITY = {1: "fixed", 2: "float", 3: "SBAS", 4: "differential", 5: "single", 6: "precise point"}


def sniff(source: Source) -> Match:
    """By the line that names the columns."""
    return Match.CERTAIN if any(_HEADER.match(line) for line in source.head_lines()) else Match.NO


@register_format(_NAME, "RTKLIB solution", sniff=sniff, uses=TABLE_CHOICES)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """The solution, with a note on epochs that are not fixed; column ``Q`` and others by `extra`.

    Raises:
        RecordingError: no line that names the columns, angles as degrees, minutes and seconds, a wrong line.
    """
    heading = next((match for line in source.head_lines() if (match := _HEADER.match(line))), None)
    if heading is None:
        raise RecordingError(
            source.path, "no line that names the columns", expected="'%  GPST  latitude(deg) ...'"
        )
    if "'" in heading[2]:
        raise RecordingError(
            source.path, "angles as degrees, minutes, seconds", expected="degrees (out-outdeg)"
        )
    dialect = _named(
        source,
        heading.string,
        find_dialect(source.path, source.head_lines(), ReadOptions(separator=" ", header=False)),
    )
    sample = dialect.sample(source.path)
    layout = choose(sample, options)
    quality = dialect.names.index("Q") if "Q" in dialect.names else None
    kept = (
        layout
        if quality is None
        else replace(layout, extra=(*layout.extra, quality), names=(*layout.names, "Q "))
    )
    assembler, solutions = Assembler(layout, _NAME), Counter[int]()
    pieces: list[Trajectory] = []
    for table in TextTable(source, dialect, kept).tables():
        pieces += assembler.pieces(table)
        if quality is not None:
            solutions.update(_known(table, quality))
    return [_on_clock(track, heading[1], _notes(solutions)) for track in assembler.whole(pieces)]


def _named(source: Source, line: str, dialect: Dialect) -> Dialect:
    """The columns by their names; the first name stands over two columns."""
    names = line.lstrip("% ").split()[1:]
    calendar = bool(dialect.rows) and "/" in dialect.rows[0][0]
    names = ["date", "time", *names] if calendar else ["gps_week", "tow", *names]
    if len(names) != dialect.width:
        raise RecordingError(source.path, f"{dialect.width} cells in the first row", expected=f"{len(names)}")
    return replace(dialect, names=tuple(names), named=True)


def _known(table: Table, column: int) -> list[int]:
    values = floats(table, column)
    return [int(value) for value in values[np.isfinite(values)]]


def _notes(solutions: Counter[int]) -> tuple[str, ...]:
    total, fixed = sum(solutions.values()), solutions[1]
    if fixed == total:
        return ()
    kinds = ", ".join(
        f"{count} {_QUALITY.get(kind, f'Q={kind}')}" for kind, count in sorted(solutions.items()) if kind != 1
    )
    return (f"{total - fixed} of {total} solutions are not fixed ({kinds})",)


def _on_clock(track: Trajectory, clock: str, notes: tuple[str, ...]) -> Trajectory:
    """The track with the clock that the file names."""
    own = tuple(note for note in track.notes if note != NO_ZONE)
    track = replace(track, notes=(*own, *notes))
    if clock == "GPST" and track.clock == "utc":  # a calendar that counts without leap seconds
        return replace(track, clock="gps", start_ns=track.start_ns - _GPS_ZERO * NANOSECONDS)
    if clock != "GPST" and track.clock == "gps":
        raise RecordingError(track.source, f"GPS weeks under '{clock}'", expected="a calendar")
    return replace(track, start_ns=track.start_ns - _JAPAN * NANOSECONDS) if clock == "JST" else track
