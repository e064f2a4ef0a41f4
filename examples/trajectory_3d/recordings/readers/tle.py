"""Two-line element sets, with or without a line of names, propagated by SGP4.

Source of the format: F. Hoots and R. Roehrich, "Spacetrack Report No. 3", 1980, and D. Vallado et al.,
"Revisiting Spacetrack Report #3", AIAA 2006-6753, whose code `sgp4` runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.assembly import distinct, spaced, stated
from examples.trajectory_3d.recordings.epochs import DAY_NS, day_of_year_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import shown, split_lines
from examples.trajectory_3d.recordings.trajectory import Trajectory

STEPS = 120
RATE = 1 / 60  # samples a second where the user gives none: a step a minute, so about one low orbit
_FIRST = re.compile(
    r"1 ([A-Z\d ][\d ]{4})[UCS ] .{8} [\d ]\d[\d ]{2}\d\.\d{8} [ +-]\.\d{8} [ +-][\d ]{5}[+-][\d ]"
    r" [ +-][\d ]{5}[+-][\d ] [\d ] [\d ]{4}\d",
    re.ASCII,
)
_SECOND = re.compile(
    r"2 ([A-Z\d ][\d ]{4}) [\d ]{3}\.[\d ]{4} [\d ]{3}\.[\d ]{4} [\d ]{7}"
    r" [\d ]{3}\.[\d ]{4} [\d ]{3}\.[\d ]{4}"
    r" [\d ]\d\.\d{8}[\d ]{5}\d",
    re.ASCII,
)


@dataclass(frozen=True)
class _Elements:
    name: str
    first: str
    second: str
    line: int  # of the first of the two


def sniff(source: Source) -> Match:
    """Certain by lines 1 and 2 of a set, right after each other."""
    lines = [line.rstrip() for line in source.head_lines()[:50] if line.strip()]
    pairs = pairwise(lines)
    found = any(_FIRST.match(first) and _SECOND.match(second) for first, second in pairs)
    return Match.CERTAIN if found else Match.NO


@register_format("tle", "TLE element sets (propagated by SGP4)", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """A track for every set: 120 samples from its epoch on, true equator and mean equinox, km and km/s.

    The samples are a minute apart, or as far as the rate asks for (0.1 samples a second: 10 s apart).

    Raises:
        RecordingError: a line that is not as specified or whose checksum is wrong; elements that SGP4 refuses
            at their own epoch.
    """
    sets = _sets(source)
    if not sets:
        raise RecordingError(source.path, "no element sets in it", expected="lines 1 and 2")
    times = spaced(source.path, STEPS, options.rate or RATE)
    plain = [each.name or each.first[2:7].strip() for each in sets]
    counts = {name: plain.count(name) for name in plain}
    names = [
        f"{name} ({each.first[2:7].strip()})" if each.name and counts[name] > 1 else name
        for name, each in zip(plain, sets, strict=True)
    ]
    return [
        _track(source, options, each, name, times) for each, name in zip(sets, distinct(names), strict=True)
    ]


def _sets(source: Source) -> list[_Elements]:
    """All sets of the file, each of its lines checked."""
    lines = [(number, line.rstrip()) for number, line in enumerate(split_lines(source.text()), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.lstrip().startswith("#")]
    sets, name, index = [], "", 0
    while index < len(lines):
        number, line = lines[index]
        if not line.startswith("1 ") or len(line) < 60:
            if name:
                raise _fault(source, number, 1, shown(line), "line 1 of the set that is named before")
            name = line.removeprefix("0 ").strip()
            index += 1
            continue
        if index + 1 == len(lines):
            raise _fault(source, number, 1, "the file ends after line 1 of a set", "line 2")
        after, second = lines[index + 1]
        _check(source, number, line, _FIRST)
        _check(source, after, second, _SECOND)
        if line[2:7] != second[2:7]:
            raise _fault(source, after, 3, f"object {second[2:7]} after {line[2:7]}", "lines of one object")
        sets.append(_Elements(name, line[:69], second[:69], number))
        name, index = "", index + 2
    if name:
        raise _fault(source, lines[-1][0], 1, "the file ends after a name", "lines 1 and 2 of its set")
    return sets


def _check(source: Source, number: int, line: str, form: re.Pattern[str]) -> None:
    """Raise `RecordingError` for a line that is not of the form, or whose checksum does not fit."""
    if not form.match(line):
        which = "1" if form is _FIRST else "2"
        at = _first_misfit(line, form)
        raise _fault(
            source, number, at, shown(line[at - 1 :]), f"line {which} of an element set, 69 characters"
        )
    found = sum(int(each) if each.isdigit() else each == "-" for each in line[:68]) % 10
    if found != int(line[68]):
        raise _fault(source, number, 69, f"checksum {line[68]}", f"{found}, by the other characters")


def _first_misfit(line: str, form: re.Pattern[str]) -> int:
    """Column of the first character that does not fit; every form is of fixed width."""
    sample = "1 25544U 98067A   24130.36689744  .00016024  00000+0  27777-3 0  9992"
    if form is _SECOND:
        sample = "2 25544  51.6381 147.8590 0003466 150.4670 338.5502 15.51043222452521"
    for length in range(1, 70):
        if not form.match(line[:length] + sample[length:]):
            return length
    return 1


def _track(
    source: Source, options: ReadOptions, elements: _Elements, name: str, times: Float64Array
) -> Trajectory:
    from sgp4.api import SGP4_ERRORS, Satrec  # noqa: PLC0415

    try:
        satellite: Any = Satrec.twoline2rv(elements.first, elements.second)
    except ValueError as error:
        raise _fault(source, elements.line, 1, str(error), "an element set") from error
    results = [satellite.sgp4_tsince(minutes) for minutes in (times / 60).tolist()]
    codes = np.array([code for code, _, _ in results])
    points = np.array([(*place, *speed) for _, place, speed in results], dtype=np.float64)
    failed = np.flatnonzero((codes != 0) | ~np.isfinite(points).all(axis=1))
    notes: tuple[str, ...] = ()
    if len(failed):
        reason = SGP4_ERRORS.get(int(codes[failed[0]]), "no finite position")
        if failed[0] == 0:
            raise _fault(source, elements.line, 1, f"SGP4 refuses {name}: {reason}", "elements of an orbit")
        points[failed] = np.nan
        notes = (f"no position from {times[failed[0]]:g} s after the epoch on: {reason}",)
    return Trajectory(
        times,
        points,
        ("x", "y", "z", "vx", "vy", "vz"),
        **stated(options, unit="km", frame="teme"),
        clock="utc",
        start_ns=_epoch(source, elements),
        track=name,
        notes=notes,
    )


def _epoch(source: Source, elements: _Elements) -> int:
    """Nanoseconds since 1970 of year and day, eight decimals; years from 57 on are of the 20th century."""
    year = int(elements.first[18:20])
    day, rest = elements.first[20:32].split(".")
    try:
        return day_of_year_ns(year + (1900 if year >= 57 else 2000), int(day), int(rest) * (DAY_NS // 10**8))
    except ValueError as error:
        raise _fault(source, elements.line, 19, str(error), "an epoch yyddd.dddddddd") from error


def _fault(source: Source, line: int, column: int, problem: str, expected: str) -> RecordingError:
    return RecordingError(source.path, problem, expected=expected, line=line, column=column)
