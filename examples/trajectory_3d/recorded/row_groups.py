"""Parquet shards, read by row group: some hundred thousand samples at a time, any of them at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from examples.trajectory_3d.arrays import IntArray
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.tables.arrow_tables import arrow_faults, sources_of, table_of
from examples.trajectory_3d.recordings.tables.assemble import SAMPLE, Assembler
from examples.trajectory_3d.recordings.tables.cells import labels
from examples.trajectory_3d.recordings.tables.choose import Layout, choose
from examples.trajectory_3d.recordings.tables.stamps import stamps_of
from examples.trajectory_3d.recordings.tables.table import Table
from examples.trajectory_3d.recordings.trajectory import LENGTH_UNITS, Trajectory
from examples.trajectory_3d.recordings.trajectory_json import MARKER

MOST_ROWS = 4_000_000  # of a row group; several are in memory at once
_MAGIC = b"PAR1"
_FORMAT = "parquet"
_TIME_NS, _TRACK = "time_ns", "track"  # columns of the product's own writer


@dataclass(frozen=True)
class Shard:
    """A Parquet file of samples.

    Attributes:
        path: of the file.
        rows: samples in each row group.
        layout: what its columns are.
        sample: its first rows, which name the columns.
        timed: columns of the file that say when and who.
        placed: all columns of the file that are used.
    """

    path: Path
    rows: tuple[int, ...]
    layout: Layout
    sample: Table
    timed: tuple[str, ...]
    placed: tuple[str, ...]

    @property
    def unit(self) -> str:
        """Of the position."""
        return self.layout.unit


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does."""
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


def samples_in(path: Path) -> int:
    """Rows of a Parquet file, by its footer alone.

    Raises:
        RecordingError: a damaged file.
    """
    with arrow_faults(path, "Parquet file"):
        return int(_open(path).metadata.num_rows)


def open_shard(path: Path, options: ReadOptions) -> Shard:
    """What a shard's columns are.

    Raises:
        RecordingError: a damaged file, columns that cannot be told, no stamps, or row groups too large to
            hold.
    """
    with arrow_faults(path, "Parquet file"):
        file = _open(path)
        groups = file.metadata.num_row_groups
        rows = tuple(file.metadata.row_group(number).num_rows for number in range(groups))
        if not any(rows):
            raise RecordingError(path, "a table without rows", expected="at least one sample")
        if max(rows) > MOST_ROWS:
            raise RecordingError(
                path,
                f"a row group of {max(rows):,} rows, too many to be streamed",
                expected=f"at most {MOST_ROWS:,}; trajectory-3d-data convert writes smaller ones",
            )
        head = next(file.iter_batches(batch_size=SAMPLE, row_groups=[rows.index(max(rows))]))
        sample = table_of(path, head)
        layout = choose(sample, _told(file, options))
        origins = sources_of(path, head)
    if layout.timing.kind == "rate":
        raise RecordingError(
            path,
            "no column of times, which streamed windows need",
            expected="stamps; trajectory-3d-data convert writes them",
        )
    who = () if layout.track is None else (layout.track,)
    timed = tuple(dict.fromkeys(origins[i] for i in (*layout.timing.columns, *who)))
    placed = tuple(dict.fromkeys(origins[i] for i in layout.columns))
    return Shard(path, rows, replace(layout, extra=()), sample, timed, placed)


def read_tracks(shard: Shard, number: int) -> list[Trajectory]:
    """The tracks of a row group, in the order in which they begin.

    Places on Earth become metres round the first of each track in the row group, since windows do not reach
    beyond it.

    Raises:
        RecordingError: damaged content, a value of the wrong kind, or a file that has changed.
    """
    with arrow_faults(shard.path, "Parquet file"):
        return Assembler(shard.layout, _FORMAT).pieces(_table(shard, number, shard.placed))


def read_stamps(shard: Shard, number: int) -> tuple[IntArray, dict[str, int]]:
    """Stamps of a row group in nanoseconds ``[N]``, and samples of each track; positions are not read."""
    with arrow_faults(shard.path, "Parquet file"):
        table = _table(shard, number, shard.timed)
        stamps = stamps_of(shard.layout.timing, table)
        if shard.layout.track is None:
            return stamps.values[stamps.known], {"": len(table)}
        codes, names = labels(table, shard.layout.track)
    counts = {name: int((codes == code).sum()) for code, name in enumerate(names)}
    return stamps.values[stamps.known], counts


def _open(path: Path) -> Any:
    import pyarrow.parquet as pq  # noqa: PLC0415

    return pq.ParquetFile(path)


def _table(shard: Shard, number: int, columns: tuple[str, ...]) -> Table:
    file = _open(shard.path)
    groups = file.metadata.num_row_groups
    if groups != len(shard.rows) or file.metadata.row_group(number).num_rows != shard.rows[number]:
        raise RecordingError(
            shard.path, "changed since it was opened", expected="files that stay as they are"
        )
    content = file.read_row_group(
        number, columns=list(columns), use_threads=False
    )  # workers have a core each
    return table_of(shard.path, content.combine_chunks(), sum(shard.rows[:number]), shard.sample)


def _told(file: Any, options: ReadOptions) -> ReadOptions:
    """The options, and what the product's own writer says of the file where they say nothing."""
    try:
        content = json.loads((file.schema_arrow.metadata or {}).get(MARKER.encode(), b"{}"))
        facts = content["tracks"][0]
        names, unit = [str(name) for name in facts["names"][:3]], facts["unit"]
    except (ValueError, LookupError, TypeError):
        return options
    columns = file.schema_arrow.names
    changes: dict[str, Any] = {}
    if options.position is None and set(names) <= set(columns):
        changes["position"] = tuple(names)
    if options.track is None and _TRACK in columns:
        changes["track"] = _TRACK
    if options.unit is None and unit in LENGTH_UNITS:
        changes["unit"] = unit
    if options.time is None and _TIME_NS in columns:
        changes |= {"time": _TIME_NS, "time_unit": "ns"}
    return replace(options, **changes)
