"""Parquet shards, read by row group: some hundred thousand samples at a time, any of them at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TIME_UNITS, ReadOptions
from examples.trajectory_3d.recordings.trajectory import LENGTH_UNITS, NANOSECONDS, Trajectory, relative
from examples.trajectory_3d.recordings.trajectory_json import MARKER

MOST_ROWS = 4_000_000  # of a row group; several are in memory at once
_MAGIC = b"PAR1"
_POSITION = ("x", "y", "z")
_TIMES = ("time", "time_ns")
_TRACK = "track"


@dataclass(frozen=True)
class Shard:
    """A Parquet file of samples.

    Attributes:
        path: of the file.
        rows: samples in each row group.
        time: column of the stamps.
        track: column that says who moved; None without.
        position: columns of the coordinates.
        unit: of the coordinates.
        seconds: in a unit of the stamps, where they are numbers.
    """

    path: Path
    rows: tuple[int, ...]
    time: str
    track: str | None
    position: tuple[str, ...]
    unit: str
    seconds: float


def is_parquet(path: Path) -> bool:
    """Whether a file begins as Parquet does."""
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


def samples_in(path: Path) -> int:
    """Rows of a Parquet file, by its footer alone.

    Raises:
        RecordingError: a damaged file.
    """
    return int(_open(path).metadata.num_rows)


def open_shard(path: Path, options: ReadOptions) -> Shard:
    """What a shard's footer says.

    Columns are those that the options name, else ``time`` or ``time_ns``, ``track`` if there is one, and
    ``x``, ``y``, ``z`` as far as they are there, or what `recordings.writing.parquet` wrote down.

    Raises:
        RecordingError: a damaged file, one without such columns, or with row groups too large to hold.
    """
    file = _open(path)
    columns = set(file.schema_arrow.names)
    told = _described(file)
    time = options.time or next((name for name in _TIMES if name in columns), _TIMES[0])
    track = options.track or (_TRACK if _TRACK in columns else None)
    own = tuple(told.get("names", ()))[:3] or tuple(name for name in _POSITION if name in columns)
    position = tuple(options.position or own)[:3]
    for name in (time, *([track] if track else []), *position):
        if name not in columns:
            raise RecordingError(path, f"no column '{name}'", expected=f"one of {', '.join(sorted(columns))}")
    if not position:
        raise RecordingError(path, "no columns x, y, z", expected="dataset.read.position to name them")
    rows = tuple(file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups))
    if max(rows, default=0) > MOST_ROWS:
        raise RecordingError(
            path,
            f"a row group of {max(rows):,} rows, too many to be streamed",
            expected=f"at most {MOST_ROWS:,}; trajectory-3d-data convert writes smaller ones",
        )
    unit = options.unit or told.get("unit", "unknown")
    seconds = TIME_UNITS[options.time_unit or ("ns" if time == "time_ns" else "s")]
    return Shard(path, rows, time, track, position, unit if unit in LENGTH_UNITS else "unknown", seconds)


def read_tracks(shard: Shard, number: int) -> list[Trajectory]:
    """The tracks of a row group, in the order in which they begin; stamps count from Unix or the file's zero.

    Raises:
        RecordingError: damaged content, or columns that are no numbers.
    """
    columns = [shard.time, *([shard.track] if shard.track else []), *shard.position]
    table = _read(shard, number, columns)
    stamps = _stamps(shard, table)
    points = np.stack([_numbers(shard, table, name) for name in shard.position], axis=1)
    tracks = []
    for name, rows in labelled(shard, table):
        times, start = relative(stamps[rows])
        tracks.append(
            Trajectory(
                times,
                points[rows],
                names=shard.position,
                unit=shard.unit,
                start_ns=start,
                track=name,
                source=str(shard.path),
                format="parquet",
            )
        )
    return tracks


def read_stamps(shard: Shard, number: int) -> tuple[IntArray, list[tuple[str, IntArray]]]:
    """Stamps of a row group in nanoseconds ``[N]``, and the rows of each track; positions are not read."""
    table = _read(shard, number, [shard.time, *([shard.track] if shard.track else [])])
    return _stamps(shard, table), labelled(shard, table)


def labelled(shard: Shard, table: Any) -> list[tuple[str, IntArray]]:
    """Tracks of a table in the order in which they begin, and the rows of each."""
    if shard.track is None:
        return [("", np.arange(len(table)))]
    encoded = table.column(shard.track).combine_chunks().dictionary_encode()
    chunk = encoded.combine_chunks() if hasattr(encoded, "combine_chunks") else encoded
    codes = np.asarray(chunk.indices.fill_null(len(chunk.dictionary)), dtype=np.int64)
    names = ["" if name is None else str(name) for name in [*chunk.dictionary.to_pylist(), None]]
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    rows = np.split(order, ends[:-1])
    return [(name, each) for name, each in zip(names, rows, strict=True) if len(each)]


def _open(path: Path) -> Any:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RecordingError(
            path, f"damaged Parquet ({_first_line(error)})", expected="a whole file"
        ) from error


def _read(shard: Shard, number: int, columns: list[str]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    file = _open(shard.path)
    if (
        file.metadata.num_row_groups <= number
        or file.metadata.row_group(number).num_rows != shard.rows[number]
    ):
        raise RecordingError(
            shard.path, "changed since it was opened", expected="files that stay as they are"
        )
    try:
        return file.read_row_group(number, columns=columns, use_threads=False)  # workers have a core each
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RecordingError(
            shard.path, f"row group {number + 1} is damaged ({_first_line(error)})", expected="a whole file"
        ) from error


def _stamps(shard: Shard, table: Any) -> IntArray:
    import pyarrow as pa  # noqa: PLC0415

    column = table.column(shard.time)
    if pa.types.is_timestamp(column.type):
        whole = column.cast(pa.timestamp("ns", tz=column.type.tz)).cast(pa.int64())
    elif pa.types.is_integer(column.type) and shard.seconds == TIME_UNITS["ns"]:
        whole = column.cast(pa.int64())
    else:
        values = _numbers(shard, table, shard.time) * shard.seconds
        if not np.isfinite(values).all():
            raise RecordingError(shard.path, f"'{shard.time}' holds values that are no time")
        seconds = np.floor(values)
        rest = np.rint((values - seconds) * NANOSECONDS).astype(np.int64)
        return np.asarray(seconds.astype(np.int64) * NANOSECONDS + rest)
    if whole.null_count:
        raise RecordingError(shard.path, f"'{shard.time}' has empty cells", expected="a time in each row")
    return np.asarray(whole.to_numpy(), dtype=np.int64)


def _numbers(shard: Shard, table: Any, name: str) -> Float64Array:
    import pyarrow as pa  # noqa: PLC0415

    try:
        column = table.column(name).cast(pa.float64())
    except (pa.ArrowException, ValueError) as error:
        raise RecordingError(shard.path, f"'{name}' holds no numbers", expected="numbers") from error
    return np.array(column.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _described(file: Any) -> dict[str, Any]:
    """What the product's own writer says of the first track; empty for files of others."""
    try:
        content = json.loads((file.schema_arrow.metadata or {}).get(MARKER.encode(), b"{}"))
        first = content["tracks"][0]
    except (ValueError, LookupError, TypeError):
        return {}
    return first if isinstance(first, dict) else {}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
