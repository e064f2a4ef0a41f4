"""Trajectories as plain JSON values and back, without loss: for JSON, Parquet metadata and TUM comments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np

from examples.trajectory_3d.recordings.epochs import MOST_NS
from examples.trajectory_3d.recordings.trajectory import (
    CLOCKS,
    NANOSECONDS,
    Clock,
    Origin,
    Trajectory,
    to_nanoseconds,
)

MARKER = "trajectory-3d"
VERSION = 1


def description(track: Trajectory) -> dict[str, Any]:
    """Everything of a track but its samples, as plain values."""
    place = track.origin
    return {
        "track": track.track,
        "samples": len(track),
        "names": list(track.names),
        "coordinates": track.coordinates,
        "unit": track.unit,
        "frame": track.frame,
        "clock": track.clock,
        "start_ns": track.start_ns,
        "origin": None if place is None else [place.latitude, place.longitude, place.altitude],
        "notes": list(track.notes),
        "source": track.source,
        "format": track.format,
    }


def content(track: Trajectory) -> dict[str, Any]:
    """A whole track as plain values: nanoseconds after `start_ns`, points with None where one is lost."""
    points = [[None if math.isnan(value) else value for value in row] for row in track.points.tolist()]
    return {**description(track), "times_ns": to_nanoseconds(track.times).tolist(), "points": points}


class Facts(TypedDict):
    """Arguments of `Trajectory`, all but times, points, source and format."""

    names: tuple[str, ...]
    coordinates: int | None
    unit: str
    frame: str
    clock: Clock
    start_ns: int
    track: str
    origin: Origin | None
    notes: tuple[str, ...]


def described(values: object) -> Facts:
    """Arguments of `Trajectory`, all but times and points, from what `description` gave.

    Raises:
        ValueError: values that are missing or of another kind; says which.
    """
    facts = _mapping(values)
    start = facts.get("start_ns", 0)
    if not isinstance(start, int) or isinstance(start, bool) or abs(start) > MOST_NS:
        raise ValueError("start_ns is no whole number of nanoseconds")
    if facts.get("clock") not in CLOCKS:
        raise ValueError(f"clock is none of {', '.join(CLOCKS)}")
    names = _texts(facts, "names")
    if not names:
        raise ValueError("names is empty")
    return {
        "names": names,
        "coordinates": _coordinates(facts.get("coordinates"), len(names)),
        "notes": _texts(facts, "notes"),
        "clock": facts["clock"],
        "start_ns": start,
        "origin": _origin(facts.get("origin")),
        "unit": _text(facts, "unit"),
        "frame": _text(facts, "frame"),
        "track": _text(facts, "track"),
    }


def _coordinates(value: object, columns: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= min(3, columns):
        raise ValueError("coordinates is no number of columns")
    return value


def track_from(values: object) -> Trajectory:
    """A track from what `content` gave.

    Raises:
        ValueError: values that are missing, of another kind or do not belong together; says which.
    """
    facts = _mapping(values)
    known = described(facts)
    stamps, rows = facts.get("times_ns"), facts.get("points")
    if not isinstance(stamps, list) or not all(type(each) is int and abs(each) <= MOST_NS for each in stamps):
        raise ValueError("times_ns is no list of whole nanoseconds")
    if not isinstance(rows, list) or len(rows) != len(stamps):
        raise ValueError(f"points is no list of {len(stamps)} rows, as many as times_ns")
    width = len(known["names"])
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width or not all(map(_is_value, row)):
            raise ValueError(f"points[{number}] is no list of {width} numbers or null")
    points = np.array(rows, dtype=np.float64).reshape(-1, width)  # None becomes NaN
    times = np.array(stamps, dtype=np.int64) / NANOSECONDS
    return Trajectory(times=times, points=points, **known)


def _is_value(value: object) -> bool:
    if value is None:
        return True
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and abs(value) < 10**300


def _mapping(values: object) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f"a {type(values).__name__} where an object with a track's facts should be")
    return values


def _text(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value


def _texts(facts: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = facts.get(key)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} is no list of texts")
    return tuple(value)


def _origin(value: object) -> Origin | None:
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(type(each) in {int, float} for each in value)
    ):
        raise ValueError("origin is no list of latitude, longitude and altitude")
    latitude, longitude, altitude = (float(each) for each in value)
    if not (abs(latitude) <= 90 and abs(longitude) <= 360 and abs(altitude) < 1e12):
        raise ValueError("origin is no place on Earth")
    return Origin(latitude, longitude, altitude)
