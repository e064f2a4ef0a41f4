"""Which columns hold the times of a table, and what they count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.tables.cells import floats, plain
from examples.trajectory_3d.recordings.tables.dates import is_date, is_time_of_day
from examples.trajectory_3d.recordings.tables.names import Name, parse_name, word_list
from examples.trajectory_3d.recordings.tables.table import Table
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Clock

UNIT_NS: dict[str, int] = {
    "ns": 1,
    "us": 1000,
    "ms": 1_000_000,
    "s": NANOSECONDS,
    "min": 60 * NANOSECONDS,
    "h": 3600 * NANOSECONDS,
    "day": 86_400 * NANOSECONDS,
}
_TIME_KEYS = word_list(  # the first that is there is taken
    "fieldheaderstamp headerstamp timestamp timestamputc utctimestamp datetime datetimeutc utcdatetime "
    "utc utctime timeutc time times t stamp stamps epoch epochtime unixtime unixtimestamp unix posixtime "
    "positiont gpstime gpst elapsed elapsedtime timeelapsed relativetime reltime simtime seconds second "
    "secs sec milliseconds millis msec ms microseconds micros usec nanoseconds nanos nsec "
    "jd juliandate julianday mjd modifiedjuliandate datenum date recordedat createdat fixtime sampletime "
    "samplingtime measurementtime obstime gmt timeofday clock tow sow"
)
_FRAME_KEYS = word_list(
    "frame frames frameno framenr framenumber frameindex frameidx timestep step tick sample samplenumber"
)
_UNITS_ALONE = {
    **dict.fromkeys(("milliseconds", "millis", "msec", "ms"), "ms"),
    **dict.fromkeys(("microseconds", "micros", "usec"), "us"),
    **dict.fromkeys(("nanoseconds", "nanos", "nsec"), "ns"),
    **dict.fromkeys(("seconds", "second", "secs", "sec", "tow", "sow"), "s"),
}
_DAY_COUNTS = {  # day number of 1970-01-01
    **dict.fromkeys(("jd", "juliandate", "julianday"), 2_440_587.5),
    **dict.fromkeys(("mjd", "modifiedjuliandate"), 40_587.0),
    "datenum": 719_529.0,  # MATLAB's, day 1 being 1 January of the year 0
}
_GPS_KEYS = frozenset(("gpstime", "gpst"))
_WEEKS, _OF_WEEK = (
    ("gpsweek", "week", "wn", "weekno", "weeknumber"),
    ("tow", "sow", "gpsseconds", "secondsofweek"),
)
_CALENDAR: dict[str, tuple[str, ...]] = {
    "year": ("year", "yr", "yyyy"),
    "month": ("month", "mon", "mo"),
    "day": ("day", "dom", "dd", "dayofmonth"),
    "doy": ("doy", "dayofyear", "jday", "yday", "yearday"),
    "hour": ("hour", "hours", "hr", "hh"),
    "minute": ("minute", "minutes", "min"),
    "second": ("second", "seconds", "sec", "secs", "ss"),
}
_DATE_KEYS = ("date", "utcdate", "dateutc", "dateyyyymmdd", "day")
# Seconds of Unix time from 1985 to 2100: what stamps in an unknown unit are compared with.
EPOCH = (473_385_600, 4_102_444_800)


@dataclass(frozen=True)
class Timing:
    """How a table's stamps come about.

    Attributes:
        kind: ``number`` (of a unit), ``text`` (dates), ``count`` (samples at a rate), ``rate`` (no column),
            ``date and time``, ``calendar`` (year, month, day, hour ...) or ``week`` (GPS week and seconds).
        columns: their numbers, from 0; for ``calendar`` in the order of `parts`.
        unit_ns: nanoseconds in a unit, for numbers.
        zero: of the numbers, in their unit, at the clock's zero.
        rate: samples a second.
        clock: what the stamps count; None where dates decide it.
        parts: of a calendar.
        notes: what was assumed.
    """

    kind: Literal["number", "text", "count", "rate", "date and time", "calendar", "week"]
    columns: tuple[int, ...] = ()
    unit_ns: int = NANOSECONDS
    zero: float = 0.0
    rate: float = 1.0
    clock: Clock | None = None
    parts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_timing(sample: Table, options: ReadOptions, taken: Sequence[int]) -> Timing | None:
    """How the names of a table say that its times are held; None where they do not.

    Args:
        sample: first rows.
        options: of these, unit and rate.
        taken: columns that are something else.

    Raises:
        RecordingError: a column that counts samples, without a rate.
    """
    free = {i: parse_name(name) for i, name in enumerate(sample.names) if i not in taken}
    week = _week(free)
    if week is not None:
        return week
    composite, best = _calendar(free), _ranked(free, _TIME_KEYS)
    if composite is not None and (
        not best or free[best[0]].key in {"second", "seconds", "sec", "secs", "tow", "sow"}
    ):
        return composite
    if best:
        timing = timing_of(sample, best[0], replace(options, rate=None), taken)
        others = [sample.title(each) for each in best[1:]]
        notes = list(timing.notes)
        if others:
            notes.append(f"times are from {sample.title(timing.columns[0])}, not from {', '.join(others)}")
        if options.rate is not None:
            notes.append("the rate given is not used, since the file has times")
        return replace(timing, notes=tuple(notes))
    counts = _ranked(free, _FRAME_KEYS)
    if not counts:
        return None
    if options.rate is None:
        raise RecordingError(
            sample.path,
            f"column {sample.title(counts[0])} counts samples, and there is none with times",
            expected="their number a second (--rate), or the column of times (--time)",
        )
    return Timing("count", (counts[0],), rate=options.rate, clock="index")


def timing_of(sample: Table, index: int, options: ReadOptions, taken: Sequence[int] = ()) -> Timing:
    """What a column counts: by the user's words, its name, its texts, or how large its numbers are."""
    name = parse_name(sample.names[index])
    if options.rate is not None:
        return Timing("count", (index,), rate=options.rate, clock="index")
    first = _first_text(sample, index)
    if first is not None and is_date(first):
        return _text_timing(sample, index, first, taken)
    column = plain(sample.columns[index])
    if _is_temporal(column):
        return Timing("text", (index,))
    if name.key == "date" and first is None and _looks_like_digits(sample, index):
        return _text_timing(sample, index, "20240509", taken)
    if name.key in _DAY_COUNTS and options.time_unit in {None, "day"}:
        return Timing("number", (index,), UNIT_NS["day"], zero=_DAY_COUNTS[name.key], clock="utc")
    return _number_timing(sample, index, name, options)


