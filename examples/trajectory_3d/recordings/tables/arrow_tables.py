"""Batches of Apache Arrow as tables: structures and vectors become columns of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.tables.table import Column, Table, part_names


def table_of(path: Path, batch: Any, first: int = 0, like: Table | None = None) -> Table:
    """A batch as a table.

    Args:
        path: of the file.
        batch: a pyarrow.RecordBatch or Table, perhaps with some of the columns only.
        first: rows of the file before it.
        like: a table of the same file with all columns, in whose order they are put.

    Raises:
        RecordingError: vectors of different lengths.
    """
    parts = [
        part
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        for part in _parts(path, name, column)
    ]
    if like is None:
        return Table(
            path, tuple(name for name, _, _ in parts), tuple(column for _, _, column in parts), first=first
        )
    columns = {name: column for name, _, column in parts}
    return Table(path, like.names, tuple(columns.get(name) for name in like.names), first=first)


def sources_of(path: Path, batch: Any) -> list[str]:
    """The column of the file that each column of `table_of` comes from."""
    pairs = zip(batch.schema.names, batch.columns, strict=True)
    return [origin for name, column in pairs for _, origin, _ in _parts(path, name, column)]


def _parts(
    path: Path, name: str, column: Column, origin: str | None = None
) -> Iterator[tuple[str, str, Column]]:
    """Columns that one is made of: their names, the name in the file, and themselves."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    origin = origin or name
    kind = column.type
    if pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            field = pc.struct_field(column, [i])
            yield from _parts(path, f"{name}.{kind.field(i).name}", field, origin)
        return
    width = _width(column)
    if width is None:
        yield name, origin, column
        return
    try:
        for i, part in enumerate(part_names(name, width)):
            yield part, origin, pc.list_element(column, i)
    except pa.ArrowInvalid as error:
        raise RecordingError(
            path, f"vectors of different lengths in '{name}'", expected=f"{width}"
        ) from error


def _width(column: Column) -> int | None:
    """Length of a column's vectors of numbers; None for other columns, and where it varies."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    kind = column.type
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not lists or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return None
    ends = pc.min_max(pc.list_value_length(column)).as_py()
    return ends["max"] if ends["max"] and ends["max"] == ends["min"] <= 16 else None


@contextmanager
def arrow_faults(path: Path, what: str) -> Iterator[None]:
    """Say what pyarrow finds wrong as everything else is said.

    Raises:
        RecordingError: whatever it raises.
    """
    import pyarrow as pa  # noqa: PLC0415

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        if isinstance(error, RecordingError):
            raise
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordingError(path, f"damaged {what} ({problem})", expected="a whole file") from error


def checked(batch: Any) -> Any:
    """A batch whose lengths and texts are what its memory holds, which pyarrow trusts in a file by itself.

    Raises:
        pyarrow.ArrowInvalid: it is damaged.
    """
    batch.validate(full=True)
    return batch


def slices(batch: Any, rows: int) -> Sequence[Any]:
    """A batch in pieces of at most so many rows."""
    return [batch.slice(start, rows) for start in range(0, batch.num_rows, rows)]


def parquet_batches(file: Any, rows: int, columns: list[str]) -> Iterator[Any]:
    """All record batches of an open ``pyarrow.parquet.ParquetFile``, of at most so many rows.

    One iteration over the whole file would keep the pages it has read until its end, most of the file; so
    there is one for each run of row groups that hold about so many rows together.
    """
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    for groups in _runs(sizes, rows):
        yield from file.iter_batches(batch_size=rows, columns=columns, row_groups=groups)


def _runs(sizes: Sequence[int], rows: int) -> Iterator[list[int]]:
    """Numbers of neighbouring row groups, in runs of at most so many rows or of one group."""
    run: list[int] = []
    held = 0
    for number, size in enumerate(sizes):
        if run and held + size > rows:
            yield run
            run, held = [], 0
        run.append(number)
        held += size
    if run:
        yield run
