"""A track as columns for people: latitude, longitude and altitude again where it was recorded so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.trajectory import Trajectory

GEODETIC = ("latitude", "longitude", "altitude")
_GEODETIC_UNITS = ("deg", "deg", "m")


def output_points(track: Trajectory) -> tuple[tuple[str, ...], Float64Array]:
    """Names of columns and values ``[N, D]``; degrees and metres for a track with an origin.

    Raises:
        ValueError: an origin, but a position of fewer than three columns or another unit than metres.
    """
    if track.origin is None:
        return track.names, track.points
    if len(track.names) < 3 or track.unit != "m":
        raise ValueError(f"track '{track.track}' has an origin on Earth, but is not three columns of metres")
    place = to_geodetic(track.points[:, :3], track.origin)
    return GEODETIC + track.names[3:], np.hstack([place, track.points[:, 3:]])


def column_units(track: Trajectory) -> tuple[str, ...]:
    """Unit of every column that `output_points` gives; empty where it is unknown."""
    if track.origin is not None:
        return _GEODETIC_UNITS + ("",) * (len(track.names) - 3)
    unit = "" if track.unit == "unknown" else track.unit
    return (unit,) * track.dimensions + ("",) * (len(track.names) - track.dimensions)


def one_kind(tracks: Sequence[Trajectory]) -> None:
    """Refuse tracks that cannot stand under one header.

    Raises:
        ValueError: they differ in columns, unit, clock or frame, or some are geodetic and some not.
    """
    first = tracks[0]
    for track in tracks[1:]:
        for what in ("names", "unit", "clock", "frame"):
            one, other = getattr(first, what), getattr(track, what)
            if one != other:
                raise ValueError(
                    f"tracks '{first.track}' and '{track.track}' differ in {what} ({one} and {other}); "
                    "write json or parquet"
                )
        if (track.origin is None) != (first.origin is None):
            raise ValueError("some tracks have an origin on Earth and some have none; write json")
