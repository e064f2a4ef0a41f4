"""GeoJSON lines with times among their properties; degrees and metres.

Source of the format: RFC 7946. It has no times of its own; read are ``times`` or ``coordTimes`` among a
feature's properties, or in ``coordinateProperties`` there, as `togeojson` and others write them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.assembly import (
    check_place,
    distinct,
    local_points,
    only_metres,
    timed,
)
from examples.trajectory_3d.recordings.epochs import iso_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.geodesy import to_local
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.trajectory_json import MARKER, track_from

_KINDS = ("FeatureCollection", "Feature", "LineString", "MultiLineString")


def sniff(source: Source) -> Match:
    """Certain by the kind of a feature or line near its beginning."""
    head = (source.head_text or "").lstrip()
    if not head.startswith("{"):
        return Match.NO
    compact = "".join(head[:4096].split())
    return Match.CERTAIN if any(f'"type":"{kind}"' in compact for kind in _KINDS) else Match.NO


@register_format("geojson", "GeoJSON lines", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Every line as local metres; without times in the file it needs a rate.

    Raises:
        RecordingError: damaged JSON, a line that is not as RFC 7946 says, or no times and no rate.
    """
    only_metres(source.path, options)
    try:
        features = list(_features(json.loads(source.text())))
        tracks = [track for each in features for track in _tracks(source, options, *each)]
    except json.JSONDecodeError as error:
        raise RecordingError(
            source.path,
            f"no JSON ({error.msg})",
            expected="a whole file",
            line=error.lineno,
            column=error.colno,
        ) from error
    except (ValueError, RecursionError, OverflowError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(source.path, str(error), expected="GeoJSON with lines") from error
    if not tracks:
        raise RecordingError(
            source.path, "no LineString in it", expected="a line with times in its properties"
        )
    if any(MARKER in properties for _, properties, _ in features):
        return tracks
    labels = distinct([track.track for track in tracks])
    return [replace(track, track=label) for track, label in zip(tracks, labels, strict=True)]


def _features(content: object) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Place in the file, properties and geometry of every feature that has one."""
    facts = _object(content, "the file")
    kind = facts.get("type")
    if kind == "FeatureCollection":
        for number, feature in enumerate(_list(facts.get("features"), "features")):
            where = f"features[{number}]"
            yield where, *_parts(_object(feature, where), where)
    elif kind == "Feature":
        yield "feature", *_parts(facts, "feature")
    else:
        yield "geometry", {}, facts


def _parts(feature: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    properties, geometry = (feature.get(key) for key in ("properties", "geometry"))
    return (
        {} if properties is None else _object(properties, f"{where}.properties"),
        {} if geometry is None else _object(geometry, f"{where}.geometry"),
    )


def _tracks(
    source: Source, options: ReadOptions, where: str, properties: dict[str, Any], geometry: dict[str, Any]
) -> Iterator[Trajectory]:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if MARKER in properties:
        lines = {"LineString": coordinates, "Point": [coordinates]}.get(str(kind), [])
        yield _own(_places(lines, where), _object(properties[MARKER], where), where)
        return
    name = next((str(properties[key]) for key in ("name", "track", "id") if properties.get(key)), where)
    times = _times(properties)
    if kind == "LineString":
        yield _line(source, options, name, (coordinates, times, where))
    elif kind == "MultiLineString":
        lines = _list(coordinates, where)
        stamps = [None] * len(lines) if times is None else _list(times, f"{where} times")
        if len(stamps) != len(lines):
            raise ValueError(f"{where}: {len(stamps)} lists of times for {len(lines)} lines")
        for number, (line, each) in enumerate(zip(lines, stamps, strict=True), start=1):
            yield _line(source, options, f"{name}, part {number}", (line, each, where))


def _line(source: Source, options: ReadOptions, name: str, line: tuple[object, object, str]) -> Trajectory:
    """A track of a line's coordinates and times; its place in the file is for errors."""
    coordinates, times, where = line
    places = _places(coordinates, where)
    if not len(places):
        raise ValueError(f"{where}: a line without points")
    stamps = [None] * len(places) if times is None else [_stamp(each, where) for each in _list(times, where)]
    if len(stamps) != len(places):
        raise ValueError(f"{where}: {len(stamps)} times for {len(places)} points")
    keep, seconds, start, clock, notes = timed(source.path, stamps, options, f"line '{name}'")
    local, origin, more = local_points(source.path, *(column.tolist() for column in places[keep].T))
    return Trajectory(
        seconds,
        local,
        unit="m",
        frame="enu",
        clock=clock,
        start_ns=start,
        track=name,
        origin=origin,
        notes=notes + more,
    )


def _own(places: Float64Array, facts: dict[str, Any], where: str) -> Trajectory:
    """A track as our writer put it: times, lost samples and further columns beside the line."""
    stamps, lost = (_list(facts.get(key), f"{where} {key}") for key in ("times_ns", "lost"))
    if not all(type(each) is int and 0 <= each < len(stamps) for each in lost):
        raise ValueError(f"{where}: lost samples that are none")
    there = np.ones(len(stamps), dtype=bool)
    there[np.array(lost, dtype=np.int64)] = False
    if int(there.sum()) != len(places):
        raise ValueError(f"{where}: {len(places)} points for {int(there.sum())} times")
    blank = track_from({**facts, "times_ns": stamps, "points": _list(facts.get("others"), f"{where} others")})
    if blank.origin is None or len(blank.names) < 3:
        raise ValueError(f"{where}: no origin of its local frame")
    points = blank.points.copy()
    points[there, :3] = to_local(places[:, 0], places[:, 1], places[:, 2], blank.origin)[0]
    return replace(blank, points=points)


def _places(coordinates: object, where: str) -> Float64Array:
    """Latitude, longitude and altitude ``[N, 3]`` of positions, whose order in GeoJSON is longitude first."""
    rows: list[tuple[float, float, float]] = []
    for each in _list(coordinates, f"{where} coordinates"):
        if (
            not isinstance(each, list)
            or len(each) < 2
            or not all(type(part) in {int, float} for part in each)
        ):
            raise ValueError(f"{where}: point {len(rows)} is no list of longitude, latitude and altitude")
        longitude, latitude, altitude = (float(part) for part in [*each, math.nan][:3])
        wrong = check_place(latitude, longitude, altitude)
        if wrong:
            raise ValueError(f"{where}: {wrong} of point {len(rows)}")
        rows.append((latitude, longitude, altitude))
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _times(properties: dict[str, Any]) -> object:
    nested = properties.get("coordinateProperties")
    for holder in (properties, nested if isinstance(nested, dict) else {}):
        for key in ("times", "coordTimes"):
            if holder.get(key) is not None:
                found: object = holder[key]
                return found
    return None


def _stamp(value: object, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{where}: a time {value!r} that is no ISO 8601 text")
    return iso_ns(value)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list")
    return value
