"""What the text and the XML form of CCSDS orbit ephemeris messages share.

Source: CCSDS 502.0-B-3, "Orbit Data Messages", sections 5 and 8; time codes of CCSDS 301.0-B-4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from examples.trajectory_3d.recordings.assembly import distinct, floats, stated, times_of
from examples.trajectory_3d.recordings.epochs import GPS_ZERO_NS, iso_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.trajectory import Clock, Trajectory

NAMES = ("x", "y", "z", "vx", "vy", "vz", "ax", "ay", "az")
REQUIRED = ("OBJECT_NAME", "OBJECT_ID", "CENTER_NAME", "REF_FRAME", "TIME_SYSTEM", "START_TIME", "STOP_TIME")
_TAI_NS = 19_000_000_000  # TAI is 19 s ahead of GPS time
_TT_NS = _TAI_NS + 32_184_000_000
_SYSTEMS: dict[str, tuple[Clock, int, str | None]] = {  # clock, nanoseconds to add to epochs, note
    "UTC": ("utc", 0, None),
    "UT1": ("utc", 0, "times are UT1, which stays within 0.9 s of UTC"),
    "GPS": ("gps", -GPS_ZERO_NS, None),
    "TAI": ("gps", -GPS_ZERO_NS - _TAI_NS, None),
    "TT": ("gps", -GPS_ZERO_NS - _TT_NS, None),
    "TDB": ("gps", -GPS_ZERO_NS - _TT_NS, "times are TDB, which stays within 2 ms of TT"),
}


@dataclass
class Segment:
    """Metadata by keyword, and state vectors: epochs as nanoseconds since 1970 in the segment's own system.

    Attributes:
        line: where it begins.
        rows: position in km, velocity in km/s, and acceleration where the file has it, NaN where not.
    """

    line: int
    facts: dict[str, str] = field(default_factory=dict)
    stamps: list[int] = field(default_factory=list)
    rows: list[list[float]] = field(default_factory=list)


def tracks_of(path: Path, segments: list[Segment], options: ReadOptions) -> list[Trajectory]:
    """One track for each segment.

    Raises:
        RecordingError: no segment, or one without a keyword that it must have.
    """
    if not segments:
        raise RecordingError(path, "no segment in it", expected="metadata and state vectors")
    for segment in segments:
        lacking = [key for key in REQUIRED if not segment.facts.get(key)]
        if lacking:
            raise RecordingError(path, f"no {lacking[0]} in a segment's metadata", line=segment.line)
    names = distinct([segment.facts["OBJECT_NAME"] for segment in segments])
    return [_track(path, each, options, name) for each, name in zip(segments, names, strict=True)]


def _track(path: Path, segment: Segment, options: ReadOptions, name: str) -> Trajectory:
    system = segment.facts["TIME_SYSTEM"].upper()
    clock, shift, note = _SYSTEMS.get(
        system, ("elapsed", 0, f"time system {system} is kept as it is, counted from 1970-01-01")
    )
    times, start = times_of(path, [stamp + shift for stamp in segment.stamps])
    points = floats(segment.rows, 9)
    width = 9 if np.isfinite(points[:, 6:]).any() else 6
    return Trajectory(
        times,
        points[:, :width],
        NAMES[:width],
        **stated(options, unit="km", frame=_frame(segment.facts["REF_FRAME"])),
        clock=clock,
        start_ns=start,
        track=name,
        notes=((note,) if note else ()) + _notes(path, segment),
    )


def _frame(name: str) -> str:
    """In lower case; all realisations of the ITRF, which differ by centimetres, are one frame."""
    return "itrf" if re.match(r"ITRF|WGS-?84", name, re.IGNORECASE) else name.lower()


def _notes(path: Path, segment: Segment) -> tuple[str, ...]:
    """What the metadata says that the state vectors do not bear out, and what they are relative to."""
    notes = []
    if not segment.stamps:
        return ()
    centre = segment.facts["CENTER_NAME"].upper()
    if centre != "EARTH":
        notes.append(f"positions are relative to {centre}")
    for key, stamp in (("START_TIME", segment.stamps[0]), ("STOP_TIME", segment.stamps[-1])):
        if epoch(path, segment, key) != stamp:
            side = "first" if key == "START_TIME" else "last"
            notes.append(
                f"the header says {key} {segment.facts[key]}, which is not the {side} state vector's"
            )
    outside = 0
    if segment.facts.get("USEABLE_START_TIME"):
        outside += int((np.array(segment.stamps) < epoch(path, segment, "USEABLE_START_TIME")).sum())
    if segment.facts.get("USEABLE_STOP_TIME"):
        outside += int((np.array(segment.stamps) > epoch(path, segment, "USEABLE_STOP_TIME")).sum())
    if outside:
        notes.append(f"{outside} of {len(segment.stamps)} state vectors lie outside the useable times")
    return tuple(notes)


def epoch(path: Path, segment: Segment, key: str) -> int:
    """A time of the metadata; `RecordingError` where it is none."""
    try:
        return iso_ns(segment.facts[key])
    except ValueError as error:
        raise RecordingError(path, f"{key}: {error}", line=segment.line) from error
