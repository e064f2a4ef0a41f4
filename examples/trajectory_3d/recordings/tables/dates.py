"""Dates and times of day in the forms that files hold them, as exact nanoseconds of Unix time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import BoolArray
from examples.trajectory_3d.recordings.tables.cells import is_missing
from examples.trajectory_3d.recordings.tables.table import Table
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS

Int64Array = npt.NDArray[np.int64]
Order = Literal["day first", "month first"]

_CLOCK = (
    r"(?P<H>\d{1,2}):(?P<M>\d{1,2})(?::(?P<S>\d{1,2})(?:[.,](?P<f>\d+))?)?(?:\s*(?P<ap>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r"(?:\s*(?P<zone>[Zz]|UTC|GMT|(?:UTC|GMT)?[+-]\d{2}(?::?\d{2})?))?"
_AFTER = rf"(?:(?:[Tt,]?\s*|\s+){_CLOCK}{_ZONE})?"
_MONTH = r"(?P<name>[A-Za-z]{3,9})\.?"
_FORMS: dict[str, re.Pattern[str]] = {
    form: re.compile(pattern)
    for form, pattern in {
        "year first": rf"(?P<Y>\d{{4}})[-/.](?P<m>\d{{1,2}})[-/.](?P<d>\d{{1,2}}){_AFTER}",
        "day of year": rf"(?P<Y>\d{{4}})[-/](?P<j>\d{{3}}){_AFTER}",
        "digits": r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})"
        rf"(?:[Tt _-]?(?P<H>\d{{2}}):?(?P<M>\d{{2}}):?(?P<S>\d{{2}})(?:[.,](?P<f>\d+))?{_ZONE})?",
        "two first": rf"(?P<one>\d{{1,2}})(?P<sep>[-/.])(?P<two>\d{{1,2}})[-/.](?P<Y>\d{{4}}){_AFTER}",
        "day name year": rf"(?P<d>\d{{1,2}})[-/ ]{_MONTH}[-/ ,]+(?P<Y>\d{{4}}){_AFTER}",
        "name day year": rf"{_MONTH}\s+(?P<d>\d{{1,2}}),?\s+(?P<Y>\d{{4}}){_AFTER}",
        "time of day": _CLOCK + _ZONE,
    }.items()
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEARS = range(1700, 2250)  # what nanoseconds in 64 bits can hold, with room at both ends


@dataclass(frozen=True)
class Dates:
    """Stamps of a column of dates.

    Attributes:
        stamps: ``[N]`` int64 nanoseconds: Unix time, or since midnight for times of day.
        known: ``[N]``, False where a cell is missing.
        dated: whether the cells have a date.
        zoned: whether they say their time zone.
        order: of day and month, where the form leaves it open.
    """

    stamps: Int64Array
    known: BoolArray
    dated: bool
    zoned: bool
    order: Order | None = None


def is_date(cell: str) -> bool:
    """Whether a cell is a date or a time of day (digits alone may be a number too and do not count)."""
    cell = cell.strip()
    return not cell.isdigit() and any(form.fullmatch(cell) is not None for form in _FORMS.values())


def is_time_of_day(cell: str) -> bool:
    """Whether a cell is a time without a date."""
    return _FORMS["time of day"].fullmatch(cell.strip()) is not None


def parse_dates(table: Table, index: int, cells: Sequence[str | None], order: Order | None = None) -> Dates:
    """Dates of a column, all in the form of its first.

    Args:
        table: whose `fault` says where a cell is wrong.
        index: of the column.
        cells: its cells, ``[N]``.
        order: of day and month where both are numbers and come before the year; else told by a day after
            the 12th.

    Raises:
        RecordingError: a cell that is no date, or another form than the first; days and months that cannot
            be told apart.
    """
    known = np.array([cell is not None and not is_missing(cell) for cell in cells], dtype=bool)
    if not known.any():
        return Dates(np.zeros(len(cells), dtype=np.int64), known, dated=True, zoned=True)
    first = int(np.flatnonzero(known)[0])
    sample = str(cells[first]).strip()
    kind = next((kind for kind, form in _FORMS.items() if form.fullmatch(sample)), None)
    if kind is None:
        raise table.fault(first, index, f"'{sample[:40]}' is no date or time", "such as 2024-05-09T14:59:05Z")
    parts = _parts(table, index, cells, known, kind)
    if kind == "two first":
        order = _settle_order(table, index, parts, known, order)
    stamps = _stamps(table, index, parts, known, kind)
    return Dates(stamps, known, kind != "time of day", bool(parts["zone"][first]), order)


_PARTS = ("Y", "m", "d", "j", "one", "two", "sep", "name", "H", "M", "S", "f", "ap", "zone")


def _parts(
    table: Table, index: int, cells: Sequence[str | None], known: BoolArray, kind: str
) -> dict[str, list[str | None]]:
    form = _FORMS[kind]
    parts: dict[str, list[str | None]] = {part: [None] * len(cells) for part in _PARTS}
    for row in np.flatnonzero(known).tolist():
        cell = str(cells[row]).strip()
        match = form.fullmatch(cell)
        if match is None:
            raise table.fault(row, index, f"'{cell[:40]}' is no date like those before", f"{kind}, as above")
        for part, text in match.groupdict().items():
            parts[part][row] = text
    return parts


def _settle_order(
    table: Table, index: int, parts: dict[str, list[str | None]], known: BoolArray, order: Order | None
) -> Order:
    """Say which of two numbers is the day: by a point between them, or by one above 12."""
    rows = np.flatnonzero(known)
    one, two = (_numbers(parts[part]) for part in ("one", "two"))
    if order is None:
        dotted = parts["sep"][int(rows[0])] == "."
        if dotted or one[rows].max() > 12:
            order = "day first"
        elif two[rows].max() > 12:
            order = "month first"
        else:
            problem = f"day and month cannot be told apart ({int(one[rows[0]])} and {int(two[rows[0]])})"
            raise table.fault(int(rows[0]), index, problem, "dates with the year first, such as 2024-05-09")
    day, month = ("one", "two") if order == "day first" else ("two", "one")
    parts["d"], parts["m"] = parts[day], parts[month]
    return order


def _numbers(texts: Sequence[str | None], missing: int = 0) -> Int64Array:
    return np.array([missing if text is None else int(text) for text in texts], dtype=np.int64)


def _stamps(
    table: Table, index: int, parts: dict[str, list[str | None]], known: BoolArray, kind: str
) -> Int64Array:
    hour, minute, second = (_numbers(parts[part]) for part in "HMS")
    afternoon = [text is not None and text.lower() == "p" for text in parts["ap"]]
    twelve = [text is not None for text in parts["ap"]]
    hour = np.where(twelve, hour % 12 + 12 * np.array(afternoon), hour)
    fraction = _numbers([None if text is None else (text + "000000000")[:9] for text in parts["f"]])
    days = np.zeros(len(known), dtype=np.int64)
    wrong = (hour > 24) | (minute > 59) | (second > 60)
    if kind != "time of day":
        days, bad = _days(parts)
        wrong |= bad
    if (wrong & known).any():
        row = int(np.flatnonzero(wrong & known)[0])
        raise table.fault(row, index, "no such date or time", "one of the calendar, from 1700 to 2249")
    zone = np.array([_offset(text) for text in parts["zone"]], dtype=np.int64)
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - zone
    return np.where(known, seconds * NANOSECONDS + fraction, 0)


def _days(parts: dict[str, list[str | None]]) -> tuple[Int64Array, BoolArray]:
    """Days since 1970-01-01, and where there is no such day."""
    year = _numbers(parts["Y"], missing=1970)
    if any(name is not None for name in parts["name"]):
        names = [(name or "jan").lower()[:3] for name in parts["name"]]
        month = np.array([_MONTHS.index(name) + 1 if name in _MONTHS else 0 for name in names])
    else:
        month = _numbers(parts["m"], missing=1)
    if any(day is not None for day in parts["j"]):
        return calendar_days(year, np.ones_like(year), _numbers(parts["j"], missing=1), longest=366)
    return calendar_days(year, month, _numbers(parts["d"], missing=1))


def calendar_days(
    year: Int64Array, month: Int64Array, day: Int64Array, longest: int | None = None
) -> tuple[Int64Array, BoolArray]:
    """Days since 1970-01-01 of calendar dates ``[N]``, and where there is no such day.

    Args:
        year: such as 2024.
        month: 1 to 12.
        day: of the month from 1, or of the year where every month is 1 and `longest` is given.
        longest: days that a day count may reach; by default what the month has.
    """
    bad = (year < _YEARS.start) | (year >= _YEARS.stop) | (month < 1) | (month > 12)
    months = np.where(bad, 0, (year - 1970) * 12 + month - 1)
    start = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    after = (months + (1 if longest is None else 12)).astype("datetime64[M]").astype("datetime64[D]")
    bad |= (day < 1) | (day > after.astype(np.int64) - start)
    return np.where(bad, 0, start + day - 1), bad


def _offset(zone: str | None) -> int:
    """Seconds east of Greenwich."""
    digits = re.sub(r"[^0-9+-]", "", zone or "")
    if not digits:
        return 0
    sign = -1 if digits[0] == "-" else 1
    return sign * (int(digits[1:3]) * 3600 + int(digits[3:5] or 0) * 60)


def iso_dates(column: Any) -> Dates | None:
    """Stamps of a pyarrow column of texts that all are ISO 8601 with the same zone or none; else None.

    This is the form of nearly every large file, and pyarrow reads it many times faster than `parse_dates`.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    trimmed = pc.utf8_trim_whitespace(column)
    ends = pc.min_max(pc.utf8_length(trimmed)).as_py()
    first = pc.min_max(pc.utf8_slice_codeunits(trimmed, 0, 4)).as_py()
    years = str(first["min"]), str(first["max"])
    if (ends["min"] or 0) < len("2024-05-09") or not ("1700" <= years[0] <= years[1] < "2250"):
        return None
    for zone in (None, "UTC"):
        try:
            dates = arrow_dates(trimmed.cast(pa.timestamp("ns", zone)))
        except pa.ArrowInvalid:
            continue
        return dates
    return None


def arrow_dates(column: Any) -> Dates | None:
    """Stamps of a pyarrow column of timestamps, dates, times or durations; None for any other."""
    import pyarrow as pa  # noqa: PLC0415

    kind = column.type
    known = np.array(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_date(kind):
        column = column.cast(pa.timestamp("s"))
        kind = column.type
    if not (pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind)):
        return None
    whole = column.cast(pa.int32()).cast(pa.int64()) if pa.types.is_time32(kind) else column.cast(pa.int64())
    values: Int64Array = np.array(whole.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
    factor = {"s": NANOSECONDS, "ms": 1_000_000, "us": 1000, "ns": 1}[kind.unit]
    lost = np.abs(values) > (2**63 - 1) // factor
    known &= ~lost
    dated = pa.types.is_timestamp(kind)
    return Dates(np.where(known, values, 0) * factor, known, dated, dated and kind.tz is not None)
