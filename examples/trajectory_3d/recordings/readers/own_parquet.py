"""Parquet that this package wrote: everything known of each track stands in its metadata.

Other Parquet files, and these where options say which columns to take, are read as tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.readers.columnar import read_parquet, stream_parquet
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.arrow_tables import arrow_faults, parquet_batches
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory
from examples.trajectory_3d.recordings.trajectory_json import MARKER, Facts, described

_SIGNATURE = b"PAR1"
_LONGEST_FOOTER = 1 << 28
_TABLE_OPTIONS = ("time", "position", "track", "rate", "time_unit", "geodetic")


def sniff(source: Source) -> Match:
    """By the signature, and the key of the metadata in the footer."""
    if source.compressed or not source.head.startswith(_SIGNATURE):
        return Match.NO
    return Match.CERTAIN if MARKER.encode() in _footer(source.path) else Match.NO


def stream(source: Source, options: ReadOptions, size: int) -> Iterator[list[Trajectory]]:
    """Pieces of about so many samples, in the order of the rows.

    Raises:
        RecordingError: as `read`.
    """
    if _as_table(options):
        yield from stream_parquet(source, options, size)
        return
    for piece in _pieces(source, size):
        yield [_declared(piece, options)]


@register_format(
    "trajectory-parquet", "Parquet of this package", sniff=sniff, stream=stream, uses=TABLE_CHOICES
)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Every track as it was written.

    Raises:
        RecordingError: a damaged file, or metadata that does not fit the rows.
    """
    if _as_table(options):
        return read_parquet(source, options)
    return [_declared(piece, options) for piece in _pieces(source, None)]


def _as_table(options: ReadOptions) -> bool:
    return bool(options.extra) or any(getattr(options, name) is not None for name in _TABLE_OPTIONS)


def _declared(track: Trajectory, options: ReadOptions) -> Trajectory:
    return replace(track, unit=options.unit or track.unit, frame=options.frame or track.frame)


def _footer(path: Path) -> bytes:
    """The metadata at the end of a Parquet file; empty where there is none."""
    with path.open("rb") as stream_:
        end = stream_.seek(0, 2)
        if end < 12:
            return b""
        stream_.seek(-8, 2)
        tail = stream_.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _SIGNATURE or not 0 < length <= min(end - 12, _LONGEST_FOOTER):
            return b""
        stream_.seek(-8 - length, 2)
        return stream_.read(length)


def _pieces(source: Source, size: int | None) -> Iterator[Trajectory]:
    """Tracks, or pieces of them of at most `size` samples."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    with arrow_faults(source.path, "Parquet file"), pq.ParquetFile(source.path) as file:
        rows = file.metadata.num_rows
        tracks = _tracks(source.path, file.schema_arrow.metadata or {}, rows)
        present = set(file.schema_arrow.names)
        clock = "time" if "time" in present else "time_ns"
        names = list(dict.fromkeys(name for facts, _ in tracks for name in facts["names"]))
        missing = [name for name in (clock, *names) if name not in present]
        if missing:
            raise RecordingError(
                source.path, f"no column '{missing[0]}'", expected="it, as the metadata says"
            )
        waiting = iter(tracks)
        facts, left = next(waiting)
        for batch in parquet_batches(file, size or max(rows, 1), [clock, *names]):
            stamps, columns = _stamps(source.path, batch.column(0)), _columns(source.path, batch, names)
            start = 0
            while start < len(stamps):
                while not left:
                    facts, left = next(waiting)
                part = slice(start, min(start + left, len(stamps)))
                points = np.stack([columns[name][part] for name in facts["names"]], axis=1)
                yield Trajectory(
                    times=(stamps[part] - facts["start_ns"]) / NANOSECONDS, points=points, **facts
                )
                left -= part.stop - start
                start = part.stop


def _tracks(path: Path, metadata: dict[bytes, bytes], rows: int) -> list[tuple[Facts, int]]:
    """What is known of each track, and how many rows it has."""
    try:
        values = json.loads(metadata[MARKER.encode()])["tracks"]
        tracks = [(described(each), int(each["samples"])) for each in values]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordingError(path, f"metadata '{MARKER}' is damaged: {error}") from error
    if any(count < 0 for _, count in tracks) or sum(count for _, count in tracks) != rows:
        raise RecordingError(path, f"metadata '{MARKER}' does not describe the {rows} rows of the file")
    if not rows:
        raise RecordingError(path, "a table without rows", expected="at least one sample")
    return tracks


def _stamps(path: Path, column: Any) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    import pyarrow as pa  # noqa: PLC0415

    whole = pa.types.is_int64(column.type) or column.type == pa.timestamp("ns", tz="UTC")
    if not whole or column.null_count:
        raise RecordingError(
            path, "times that are missing or no nanoseconds", expected="those this package writes"
        )
    return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)


def _columns(
    path: Path, batch: Any, names: list[str]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    import pyarrow as pa  # noqa: PLC0415

    made = {}
    for name in names:
        column = batch.column(name)
        if not pa.types.is_float64(column.type):
            raise RecordingError(
                path, f"column '{name}' holds {column.type}", expected="64-bit floating point"
            )
        made[name] = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
    return made
