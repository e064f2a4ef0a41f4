"""Parquet: one row a sample, and everything else that is known in the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from examples.trajectory_3d.recordings.output_columns import output_points
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.trajectory_json import MARKER, VERSION, description
from examples.trajectory_3d.recordings.writers import register_writer

ROW_GROUP = 100_000  # rows; so many are read at once by what streams windows of shards
_RESERVED = frozenset({"track", "time", "time_ns"})


@register_writer("parquet", "Parquet", suffixes=(".parquet", ".pq"))
def write(path: Path, tracks: Sequence[Trajectory]) -> None:
    """Columns ``track``, ``time``, then those of all tracks, NaN where one has no such column.

    ``time`` is a UTC time stamp in nanoseconds where every clock is UTC; else the column is ``time_ns``,
    whole nanoseconds since the zero of the clock. Tracks with an origin have their local metres and latitude,
    longitude and altitude beside them. Metadata ``trajectory-3d`` is JSON that describes every track, in the
    order of the rows, with the number of its samples.

    Raises:
        ValueError: a column that is called as those of track and time are.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    columns = [_columns(track) for track in tracks]
    names = list(dict.fromkeys(name for each in columns for name in each))
    taken = _RESERVED.intersection(names)
    if taken:
        raise ValueError(f"a column is called '{min(taken)}', as that of the table is")
    utc = all(track.clock == "utc" for track in tracks)
    stamps = np.concatenate([track.stamps_ns() for track in tracks])
    labels = np.repeat(np.arange(len(tracks), dtype=np.int32), [len(track) for track in tracks])
    table: dict[str, Any] = {
        "track": pa.DictionaryArray.from_arrays(
            pa.array(labels), pa.array([track.track for track in tracks], pa.string())
        ).cast(pa.string()),
        "time" if utc else "time_ns": pa.array(stamps, pa.timestamp("ns", tz="UTC") if utc else pa.int64()),
    }
    for name in names:
        parts = [
            each.get(name, np.full(len(track), np.nan)) for each, track in zip(columns, tracks, strict=True)
        ]
        table[name] = pa.array(np.concatenate(parts), pa.float64())
    facts = {"version": VERSION, "tracks": [description(track) for track in tracks]}
    result = pa.table(table)
    result = result.replace_schema_metadata({MARKER: json.dumps(facts)})
    pq.write_table(result, path, row_group_size=ROW_GROUP)


def _columns(track: Trajectory) -> dict[str, np.ndarray]:
    """Columns of a track by name: its own, and its places on Earth where it has an origin.

    Raises:
        ValueError: two columns of one name.
    """
    if len(set(track.names)) < len(track.names):
        raise ValueError(f"track '{track.track}' has two columns of one name")
    own = {name: track.points[:, index] for index, name in enumerate(track.names)}
    if track.origin is None:
        return own
    names, points = output_points(track)
    return {**{name: points[:, index] for index, name in enumerate(names)}, **own}