def _text_timing(sample: Table, index: int, first: str, taken: Sequence[int]) -> Timing:
    """A column of texts, with the column of dates or of times of day that belongs to it."""
    names = {i: parse_name(each) for i, each in enumerate(sample.names) if i != index and i not in taken}
    if is_time_of_day(first):
        for other in _ranked(names, _DATE_KEYS):
            text = _first_text(sample, other)
            if _looks_like_digits(sample, other) or (text and is_date(text) and not is_time_of_day(text)):
                return Timing("date and time", (other, index))
    elif len(first) <= 11 and ":" not in first:
        for other in _ranked(names, ("time", "utctime", "timeutc", "timeofday", "clock", "hour")):
            text = _first_text(sample, other)
            if text and is_time_of_day(text):
                return Timing("date and time", (index, other))
    return Timing("text", (index,))


def _number_timing(sample: Table, index: int, name: Name, options: ReadOptions) -> Timing:
    stated = options.time_unit or name.time or _UNITS_ALONE.get(name.key)
    values = floats(sample, index)
    known = np.abs(values[np.isfinite(values)])
    middle = float(np.median(known)) if len(known) else 0.0
    if name.key in _GPS_KEYS:
        unit = stated or "s"
        absolute = middle * UNIT_NS[unit] / NANOSECONDS > 100_000_000  # else seconds of a week
        return Timing("number", (index,), UNIT_NS[unit], clock="gps" if absolute else "elapsed")
    for unit in [stated] if stated else ["s", "ms", "us", "ns"]:
        if EPOCH[0] <= middle * UNIT_NS[unit] / NANOSECONDS < EPOCH[1]:
            return Timing("number", (index,), UNIT_NS[unit], clock="utc")
    notes = (
        ()
        if stated
        else (f"column {sample.title(index)} does not say its unit of time; seconds are assumed",)
    )
    return Timing("number", (index,), UNIT_NS[stated or "s"], clock="elapsed", notes=notes)


def _week(names: dict[int, Name]) -> Timing | None:
    weeks, seconds = _ranked(names, _WEEKS), _ranked(names, _OF_WEEK)
    return Timing("week", (weeks[0], seconds[0]), clock="gps") if weeks and seconds else None


def _calendar(names: dict[int, Name]) -> Timing | None:
    """Year, month and day, or year and day of the year, and whatever there is of the time of day."""
    found = {part: ranked[0] for part, keys in _CALENDAR.items() if (ranked := _ranked(names, keys))}
    if "year" not in found or not ("doy" in found or {"month", "day"} <= found.keys()):
        return None
    if "doy" in found:
        found = {part: index for part, index in found.items() if part not in {"month", "day"}}
    return Timing("calendar", tuple(found.values()), clock="utc", parts=tuple(found))


def _ranked(names: dict[int, Name], keys: Sequence[str]) -> list[int]:
    """Columns whose name is one of the keys, in the order of the keys."""
    ranks = {key: rank for rank, key in enumerate(keys)}
    return [i for _, i in sorted((ranks[name.key], i) for i, name in names.items() if name.key in ranks)]


def _first_text(sample: Table, index: int) -> str | None:
    """The first text of a column of texts that is no number; None for other columns."""
    import pyarrow as pa  # noqa: PLC0415

    column = plain(sample.columns[index])
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    texts = (text.strip() for text in column.to_pylist() if text and text.strip())
    return next((text for text in texts if not _is_number(text)), None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_temporal(column: object) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    kind = column.type  # type: ignore[attr-defined]  # of pyarrow, which has no types
    return bool(pa.types.is_temporal(kind))


def _looks_like_digits(sample: Table, index: int) -> bool:
    """Whether a column holds dates such as 20240509 as numbers."""
    column = plain(sample.columns[index])
    texts = [str(value) for value in column.to_pylist() if value is not None]
    return bool(texts) and all(len(text) == 8 and text.isdigit() and "1700" < text < "2250" for text in texts)
