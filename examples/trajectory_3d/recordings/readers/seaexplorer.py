"""Navigation logs of SeaExplorer gliders (.gli): semicolons, day/month/year, positions as ddmm.mmm.

Source: ALSEAMAR's SeaExplorer files as the pyglider library reads them,
https://github.com/c-proof/pyglider/blob/main/pyglider/seaexplorer.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.assemble import Assembler
from examples.trajectory_3d.recordings.tables.cells import floats
from examples.trajectory_3d.recordings.tables.choose import choose
from examples.trajectory_3d.recordings.tables.dialect import find_dialect
from examples.trajectory_3d.recordings.tables.table import Table
from examples.trajectory_3d.recordings.tables.text_blocks import TextTable
from examples.trajectory_3d.recordings.trajectory import Trajectory

_NAME = "seaexplorer"
_COLUMNS = ("Timestamp", "NavState", "Depth", "Lat", "Lon")


def sniff(source: Source) -> Match:
    """By the names of columns, which no other instrument has together."""
    names = (source.head_lines() or [""])[0].split(";")
    return Match.CERTAIN if set(_COLUMNS) <= set(names) else Match.NO


@register_format(_NAME, "SeaExplorer glider log", sniff=sniff, uses=TABLE_CHOICES)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """The glider's path; depth becomes altitude, zero-filled and other columns by `extra`.

    Raises:
        RecordingError: columns that are not there, a cell that is wrong, minutes of 60 and more.
    """
    given = replace(
        options, time=options.time or "Timestamp", position=options.position or ("Lat", "Lon", "Depth")
    )
    dialect = find_dialect(source.path, source.head_lines(), replace(given, separator=";", header=True))
    if not dialect.rows:
        raise RecordingError(source.path, "a header without rows", expected="at least one sample", line=2)
    layout = choose(dialect.sample(source.path), given)
    assembler = Assembler(layout, _NAME, order="day first")
    angles = [i for i, name in enumerate(dialect.names) if name in {"Lat", "Lon"}]
    tables = TextTable(source, dialect, layout).tables()
    pieces = (piece for table in tables for piece in assembler.pieces(_in_degrees(table, angles)))
    return assembler.whole(pieces)


def _in_degrees(table: Table, angles: list[int]) -> Table:
    """The table with degrees where it has degrees and minutes, ddmm.mmm."""
    import pyarrow as pa  # noqa: PLC0415

    columns = list(table.columns)
    for index in angles:
        if columns[index] is None:
            continue
        values = floats(table, index)
        degrees = np.trunc(values / 100)
        minutes = values - 100 * degrees
        wrong = np.flatnonzero(np.abs(minutes) >= 60)
        if len(wrong):
            row = int(wrong[0])
            raise table.fault(row, index, f"{values[row]:g} as degrees and minutes", "minutes below 60")
        columns[index] = pa.array(degrees + minutes / 60)
    return replace(table, columns=tuple(columns))
