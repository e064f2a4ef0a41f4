"""Tables of text: separated by commas, semicolons, tabs, bars or blanks, with a header or without."""

from __future__ import annotations

from collections.abc import Iterator

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TEXT_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.assemble import Assembler
from examples.trajectory_3d.recordings.tables.axes import find_axes
from examples.trajectory_3d.recordings.tables.choose import choose
from examples.trajectory_3d.recordings.tables.dialect import Dialect, find_dialect, is_number
from examples.trajectory_3d.recordings.tables.names import parse_name
from examples.trajectory_3d.recordings.tables.text_blocks import BLOCK, TextTable, bytes_for
from examples.trajectory_3d.recordings.trajectory import Trajectory

_NAME = "csv"
_SUFFIXES = {".csv", ".tsv"}


def sniff(source: Source) -> Match:
    """Likely where names of columns tell of a position; possible for other rows of numbers."""
    lines = source.head_lines()
    try:
        dialect = find_dialect(source.path, lines, ReadOptions())
    except RecordingError:
        return Match.NO
    if not dialect.rows or not any(_numeric(dialect, column) for column in range(dialect.width)):
        return Match.POSSIBLE if _SUFFIXES & set(source.suffixes) else Match.NO
    known = dialect.named and find_axes([parse_name(name) for name in dialect.names])
    return Match.LIKELY if known and dialect.separator != " " else Match.POSSIBLE


def _numeric(dialect: Dialect, column: int) -> bool:
    return all(is_number(row[column], dialect.decimal) for row in dialect.rows[:5])


def open_table(source: Source, options: ReadOptions) -> TextTable:
    """A text file as a table whose columns are known.

    Raises:
        RecordingError: no table, or columns that cannot be told.
    """
    lines = source.head_lines() or source.text().splitlines()
    dialect = find_dialect(source.path, lines, options)
    sample = dialect.sample(source.path)
    if not len(sample):
        raise RecordingError(
            source.path, "a header without rows", expected="at least one sample", line=dialect.skip + 1
        )
    return TextTable(source, dialect, choose(sample, options))


def stream(source: Source, options: ReadOptions, size: int) -> Iterator[list[Trajectory]]:
    """Pieces of about so many samples; memory holds one at a time.

    Raises:
        RecordingError: as `read`.
    """
    table = open_table(source, options)
    assembler = Assembler(table.layout, _NAME)
    for block in table.tables(bytes_for(source, size)):
        yield assembler.pieces(block)


@register_format(_NAME, "table of text (CSV, TSV, blanks)", sniff=sniff, stream=stream, uses=TEXT_CHOICES)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Tracks of a table of text; see `tables.choose` for how columns are told.

    Raises:
        RecordingError: columns that cannot be told, a cell that is wrong, a line of another length.
    """
    table = open_table(source, options)
    assembler = Assembler(table.layout, _NAME)
    return assembler.whole(piece for block in table.tables(BLOCK) for piece in assembler.pieces(block))
