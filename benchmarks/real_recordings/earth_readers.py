"""Readers of latitude, longitude and height, turned into metres east, north and up of the first point."""

from __future__ import annotations

import datetime
import gzip
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.real_recordings.tracks import Array, Track, make_track

FOOT = 0.3048
_EQUATOR_RADIUS = 6_378_137.0  # WGS 84, metres
_FLATTENING = 1 / 298.257223563
_DAY = 86_400.0
_WEEK = 604_800.0


def east_north_up(latitude: npt.ArrayLike, longitude: npt.ArrayLike, height: npt.ArrayLike) -> Array:
    """Geodetic coordinates in the tangent frame of the first point that has all three, ``[N, 3]`` metres.

    Source: the closed-form conversion to Earth-centred coordinates on the WGS 84 ellipsoid, then a rotation.
    A sample without a coordinate gives NaN.

    Args:
        latitude: degrees, [N].
        longitude: degrees, [N].
        height: metres above the ellipsoid, [N] (a height above sea serves as well: only differences count).
    """
    phi, lam = np.radians(np.asarray(latitude, dtype=float)), np.radians(np.asarray(longitude, dtype=float))
    up = np.asarray(height, dtype=float)
    known = np.flatnonzero(np.isfinite(phi) & np.isfinite(lam) & np.isfinite(up))
    if not len(known):
        return np.full((len(phi), 3), np.nan)
    squared = _FLATTENING * (2 - _FLATTENING)
    normal = _EQUATOR_RADIUS / np.sqrt(1 - squared * np.sin(phi) ** 2)
    flat = (normal + up) * np.cos(phi)
    earth = np.stack(
        [flat * np.cos(lam), flat * np.sin(lam), (normal * (1 - squared) + up) * np.sin(phi)], axis=-1
    )
    first = known[0]
    sin_phi, cos_phi, sin_lam, cos_lam = (f(a[first]) for a in (phi, lam) for f in (np.sin, np.cos))
    axes = np.array(
        [
            [-sin_lam, cos_lam, 0.0],
            [-sin_phi * cos_lam, -sin_phi * sin_lam, cos_phi],
            [cos_phi * cos_lam, cos_phi * sin_lam, sin_phi],
        ]
    )
    local: Array = (earth - earth[first]) @ axes.T
    return local


def read_aircraft(path: Path) -> list[Track]:
    """Gzipped JSON records: ``timestamp`` in ms, ``latitude``, ``longitude``, ``altitude`` in feet."""
    records = json.loads(gzip.decompress(path.read_bytes()))
    table = np.array(
        [
            [record.get(name) for name in ("timestamp", "latitude", "longitude", "altitude")]
            for record in records
        ],
        dtype=np.float64,  # None becomes NaN
    )
    points = east_north_up(table[:, 1], table[:, 2], table[:, 3] * FOOT)
    return [make_track(table[:, 0] / 1e3, points)]


def read_igc(path: Path) -> list[Track]:
    """IGC flight recorder: B records with time of day, degrees and minutes, GPS height in metres.

    Pressure height is taken when the recorder wrote no GPS height. The clock starts again at midnight.
    """
    lines = path.read_text(encoding="latin-1").splitlines()
    records = [line for line in lines if line.startswith("B") and len(line) >= 35]
    clock = np.array([3600 * int(r[1:3]) + 60 * int(r[3:5]) + int(r[5:7]) for r in records], dtype=float)
    midnights = np.concatenate([[0.0], np.cumsum(np.diff(clock) < -_DAY / 2)])
    latitude = [(int(r[7:9]) + int(r[9:14]) / 60_000) * (-1 if r[14] == "S" else 1) for r in records]
    longitude = [(int(r[15:18]) + int(r[18:23]) / 60_000) * (-1 if r[23] == "W" else 1) for r in records]
    satellite = np.array([int(r[30:35]) for r in records], dtype=float)
    height = satellite if satellite.any() else np.array([int(r[25:30]) for r in records], dtype=float)
    return [make_track(clock + _DAY * midnights, east_north_up(latitude, longitude, height))]


def read_rtklib(path: Path) -> list[Track]:
    """RTKLIB solution: GPS week, seconds of the week, degrees, metres; ``%`` header lines."""
    table = np.loadtxt(path, comments="%", usecols=range(5), ndmin=2)
    return [make_track(table[:, 0] * _WEEK + table[:, 1], east_north_up(*table[:, 2:5].T))]


def read_gpx(path: Path) -> list[Track]:
    """GPX 1.0 or 1.1: one track for each ``trkseg``; points without time or height are left out."""
    tracks = []
    for segment in (each for each in ET.parse(path).getroot().iter() if _tag(each) == "trkseg"):
        points = [each for each in segment if _tag(each) == "trkpt"]
        rows = [row for row in map(_gpx_row, points) if row is not None]
        if rows:
            table = np.array(rows)
            tracks.append(make_track(table[:, 0], east_north_up(*table[:, 1:].T)))
    return tracks


def _tag(element: ET.Element) -> str:
    """Name without its namespace, which differs between the versions of GPX."""
    return element.tag.rpartition("}")[2]


def _gpx_row(point: ET.Element) -> list[float] | None:
    values = {_tag(child): child.text for child in point}
    time, height = values.get("time"), values.get("ele")
    if not time or not height:
        return None
    seconds = datetime.datetime.fromisoformat(time).timestamp()
    return [seconds, float(point.attrib["lat"]), float(point.attrib["lon"]), float(height)]
