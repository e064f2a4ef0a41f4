"""CSV: one line a sample, with track, time and the columns of the track."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from examples.trajectory_3d.recordings.epochs import seconds_text
from examples.trajectory_3d.recordings.output_columns import column_units, one_kind, output_points
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.writers import register_writer


@register_writer("csv", "CSV", suffixes=(".csv",))
def write(path: Path, tracks: Sequence[Trajectory]) -> None:
    """Comments with clock and frame, a header with units, then ``track, time, columns``.

    Time is in seconds since the zero of the clock with nine decimals, so that nothing is lost: Unix time for
    ``utc``. Numbers have as many digits as they need to be read back the same; lost ones are empty. Tracks
    that were latitude, longitude and altitude are so again.

    Raises:
        ValueError: tracks that differ in columns, unit, clock or frame.
    """
    one_kind(tracks)
    first = tracks[0]
    names, _ = output_points(first)
    units = column_units(first)
    header = [f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# clock: {first.clock}\n")
        if first.origin is None:
            file.write(f"# frame: {_one_line(first.frame)}\n")
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["track", "time [s]", *header])
        for track in tracks:
            _, points = output_points(track)
            stamps = map(seconds_text, track.stamps_ns().tolist())
            rows = zip(stamps, points.tolist(), strict=True)
            out.writerows([track.track, stamp, *map(_cell, row)] for stamp, row in rows)


def _cell(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _one_line(text: str) -> str:
    return " ".join(text.split())
