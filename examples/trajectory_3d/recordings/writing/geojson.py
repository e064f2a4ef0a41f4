"""GeoJSON: every track a line on Earth, with its times among the properties."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from examples.trajectory_3d.arrays import BoolArray
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory
from examples.trajectory_3d.recordings.trajectory_json import MARKER, content
from examples.trajectory_3d.recordings.writers import register_writer


@register_writer("geojson", "GeoJSON", suffixes=(".geojson",))
def write(path: Path, tracks: Sequence[Trajectory]) -> None:
    """A ``FeatureCollection`` by RFC 7946; lost samples are left out of the line and named in its properties.

    Property ``times`` has a date for every point of the line where the clock is UTC, as other programs
    expect; property ``trajectory-3d`` what it takes to read the track back.

    Raises:
        ValueError: a track that is not on Earth, or a point at infinity.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, track in enumerate(tracks):
            file.write((",\n" if number else "\n") + json.dumps(_feature(track), allow_nan=False))
        file.write("\n]}\n")


def _feature(track: Trajectory) -> dict[str, Any]:
    if track.origin is None or len(track.names) < 3 or track.unit != "m":
        raise ValueError(f"track '{track.track}' is not on Earth (it has no origin there); write csv or json")
    there: BoolArray = np.asarray(np.isfinite(track.points[:, :3]).all(axis=1))
    places = to_geodetic(track.points[there, :3], track.origin)[:, [1, 0, 2]].tolist()
    facts = content(track)
    facts["others"] = [
        ([None] * 3 if known else row[:3]) + row[3:]
        for row, known in zip(facts.pop("points"), there.tolist(), strict=True)
    ]
    facts["lost"] = np.flatnonzero(~there).tolist()
    properties: dict[str, Any] = {"track": track.track, MARKER: facts}
    if track.clock == "utc":
        properties["times"] = [_iso(stamp) for stamp in track.stamps_ns()[there].tolist()]
    return {"type": "Feature", "geometry": _geometry(places), "properties": properties}


def _geometry(places: list[list[float]]) -> dict[str, Any] | None:
    """A line; RFC 7946 asks for two points or more in one, so a single point is a ``Point``."""
    if not places:
        return None
    if len(places) == 1:
        return {"type": "Point", "coordinates": places[0]}
    return {"type": "LineString", "coordinates": places}


def _iso(stamp: int) -> str:
    seconds, rest = divmod(stamp, NANOSECONDS)
    digits = f"{rest:09d}".rstrip("0")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{'.' + digits if digits else ''}Z"
