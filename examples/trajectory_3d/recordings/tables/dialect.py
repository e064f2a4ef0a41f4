"""How a text file writes its table: separator, header, decimal sign; told by its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.tables.axes import find_axes
from examples.trajectory_3d.recordings.tables.cells import is_missing
from examples.trajectory_3d.recordings.tables.dates import is_date
from examples.trajectory_3d.recordings.tables.names import parse_name
from examples.trajectory_3d.recordings.tables.table import Column, Table

COMMENTS = ("#", "%")
_SEPARATORS = ("\t", ";", "|", ",", " ")
_SPOKEN = {
    **dict.fromkeys(("tab", "\\t", "t"), "\t"),
    **dict.fromkeys(("blank", "blanks", "space", "spaces", "whitespace", "\\s+", ""), " "),
    "comma": ",",
    "semicolon": ";",
}
_PROBED = 30  # lines that tell the separator
_ROWS = 300  # lines that tell what the columns hold
_COMMA_NUMBER = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
_POINT_NUMBER = re.compile(r"[-+]?\d*\.\d*(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Dialect:
    """A file's way to write a table.

    Attributes:
        separator: one character; a blank stands for any number of blanks and tabs.
        decimal: sign of decimals, ``.`` or ``,``.
        names: of the columns; empty texts where the file has none.
        named: whether the names come from the file.
        skip: lines before the first row.
        rows: cells of the first rows.
    """

    separator: str
    decimal: str
    names: tuple[str, ...]
    named: bool
    skip: int
    rows: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> int:
        """Cells in a row."""
        return len(self.names)

    def sample(self, path: Path) -> Table:
        """The first rows as a table, with columns of whole numbers, numbers or texts."""
        columns = [[row[i] for row in self.rows] for i in range(self.width)]
        return Table(path, self.names, tuple(_column(cells, self.decimal) for cells in columns), self.named)


def split(line: str, separator: str) -> list[str]:
    """Cells of a line, without the blanks round them."""
    if separator == " ":
        return line.split()
    try:
        cells = next(csv.reader([line.strip("\r\n")], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # a cell of more than 128 KiB, or one broken over lines
        cells = line.split(separator)
    return [cell.strip() for cell in cells]


def find_dialect(path: Path, lines: Sequence[str], options: ReadOptions) -> Dialect:
    """Tell how a table is written.

    Args:
        path: of the file, for messages.
        lines: its first ones, whole.
        options: separator and header, where the user knows.

    Raises:
        RecordingError: no table; says where its rows stop being alike.
    """
    data = [
        (i, line) for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(COMMENTS)
    ]
    if not data:
        raise RecordingError(path, "no line of a table", expected="rows of cells")
    separator = _separator(path, [line for _, line in data[:_PROBED]], options)
    rows = [(i, split(line, separator)) for i, line in data[: _ROWS + 2]]
    decimal = _decimal(separator, [cell for _, row in rows[:_PROBED] for cell in row])
    heading = _heading(rows, decimal, options)
    skip = rows[heading][0] if heading < len(rows) else rows[-1][0] + 1
    body = [row for _, row in rows[heading:]]
    width = len(body[0]) if body else len(rows[0][1])
    names = _names([row for _, row in rows[:heading]], width)
    if names is None and heading:
        raise RecordingError(
            path, f"{width} cells under {len(rows[0][1])} names", expected="as many", line=skip + 1
        )
    if names is None and options.header is not False:
        names = _commented(lines[: rows[0][0]], separator, width)
    same = next((place for place, row in enumerate(body) if len(row) != width), len(body))
    return Dialect(
        separator,
        decimal,
        names or ("",) * width,
        names is not None,
        skip if heading else 0,
        tuple(tuple(row) for row in body[:same]),
    )


def _separator(path: Path, lines: Sequence[str], options: ReadOptions) -> str:
    if options.separator is not None:
        given = options.separator
        separator = given if given in _SEPARATORS else _SPOKEN.get(given.strip().lower(), given)
        if len(separator) != 1 or separator in '"\r\n':
            raise RecordingError(path, f"separator '{given}'", expected="one character, 'tab' or 'blanks'")
        return separator
    for separator in _SEPARATORS:
        widths = [len(split(line, separator)) for line in lines]
        common = max(widths[1:], default=widths[0])
        alike = all(width == common for width in widths[1:]) and common - 1 <= widths[0] <= common
        if alike and min(widths) > 1 and not (separator == "," and _commas_are_decimal(lines)):
            return separator
    return (
        max(_SEPARATORS[:-1], key=lambda each: sum(each in line for line in lines))
        if _any_splits(lines)
        else " "
    )


def _any_splits(lines: Sequence[str]) -> bool:
    return any(separator in line for line in lines for separator in _SEPARATORS[:-1])


def _commas_are_decimal(lines: Sequence[str]) -> bool:
    """Whether blanks separate and commas stand in numbers: ``0,5 1,25``."""
    rows = [line.split() for line in lines[-5:]]
    return all(len(row) > 1 and all(_COMMA_NUMBER.fullmatch(c) or c.isdigit() for c in row) for row in rows)


def _decimal(separator: str, cells: Sequence[str]) -> str:
    if separator == ",":
        return "."
    commas = any(_COMMA_NUMBER.fullmatch(cell) for cell in cells)
    return "," if commas and not any(_POINT_NUMBER.fullmatch(cell) for cell in cells) else "."


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell is a number."""
    try:
        float(cell.replace(",", ".") if decimal == "," else cell)
    except ValueError:
        return False
    return "_" not in cell  # Python's own digits groups


