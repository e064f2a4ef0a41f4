"""Paths on Earth whose points may or may not have times, as GPX and KML hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.trajectory_3d.recordings.assembly import distinct, local_points, plural, timed
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.trajectory import Trajectory


@dataclass(frozen=True)
class TimedPath:
    """One path, not empty.

    Attributes:
        name: of its track.
        stamps: nanoseconds since 1970 in UTC of every point that has a time.
        places: latitude and longitude in degrees and altitude in metres, NaN where there is none.
    """

    name: str
    stamps: Sequence[int | None]
    places: Sequence[tuple[float, float, float]]


def path_tracks(source: Path, options: ReadOptions, paths: Sequence[TimedPath]) -> list[Trajectory]:
    """The tracks of all paths in local metres; those without times are left out where others have some.

    Raises:
        RecordingError: no times at all and no rate, or a path without any complete place.
    """
    kept, notes = _with_times(paths, options)
    labels = distinct([path.name for path in kept])
    return [_track(source, options, each, label, notes) for each, label in zip(kept, labels, strict=True)]


def _with_times(paths: Sequence[TimedPath], options: ReadOptions) -> tuple[list[TimedPath], tuple[str, ...]]:
    """The paths that have times, and a note that counts the others.

    All of them where a rate is given, which serves those without, and where none has times.
    """
    kept = [path for path in paths if any(stamp is not None for stamp in path.stamps)]
    if options.rate or not kept or len(kept) == len(paths):
        return list(paths), ()
    points = sum(len(path.places) for path in paths) - sum(len(path.places) for path in kept)
    left = plural(len(paths) - len(kept), "path")
    return kept, (f"{left} with {points} points left out for want of times (a rate would give them some)",)


def _track(
    source: Path, options: ReadOptions, path: TimedPath, label: str, notes: tuple[str, ...]
) -> Trajectory:
    keep, times, start, clock, lost = timed(source, path.stamps, options, f"'{label}'")
    latitude, longitude, altitude = zip(
        *(place for place, kept in zip(path.places, keep, strict=True) if kept), strict=True
    )
    local, origin, more = local_points(source, latitude, longitude, altitude)
    return Trajectory(
        times,
        local,
        unit="m",
        frame="enu",
        clock=clock,
        start_ns=start,
        track=label,
        origin=origin,
        notes=notes + lost + more,
    )
