"""Readers of orbits: SP3, and CCSDS OEM as text and as XML."""

from __future__ import annotations

import datetime
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.real_recordings.tracks import Track, make_track

KILOMETRE = 1e3


def read_sp3(path: Path) -> list[Track]:
    """SP3: epochs in lines ``*``, positions of satellites in lines ``P``, kilometres; 0 0 0 means unknown."""
    times: dict[str, list[float]] = defaultdict(list)
    points: dict[str, list[list[float]]] = defaultdict(list)
    now = 0.0
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("* "):
            now = _calendar_seconds(line[1:].split())
        elif line.startswith("P"):
            position = [float(line[first : first + 14]) for first in (4, 18, 32)]
            if any(position):
                times[line[1:4]].append(now)
                points[line[1:4]].append(position)
    return [make_track(times[name], np.array(points[name]) * KILOMETRE) for name in sorted(times)]


def read_oem_text(path: Path) -> list[Track]:
    """CCSDS OEM 2.0 in key-value notation: ``epoch x y z ...`` in kilometres, one track for each segment."""
    segments: list[list[list[str]]] = [[]]
    for line in path.read_text(encoding="ascii").splitlines():
        if line.strip() == "META_START":
            segments.append([])
        elif line[:4].isdigit() and len(line.split()) in (7, 10):  # with or without accelerations
            segments[-1].append(line.split())
    return [_oem_track(rows) for rows in segments if rows]


def read_oem_xml(path: Path) -> list[Track]:
    """CCSDS OEM in XML: ``stateVector`` elements with ``EPOCH``, ``X``, ``Y``, ``Z`` in kilometres."""
    tracks = []
    for segment in ET.parse(path).getroot().iter("segment"):
        rows = [
            [state.findtext(name, "") for name in ("EPOCH", "X", "Y", "Z")]
            for state in segment.iter("stateVector")
        ]
        tracks.append(_oem_track(rows))
    return tracks


def _oem_track(rows: list[list[str]]) -> Track:
    points = np.array([row[1:4] for row in rows], dtype=np.float64)
    return make_track([_epoch_seconds(row[0]) for row in rows], points * KILOMETRE)


def _calendar_seconds(fields: list[str]) -> float:
    """Seconds of ``year month day hour minute second`` since 2000; leap seconds are not counted."""
    year, month, day, hour, minute = (int(field) for field in fields[:5])
    start = datetime.datetime(year, month, day, hour, minute, tzinfo=datetime.UTC)
    return (start - datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)).total_seconds() + float(fields[5])


def _epoch_seconds(epoch: str) -> float:
    """Seconds of a CCSDS epoch, ``2022-11-16T08:44:51.15`` or ``2021-225T12:40:19.983Z`` (day of year)."""
    date, _, clock = epoch.rstrip("Z").partition("T")
    form = "%Y-%m-%d" if date.count("-") == 2 else "%Y-%j"
    day = datetime.datetime.strptime(date, form).replace(tzinfo=datetime.UTC)
    hour, minute, second = clock.split(":")
    since = day - datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    return since.total_seconds() + 3600 * int(hour) + 60 * int(minute) + float(second)