def _is_name(cell: str, decimal: str) -> bool:
    return not is_missing(cell) and not is_number(cell, decimal) and not is_date(cell)


def _heading(rows: Sequence[tuple[int, list[str]]], decimal: str, options: ReadOptions) -> int:
    """Rows before the first sample: names, and perhaps units below them."""
    if options.header is False:
        return 0
    first = rows[0][1]
    if options.header is None and not (
        any(_is_name(cell, decimal) for cell in first)
        and not any(is_number(cell, decimal) for cell in first if cell)
    ):
        return 0
    if options.header is None and any(is_date(cell) for cell in first):
        return 0
    units = len(rows) > 2 and all(_is_unit(cell) for cell in rows[1][1]) and any(rows[1][1])
    return 2 if units and any(is_number(cell, decimal) for cell in rows[2][1]) else 1


def _is_unit(cell: str) -> bool:
    name = parse_name(f"a [{cell.strip('[]() ')}]")
    return not cell or name.length is not None or name.time is not None or name.degrees is not None


def _names(heading: Sequence[list[str]], width: int) -> tuple[str, ...] | None:
    if not heading:
        return None
    names = list(heading[0])
    if len(names) == width - 1:  # rows end in a separator, the header does not
        names.append("")
    if len(names) == width + 1 and not names[-1]:
        names.pop()
    if len(heading) > 1:
        units = [*heading[1], *[""] * width]
        names = [
            f"{name} [{unit.strip('[]() ')}]" if unit else name
            for name, unit in zip(names, units, strict=False)
        ]
    return tuple(names) if len(names) == width else None


def _commented(lines: Sequence[str], separator: str, width: int) -> tuple[str, ...] | None:
    """Names in the last comment before the rows, if it is a list of names and not a sentence."""
    comments = [line for line in lines if line.strip()]
    if not comments:
        return None
    names = split(comments[-1].strip().lstrip("".join(COMMENTS) + " "), separator)
    known = find_axes([parse_name(name) for name in names])
    return tuple(names) if len(names) == width and known else None


def _column(cells: Sequence[str], decimal: str) -> Column:
    import pyarrow as pa  # noqa: PLC0415

    known = [cell for cell in cells if not is_missing(cell)]
    if not all(is_number(cell, decimal) for cell in known):
        return pa.array([None if is_missing(cell) else cell for cell in cells], pa.string())
    if known and all(cell.lstrip("+-").isdigit() and abs(int(cell)) < 2**63 for cell in known):
        return pa.array([None if is_missing(cell) else int(cell) for cell in cells], pa.int64())
    numbers = [
        None if is_missing(cell) else float(cell.replace(",", ".") if decimal == "," else cell)
        for cell in cells
    ]
    return pa.array(numbers, pa.float64())
