"""Lines of a text file as cells that say where their faults are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from examples.trajectory_3d.recordings.epochs import decimal_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.source import Source

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_MISSING = frozenset({"nan", "+nan", "-nan"})


def parse_number(text: str) -> float:
    """A finite decimal number, or NaN where the text says so.

    Stricter than `float`, which also takes underscores, digits of other scripts and infinities.

    Raises:
        ValueError: another text.
    """
    cell = text.strip()
    if _NUMBER.fullmatch(cell):
        value = float(cell)
        if math.isfinite(value):
            return value
    elif cell.lower() in _MISSING:
        return math.nan
    raise ValueError(f"{text!r} is no number")


def shown(text: str) -> str:
    """A cell as errors quote it: in quotes, cut where it is long."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


@dataclass(frozen=True)
class Row:
    """One line, cut into cells.

    Attributes:
        path: of its file.
        line: its number, from 1.
        text: the line without its end.
        separator: between cells; None for blanks, any number of them.
    """

    path: Path
    line: int
    text: str
    separator: str | None = None

    @cached_property
    def cells(self) -> list[str]:
        """The parts, as they stand."""
        return self.text.split(self.separator)

    def column(self, cell: int) -> int:
        """Where a cell begins, or should: its character in the line, from 1."""
        if self.separator is None:
            starts = [found.start() for found in re.finditer(r"\S+", self.text)]
        else:
            starts = [0, *(found.end() for found in re.finditer(re.escape(self.separator), self.text))]
        return (starts[cell] if cell < len(starts) else len(self.text)) + 1

    def fault(self, problem: str, *, expected: str | None = None, cell: int | None = None) -> RecordingError:
        """The error to raise for this line, or for one of its cells (from 0)."""
        column = None if cell is None else self.column(cell)
        return RecordingError(self.path, problem, expected=expected, line=self.line, column=column)

    def require(self, count: int, expected: str) -> None:
        """Raise `RecordingError` unless there are exactly so many cells."""
        if len(self.cells) != count:
            raise self.fault(f"{len(self.cells)} cells", expected=expected, cell=min(count, len(self.cells)))

    def number(self, cell: int, expected: str = "a number") -> float:
        """A cell as a finite number or NaN; `RecordingError` for other text."""
        try:
            return parse_number(self.cells[cell])
        except (ValueError, IndexError):
            raise self.fault(self._found(cell), expected=expected, cell=cell) from None

    def numbers(self, first: int, last: int, expected: str = "a number") -> list[float]:
        """Cells ``first`` to before ``last`` as numbers."""
        if last <= len(self.cells) and self.text.isascii() and "_" not in self.text:
            try:  # at one go; what `float` takes and `parse_number` does not is ruled out
                values = list(map(float, self.cells[first:last]))
            except ValueError:
                values = []
            if len(values) == last - first and all(map(math.isfinite, values)):
                return values
        return [self.number(cell, expected) for cell in range(first, last)]

    def nanoseconds(self, cell: int, expected: str = "a time in seconds") -> int:
        """A cell of decimal seconds as whole nanoseconds, without going through binary fractions."""
        try:
            return decimal_ns(self.cells[cell])
        except (ValueError, IndexError):
            raise self.fault(self._found(cell), expected=expected, cell=cell) from None

    def _found(self, cell: int) -> str:
        return shown(self.cells[cell]) if cell < len(self.cells) else "the line ends"


def split_lines(text: str) -> list[str]:
    """Lines by any of the three line ends; unlike `str.splitlines`, not by the odd controls of Unicode."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def rows(source: Source, *, separator: str | None = None, comment: str | None = "#") -> Iterator[Row]:
    """The lines of a file that are neither blank nor comments."""
    for number, line in enumerate(split_lines(source.text()), start=1):
        stripped = line.strip()
        if stripped and not (comment and stripped.startswith(comment)):
            yield Row(source.path, number, line, separator)


def head_cells(source: Source, count: int = 20, *, comment: str = "#") -> list[list[str]]:
    """Cells by blanks of up to so many whole lines of the head that are neither blank nor comments."""
    stripped = (line.strip() for line in source.head_lines())
    lines = [line for line in stripped if line and not line.startswith(comment)]
    return [line.split() for line in lines[:count]]
