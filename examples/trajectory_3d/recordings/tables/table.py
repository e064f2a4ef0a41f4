"""A table of columns: what every tabular format is read into first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.recordings.errors import RecordingError

Column: TypeAlias = Any  # a pyarrow.Array; pyarrow has no types and is imported only by what reads


@dataclass(frozen=True)
class Table:
    """Columns of equal length, or some of the rows of a longer table.

    Attributes:
        path: of the file.
        names: of the columns; empty texts where the file has none.
        columns: pyarrow arrays, as many as names; None for those that were not read.
        named: whether the names come from the file.
        first: rows of the file before these.
        line_of: line of the file, from 1, that holds a row of this table; None where there are no lines.
    """

    path: Path
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    named: bool = True
    first: int = 0
    line_of: Callable[[int], int] | None = None

    def __len__(self) -> int:
        return next((len(column) for column in self.columns if column is not None), 0)

    def title(self, index: int) -> str:
        """A column for people: its name, else its number from 1."""
        return f"'{self.names[index]}'" if self.named and self.names[index] else str(index + 1)

    def fault(self, row: int, column: int, problem: str, expected: str) -> RecordingError:
        """What is wrong with a cell; ``row`` counts in this table."""
        if self.line_of is not None:
            return RecordingError(
                self.path, problem, expected=expected, line=self.line_of(row), column=column + 1
            )
        place = f"row {self.first + row + 1} of column {self.title(column)}: "
        return RecordingError(self.path, place + problem, expected=expected)

    def slice(self, start: int, stop: int) -> Table:
        """Some of the rows."""
        columns = tuple(None if each is None else each[start:stop] for each in self.columns)
        line_of = self.line_of
        moved = None if line_of is None else (lambda row: line_of(row + start))
        return replace(self, columns=columns, first=self.first + start, line_of=moved)


def from_arrays(path: Path, names: Sequence[str], arrays: Sequence[npt.NDArray[Any]]) -> Table:
    """A table of NumPy arrays ``[N]`` or ``[N, D]``; a wide one gives D columns.

    Raises:
        RecordingError: arrays of different lengths, or of a kind that is no column.
    """
    pairs = [pair for name, array in zip(names, arrays, strict=True) for pair in _split(name, array)]
    lengths = {len(array) for _, array in pairs}
    if len(lengths) > 1:
        sizes = ", ".join(f"'{name}' {len(array)}" for name, array in pairs[:8])
        raise RecordingError(path, f"columns of different lengths ({sizes})", expected="equal lengths")
    columns = tuple(_arrow(path, name, array) for name, array in pairs)
    return Table(path, tuple(name for name, _ in pairs), columns)


def part_names(name: str, width: int) -> list[str]:
    """Names of the columns of a vector: ``pos_x, pos_y, pos_z`` of up to three, else ``pos_1, pos_2`` ..."""
    return [f"{name}_{part}" for part in ("xyz"[:width] if width <= 3 else range(1, width + 1))]


def _split(name: str, array: npt.NDArray[Any]) -> list[tuple[str, npt.NDArray[Any]]]:
    if array.ndim == 1:
        return [(name, array)]
    if array.ndim == 2 and array.shape[1] == 1:
        return [(name, array[:, 0])]
    if array.ndim == 2:
        return [(part, array[:, i]) for i, part in enumerate(part_names(name, array.shape[1]))]
    return []


def _arrow(path: Path, name: str, array: npt.NDArray[Any]) -> Column:
    import pyarrow as pa  # noqa: PLC0415

    values = np.ascontiguousarray(array)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind == "f" and values.dtype.itemsize not in {4, 8}:
        values = values.astype(np.float64)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    try:
        return pa.array(values.tolist() if values.dtype.kind in "US" else values)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise RecordingError(
            path, f"'{name}' holds {values.dtype} values", expected="numbers, texts or dates"
        ) from error
