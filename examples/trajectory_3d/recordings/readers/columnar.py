"""Tables of Apache Arrow: Parquet by row groups, Feather by batches; in whole or streamed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.arrow_tables import (
    arrow_faults,
    checked,
    parquet_batches,
    slices,
    sources_of,
    table_of,
)
from examples.trajectory_3d.recordings.tables.assemble import SAMPLE, Assembler
from examples.trajectory_3d.recordings.tables.choose import Layout, choose
from examples.trajectory_3d.recordings.trajectory import Trajectory

_ROWS = 1 << 18  # at once, where a whole file is read
_PARQUET, _FEATHER = "parquet", "feather"

Batches = Iterator[Any]  # of pyarrow.RecordBatch


def sniff_parquet(source: Source) -> Match:
    """By the signature; files of this package have their own reader."""
    return Match.LIKELY if source.head.startswith(b"PAR1") else Match.NO


def sniff_feather(source: Source) -> Match:
    """By the signature of Arrow's file format, which Feather 2 is."""
    return Match.CERTAIN if source.head.startswith(b"ARROW1\0\0") else Match.NO


def stream_parquet(source: Source, options: ReadOptions, size: int) -> Iterator[list[Trajectory]]:
    """Pieces of about so many samples; of the columns, only those used are read.

    Raises:
        RecordingError: as `read_parquet`.
    """
    with arrow_faults(source.path, "Parquet file"):
        sample, batches = _parquet(source, size)
        _, pieces = _pieces(source, sample, batches, options, _PARQUET)
        yield from pieces


def stream_feather(source: Source, options: ReadOptions, size: int) -> Iterator[list[Trajectory]]:
    """Pieces of about so many samples, from batch to batch.

    Raises:
        RecordingError: as `read_feather`.
    """
    with arrow_faults(source.path, "Feather file"):
        sample, batches = _feather(source, size)
        _, pieces = _pieces(source, sample, batches, options, _FEATHER)
        yield from pieces


@register_format(_PARQUET, "Parquet table", sniff=sniff_parquet, stream=stream_parquet, uses=TABLE_CHOICES)
def read_parquet(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Tracks of a Parquet table.

    Raises:
        RecordingError: a damaged file, no rows, columns that cannot be told, a value of the wrong kind.
    """
    with arrow_faults(source.path, "Parquet file"):
        assembler, pieces = _pieces(source, *_parquet(source, _ROWS), options, _PARQUET)
        return assembler.whole(track for each in pieces for track in each)


@register_format(
    _FEATHER, "Feather (Arrow) table", sniff=sniff_feather, stream=stream_feather, uses=TABLE_CHOICES
)
def read_feather(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Tracks of a Feather table.

    Raises:
        RecordingError: a damaged file, no rows, columns that cannot be told, a value of the wrong kind.
    """
    with arrow_faults(source.path, "Feather file"):
        assembler, pieces = _pieces(source, *_feather(source, _ROWS), options, _FEATHER)
        return assembler.whole(track for each in pieces for track in each)


def _pieces(
    source: Source, sample: Any, batches: Callable[[list[str]], Batches], options: ReadOptions, name: str
) -> tuple[Assembler, Iterator[list[Trajectory]]]:
    """What assembles the tracks, and those of each batch."""
    first = table_of(source.path, sample)
    if not len(first):
        raise RecordingError(source.path, "a table without rows", expected="at least one sample")
    layout = choose(first, options)
    assembler = Assembler(layout, name)
    origins = sources_of(source.path, sample)
    wanted = list(dict.fromkeys(origins[i] for i in layout.columns))

    def pieces() -> Iterator[list[Trajectory]]:
        row = 0
        for batch in batches(wanted):
            table = table_of(source.path, batch, row, first)
            _check_columns(table, layout)
            row += len(table)
            yield assembler.pieces(table)

    return assembler, pieces()


def _check_columns(table: Any, layout: Layout) -> None:
    missing = [i for i in layout.columns if table.columns[i] is None]
    if missing:
        raise RecordingError(
            table.path,
            f"column {table.title(missing[0])} changes its kind",
            expected="the kind of the first rows",
        )


def _parquet(source: Source, rows: int) -> tuple[Any, Callable[[list[str]], Batches]]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    file = pq.ParquetFile(io.BytesIO(source.read()) if source.compressed else source.path)
    head = next(file.iter_batches(batch_size=SAMPLE, row_groups=[0]), None) if file.num_row_groups else None
    sample = file.schema_arrow.empty_table() if head is None else head

    def batches(columns: list[str]) -> Batches:
        yield from parquet_batches(file, rows, columns)

    return sample, batches


def _feather(source: Source, rows: int) -> tuple[Any, Callable[[list[str]], Batches]]:
    import pyarrow as pa  # noqa: PLC0415

    content = pa.BufferReader(source.read()) if source.compressed else pa.memory_map(str(source.path))
    file = pa.ipc.open_file(content)
    head = next(
        (batch for i in range(file.num_record_batches) if (batch := checked(file.get_batch(i))).num_rows),
        None,
    )
    sample = file.schema.empty_table() if head is None else head.slice(0, SAMPLE)

    def batches(columns: list[str]) -> Batches:
        for i in range(file.num_record_batches):
            yield from slices(checked(file.get_batch(i).select(columns)), rows)

    return sample, batches
