"""Garmin FIT activities: records with semicircles, metres and whole seconds, decoded by `fitdecode`.

Source of the format: the FIT SDK, https://developer.garmin.com/fit/protocol/.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

import numpy as np

from examples.trajectory_3d.recordings.assembly import local_points, only_metres, timed
from examples.trajectory_3d.recordings.epochs import civil_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.extras import missing_extra
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory

_ZERO_NS = civil_ns(1989, 12, 31)  # of FIT's seconds
_ABSOLUTE = 0x10000000  # smaller stamps count from switching on
_DEGREES = 180 / 2**31  # in a semicircle
_Row = tuple[int | None, float, float, float]


def sniff(source: Source) -> Match:
    """Certain by ``.FIT`` in the header."""
    return Match.CERTAIN if source.head[8:12] == b".FIT" and source.head[0] in {12, 14} else Match.NO


@register_format("fit", "Garmin FIT activity", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """One track of all records as local metres; records without a fix are NaN and counted in a note.

    Raises:
        RecordingError: a damaged or cut file, no fix in it, or `fitdecode` is not installed.
    """
    only_metres(source.path, options)
    rows, odd = _records(source)
    if not rows:
        raise RecordingError(source.path, "no records in it", expected="an activity")
    keep, times, start, clock, notes = timed(source.path, [row[0] for row in rows], options, "this activity")
    table = np.array([row[1:] for row, kept in zip(rows, keep, strict=True) if kept], dtype=np.float64)
    local, origin, more = local_points(source.path, *(column.tolist() for column in table.T))
    lost = int(np.isnan(table[:, :2]).any(axis=1).sum())
    if lost:
        more += (f"{lost} of {len(table)} records have no fix",)
    if clock == "utc" and start < _ZERO_NS + _ABSOLUTE * NANOSECONDS:
        clock, start = "elapsed", start - _ZERO_NS
    return [
        Trajectory(
            times,
            local,
            unit="m",
            frame="enu",
            clock=clock,
            start_ns=start,
            origin=origin,
            notes=(*notes, *more, *odd),
        )
    ]


def _records(source: Source) -> tuple[list[_Row], tuple[str, ...]]:
    """Stamp, latitude, longitude and altitude of every record, and what the decoder found odd."""
    try:
        import fitdecode  # noqa: PLC0415
    except ImportError as error:
        raise missing_extra(source.path, "FIT files", "fitdecode") from error
    content = source.read()
    rows: list[_Row] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with fitdecode.FitReader(io.BytesIO(content), check_crc=fitdecode.CrcCheck.RAISE) as frames:
                rows.extend(
                    _row(frame)
                    for frame in frames
                    if frame.frame_type == fitdecode.FIT_FRAME_DATA and frame.name == "record"
                )
        except Exception as error:  # what the decoder raises for damaged bytes is not documented
            problem = f"damaged FIT content ({type(error).__name__}: {error})"
            raise RecordingError(source.path, problem, expected="a whole FIT file") from error
    return rows, tuple(dict.fromkeys(str(each.message) for each in caught))


def _row(frame: Any) -> _Row:
    seconds = _raw(frame, "timestamp")
    stamp = None if seconds is None else _ZERO_NS + int(seconds) * NANOSECONDS
    latitude, longitude = (_raw(frame, f"position_{name}") for name in ("lat", "long"))
    if latitude is None or longitude is None:
        latitude = longitude = math.nan
    altitude = _scaled(frame, "enhanced_altitude")
    if math.isnan(altitude):
        altitude = _scaled(frame, "altitude")
    return stamp, latitude * _DEGREES, longitude * _DEGREES, altitude


def _raw(frame: Any, name: str) -> float | None:
    value = frame.get_raw_value(name, fallback=None)
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _scaled(frame: Any, name: str) -> float:
    """A field in its own unit: scale and offset of the profile are taken off by the decoder."""
    value = frame.get_value(name, fallback=None)
    return float(value) if isinstance(value, int | float) else math.nan
