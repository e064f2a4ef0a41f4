"""SP3-a, -c and -d: positions of satellites at epochs, kilometres, Earth-fixed.

Source of the format: S. Hilla, "The Extended Standard Product 3 Orbit Format (SP3-d)", IGS, 2016.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from examples.trajectory_3d.recordings.assembly import floats, plural, stated, times_of
from examples.trajectory_3d.recordings.epochs import GPS_ZERO_NS, civil_ns, time_of_day_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import parse_number, shown, split_lines
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Clock, Trajectory

_FIRST = re.compile(r"#[a-d][PV]\d{4}", re.ASCII)
_EPOCH = re.compile(
    r"\*\s+(\d{4})\s+(\d{1,2})\s+(\d{1,2})\s+(\d{1,2})\s+(\d{1,2})\s+(\d{1,2}\.?\d*)\s*", re.ASCII
)
_SYSTEMS: dict[str, tuple[Clock, int]] = {  # clock, and seconds to add to reach it
    "GPS": ("gps", 0),
    "GAL": ("gps", 0),
    "QZS": ("gps", 0),
    "IRN": ("gps", 0),
    "TAI": ("gps", -19),
    "BDT": ("gps", 14),
    "UTC": ("utc", 0),
    "GLO": ("utc", 0),
}
_VELOCITY = 1e-4  # velocities are written in decimetres a second


def sniff(source: Source) -> Match:
    """Certain by the first line with its version, mode and year."""
    return Match.CERTAIN if _FIRST.match((source.head_text or "").lstrip("\ufeff \r\n")) else Match.NO


@dataclass
class _Orbits:
    """What has been read so far."""

    stated_epochs: int
    velocities: bool
    clock: Clock = "gps"
    shift: int = 0
    system_seen: bool = False
    epochs: int = 0
    now: int | None = None
    ended: bool = False
    stamps: dict[str, list[int]] = field(default_factory=dict)
    rows: dict[str, list[list[float]]] = field(default_factory=dict)


@register_format("sp3", "SP3 satellite orbits", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """A track for every satellite, in km; positions of 0 0 0, which mean none, become NaN.

    Where the file has velocities they follow as further columns in km/s.

    Raises:
        RecordingError: a record that is not as specified, or a time system that is not known.
    """
    lines = split_lines(source.text())
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    orbits = _header(source, first + 1, lines[first])
    for number, line in enumerate(lines[first + 1 :], start=first + 2):
        if orbits.ended:
            break
        _record(source, orbits, number, line)
    notes = []
    if orbits.epochs != orbits.stated_epochs:
        notes.append(f"the header says {plural(orbits.stated_epochs, 'epoch')}, the file has {orbits.epochs}")
    if not orbits.ended:
        notes.append("no EOF in the last line; the file was cut off")
    return [_track(source, options, orbits, name, notes) for name in orbits.stamps]


def _track(source: Source, options: ReadOptions, orbits: _Orbits, name: str, notes: list[str]) -> Trajectory:
    times, start = times_of(source.path, orbits.stamps[name])
    points = floats(orbits.rows[name], 6)
    names = ("x", "y", "z", "vx", "vy", "vz")
    width = 6 if orbits.velocities else 3
    return Trajectory(
        times,
        points[:, :width],
        names[:width],
        **stated(options, unit="km", frame="itrf"),
        clock=orbits.clock,
        start_ns=start,
        track=name,
        notes=tuple(notes),
    )


def _header(source: Source, number: int, line: str) -> _Orbits:
    if not _FIRST.match(line):
        raise RecordingError(source.path, shown(line), expected="#a to #d, P or V, and a year", line=number)
    count = line[32:39].strip()
    if not (count.isascii() and count.isdigit()):
        raise _fault(source, number, 33, f"{shown(count)} epochs", "their number")
    return _Orbits(int(count), line[2] == "V")


def _record(source: Source, orbits: _Orbits, number: int, line: str) -> None:
    kind = line[:1]
    if kind == "*":
        _epoch(source, orbits, number, line)
    elif kind == "P":
        _position(source, orbits, number, line)
    elif kind == "V":
        _velocity(source, orbits, number, line)
    elif line.startswith("%c") and not orbits.system_seen:
        _time_system(source, orbits, number, line)
    elif line.startswith("EOF"):
        orbits.ended = True
    elif line.strip() and not line.startswith(("##", "+", "%", "/*", "EP", "EV")):
        raise _fault(source, number, 1, shown(line), "a record of SP3: +, %, /*, *, P, V, EP, EV or EOF")


def _time_system(source: Source, orbits: _Orbits, number: int, line: str) -> None:
    """Columns 10 to 12 of the first record %c; ``ccc`` in SP3-a, which knows GPS time alone."""
    name = line[9:12].strip()
    orbits.system_seen = True
    if name in {"", "ccc"}:
        return
    if name not in _SYSTEMS:
        raise _fault(source, number, 10, f"time system {shown(name)}", f"one of {', '.join(_SYSTEMS)}")
    orbits.clock, orbits.shift = _SYSTEMS[name]


def _epoch(source: Source, orbits: _Orbits, number: int, line: str) -> None:
    found = _EPOCH.fullmatch(line)
    try:
        if not found:
            raise ValueError(shown(line))
        year, month, day, hour, minute = (int(part) for part in found.groups()[:5])
        stamp = civil_ns(year, month, day, time_of_day_ns(hour, minute, found[6]))
    except ValueError as error:
        raise _fault(source, number, 1, str(error), "* year month day hour minute second") from error
    zero = GPS_ZERO_NS if orbits.clock == "gps" else 0
    orbits.now = stamp - zero + orbits.shift * NANOSECONDS
    orbits.epochs += 1


def _position(source: Source, orbits: _Orbits, number: int, line: str) -> None:
    if orbits.now is None:
        raise _fault(source, number, 1, "a position before the first epoch", "a record *")
    name = _name(source, number, line)
    place = _three(source, number, line)
    stamps = orbits.stamps.setdefault(name, [])
    if stamps and stamps[-1] == orbits.now:
        raise _fault(source, number, 2, f"{name} twice at one epoch", "another satellite")
    stamps.append(orbits.now)
    place = place if any(place) else [math.nan] * 3
    orbits.rows.setdefault(name, []).append([*place, math.nan, math.nan, math.nan])


def _velocity(source: Source, orbits: _Orbits, number: int, line: str) -> None:
    name = _name(source, number, line)
    if name not in orbits.stamps or orbits.stamps[name][-1] != orbits.now or not orbits.velocities:
        raise _fault(source, number, 1, f"a velocity of {name} without its position", "a record P before it")
    values = _three(source, number, line)
    if any(values):
        orbits.rows[name][-1][3:] = [value * _VELOCITY for value in values]


def _name(source: Source, number: int, line: str) -> str:
    """Constellation and number; SP3-a writes GPS numbers alone."""
    name = line[1:4].strip()
    if not re.fullmatch(r"[A-Z]?[\d ]?\d", name, re.ASCII):
        raise _fault(source, number, 2, f"satellite {shown(name)}", "such as G05")
    return f"{name[0] if name[0].isalpha() else 'G'}{int(name.lstrip('ABCDEFGHIJKLMNOPQRSTUVWXYZ')):02d}"


def _three(source: Source, number: int, line: str) -> list[float]:
    """Three numbers of 14 characters from column 5."""
    values = []
    for first in (4, 18, 32):
        cell = line[first : first + 14]
        try:
            if "." not in cell or len(cell) < 14:  # six decimals are prescribed; fewer characters: cut off
                raise ValueError(cell)
            values.append(parse_number(cell))
        except ValueError as error:
            raise _fault(
                source, number, first + 1, shown(cell.strip()), "a number of 14 characters"
            ) from error
    return values


def _fault(source: Source, line: int, column: int, problem: str, expected: str) -> RecordingError:
    return RecordingError(source.path, problem, expected=expected, line=line, column=column)
