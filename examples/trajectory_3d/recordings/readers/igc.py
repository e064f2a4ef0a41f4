"""IGC flight recorder files: B records with time of day, degrees and minutes, two altitudes.

Source of the format: FAI, Technical Specification for GNSS Flight Recorders, appendix A.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from examples.trajectory_3d.recordings.assembly import local_points, only_metres, times_of
from examples.trajectory_3d.recordings.epochs import DAY_NS, civil_ns, time_of_day_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import shown, split_lines
from examples.trajectory_3d.recordings.trajectory import Clock, Trajectory

_ALTITUDE = r"(\d{5}|-\d{4}|[ ]{5})"
_FIX = re.compile(
    r"B(\d\d)(\d\d)(\d\d)(\d\d)(\d{5})([NS])(\d{3})(\d{5})([EW])([AV])" + _ALTITUDE + _ALTITUDE, re.ASCII
)
_DATE = re.compile(r"H[FOP]DTE(?:DATE:)?\s*(\d\d)(\d\d)(\d\d)", re.ASCII)
_EXTENSION = re.compile(r"(\d\d)(\d\d)([A-Z0-9]{3})", re.ASCII)
_PARTS = (
    *((2, "hour"), (2, "minute"), (2, "second"), (7, "latitude"), (1, "N or S"), (8, "longitude")),
    *((1, "E or W"), (1, "A or V"), (5, "pressure altitude"), (5, "GPS altitude")),
)


def sniff(source: Source) -> Match:
    """Certain by a first record A and a date or fix after it."""
    lines = source.head_lines()
    if not lines or not re.match(r"A[A-Z0-9]{3}", lines[0]):
        return Match.NO
    return Match.CERTAIN if any(_DATE.match(line) or _FIX.match(line) for line in lines) else Match.NO


@dataclass
class _Flight:
    """What has been read so far."""

    day: int | None = None
    last: int = -1
    midnights: int = 0
    extensions: dict[str, slice] = field(default_factory=dict)
    stamps: list[int] = field(default_factory=list)
    rows: list[tuple[float, float, float, float]] = field(default_factory=list)
    invalid: int = 0


@register_format("igc", "IGC flight recorder", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """One flight as local metres, with the pressure altitude in metres as a fourth column.

    The clock starts again at midnight UTC. Where no fix has a GPS altitude, the pressure altitude stands in
    and a note says so.

    Raises:
        RecordingError: a record B that is not as specified, or a date that does not exist.
    """
    only_metres(source.path, options)
    flight = _Flight()
    for number, line in enumerate(split_lines(source.text()), start=1):
        if line.startswith("B"):
            _fix(source, flight, number, line)
        elif line.startswith("I"):
            flight.extensions = _extensions(line)
        elif line.startswith("H") and "DTE" in line[:5]:
            _date(source, flight, number, line)
    if not flight.rows:
        raise RecordingError(source.path, "no fixes in it", expected="records B")
    return [_track(source, flight)]


def _track(source: Source, flight: _Flight) -> Trajectory:
    table = np.array(flight.rows, dtype=np.float64)
    notes = []
    satellite, pressure = table[:, 2], table[:, 3]
    if not np.any(np.nan_to_num(satellite)):
        satellite = pressure
        notes.append("no GPS altitudes; the height is the pressure altitude")
    if flight.invalid:
        notes.append(f"{flight.invalid} of {len(table)} fixes have no valid GPS altitude (validity V)")
    clock: Clock = "utc"
    if flight.day is None:
        clock = "elapsed"
        notes.append("no date; times count from midnight UTC of an unknown day")
    times, start = times_of(source.path, flight.stamps)
    local, origin, more = local_points(
        source.path, table[:, 0].tolist(), table[:, 1].tolist(), satellite.tolist()
    )
    return Trajectory(
        times,
        np.column_stack([local, pressure]),
        ("x", "y", "z", "pressure_altitude"),
        unit="m",
        frame="enu",
        clock=clock,
        start_ns=start,
        origin=origin,
        notes=(*notes, *more),
    )


def _fix(source: Source, flight: _Flight, number: int, line: str) -> None:
    found = _FIX.match(line)
    if not found:
        raise _broken(source, number, line)
    hour, minute, second = (int(part) for part in found.groups()[:3])
    try:
        clock = time_of_day_ns(hour, minute, second) + _more_seconds(flight, line)
    except ValueError as error:
        raise _fault(source, number, 2, str(error), "a time of day hhmmss") from error
    if flight.last - clock > DAY_NS // 2:
        flight.midnights += 1
    flight.last = clock
    flight.stamps.append((flight.day or 0) + flight.midnights * DAY_NS + clock)
    degrees, minutes, north, east_degrees, east_minutes, east, validity, pressure, satellite = found.groups()[
        3:
    ]
    latitude = _angle(degrees, minutes, _digits(flight, "LAD", line)) * (-1 if north == "S" else 1)
    longitude = _angle(east_degrees, east_minutes, _digits(flight, "LOD", line)) * (-1 if east == "W" else 1)
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise _fault(source, number, 8, f"latitude {latitude:g}, longitude {longitude:g}", "a place on Earth")
    flight.invalid += validity == "V"
    flight.rows.append((latitude, longitude, _metres(satellite), _metres(pressure)))


def _angle(degrees: str, thousandths: str, more: str) -> float:
    """Degrees of degrees and minutes with three decimals, and further decimals from an extension."""
    return int(degrees) + int(thousandths + more) / (60_000.0 * 10.0 ** len(more))


def _metres(text: str) -> float:
    return float(text) if text.strip() else math.nan


def _digits(flight: _Flight, code: str, line: str) -> str:
    place = flight.extensions.get(code)
    digits = line[place] if place else ""
    return digits if digits.isascii() and digits.isdigit() else ""


def _more_seconds(flight: _Flight, line: str) -> int:
    """Decimals of the second, from the extension TDS."""
    digits = _digits(flight, "TDS", line)[:9]
    return int(digits.ljust(9, "0")) if digits else 0


def _extensions(line: str) -> dict[str, slice]:
    """Where the record I says that further values of a fix stand: bytes first to last, from 1."""
    return {code: slice(int(first) - 1, int(last)) for first, last, code in _EXTENSION.findall(line[3:])}


def _date(source: Source, flight: _Flight, number: int, line: str) -> None:
    found = _DATE.match(line)
    try:
        if not found:
            raise ValueError(f"{shown(line)} is no date")
        day, month, year = (int(part) for part in found.groups())
        date = civil_ns(year + (1900 if year >= 80 else 2000), month, day)
    except ValueError as error:
        raise _fault(source, number, 6, str(error), "a date HFDTEddmmyy") from error
    if date != flight.day:  # some recorders repeat the date of take-off; it does not undo a midnight
        flight.day, flight.midnights, flight.last = date, 0, -1


def _broken(source: Source, number: int, line: str) -> RecordingError:
    """The error for a record B: names its first part that is not as specified."""
    start = 1
    for length, name in _PARTS:
        part = line[start : start + length]
        pattern = {"N or S": "[NS]", "E or W": "[EW]", "A or V": "[AV]"}.get(name, r"[\d -]\d+")
        if len(part) < length or not re.fullmatch(pattern, part, re.ASCII):
            found = f"{name} is {shown(part)}" if part else f"the record ends before {name}"
            return _fault(source, number, start + 1, found, "a record B of 35 characters")
        start += length
    return _fault(source, number, 1, shown(line), "a record B")


def _fault(source: Source, line: int, column: int, problem: str, expected: str) -> RecordingError:
    return RecordingError(source.path, problem, expected=expected, line=line, column=column)
