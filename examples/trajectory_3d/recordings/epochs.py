"""Dates and decimal seconds as whole nanoseconds, by integer arithmetic alone."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation

from examples.trajectory_3d.recordings.trajectory import NANOSECONDS

DAY_NS = 86_400 * NANOSECONDS
MOST_NS = 1 << 62  # differences of stamps up to here fit 64 bits; 146 years to both sides of the zero
_UNIX_DAY = date(1970, 1, 1).toordinal()
GPS_ZERO_NS = (date(1980, 1, 6).toordinal() - _UNIX_DAY) * DAY_NS
_PLAIN = re.compile(r"([+-]?)(\d{1,12})(?:\.(\d{0,9}))?", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_ISO = re.compile(
    r"(\d{4})-(\d{3}|\d{1,2}(?:-\d{1,2})?)"
    r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d*)?))?)?\s*(Z|[+-]\d{2}:?\d{2}|[+-]\d{2})?",
    re.ASCII | re.IGNORECASE,
)


def decimal_ns(text: str) -> int:
    """Decimal seconds as whole nanoseconds, rounded half to even beyond the ninth digit.

    Raises:
        ValueError: no decimal number, or one beyond 146 years.
    """
    cell = text.strip()
    plain = _PLAIN.fullmatch(cell)
    if plain:
        sign, whole, rest = plain.groups()
        value = int(whole) * NANOSECONDS + int((rest or "").ljust(9, "0"))
        return in_range(-value if sign == "-" else value)
    if not _DECIMAL.fullmatch(cell) or len(cell) > 400:
        raise ValueError(f"{text!r} is no decimal number")
    try:
        seconds = Decimal(cell)
        if seconds and seconds.adjusted() > 12:
            raise ValueError(f"{text!r} seconds are too many")
        return in_range(int((seconds * NANOSECONDS).to_integral_value()))
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no decimal number") from error


def in_range(stamp: int) -> int:
    """The same stamp.

    Raises:
        ValueError: one beyond 146 years from its clock's zero, which this package does not count.
    """
    if abs(stamp) > MOST_NS:
        raise ValueError(f"{stamp} ns is more than 146 years from the zero of the clock")
    return stamp


def civil_ns(year: int, month: int, day: int, time_of_day_ns: int = 0) -> int:
    """Nanoseconds since 1970-01-01 of a calendar date and a time of day; leap seconds are not counted.

    Raises:
        ValueError: no such date.
    """
    return in_range((date(year, month, day).toordinal() - _UNIX_DAY) * DAY_NS + time_of_day_ns)


def day_of_year_ns(year: int, day: int, time_of_day_ns: int = 0) -> int:
    """The same for a year and its day, from 1.

    Raises:
        ValueError: no such day.
    """
    if not 1 <= day <= date(year, 12, 31).timetuple().tm_yday:
        raise ValueError(f"{year} has no day {day}")
    return civil_ns(year, 1, 1, (day - 1) * DAY_NS + time_of_day_ns)


def time_of_day_ns(hour: int, minute: int, second: str | int = 0) -> int:
    """Nanoseconds since midnight; second 60 is a leap second and counts as the next one.

    Raises:
        ValueError: no such time.
    """
    whole = decimal_ns(str(second).replace(",", "."))
    if not (0 <= hour <= 24 and 0 <= minute < 60 and 0 <= whole < 61 * NANOSECONDS):
        raise ValueError(f"{hour:02d}:{minute:02d}:{second} is no time of day")
    if hour == 24 and (minute or whole):
        raise ValueError("no time follows 24:00")
    return (hour * 60 + minute) * 60 * NANOSECONDS + whole


def iso_ns(text: str) -> int:
    """Nanoseconds since 1970-01-01 of an ISO 8601 date and time, UTC unless it names a zone.

    Dates are ``year-month-day``, ``year-month`` or ``year-day of year`` (three digits, as CCSDS writes them).

    Raises:
        ValueError: another text, or no such date.
    """
    found = _ISO.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no date of ISO 8601")
    year, rest, hour, minute, second, zone = found.groups()
    clock = time_of_day_ns(int(hour), int(minute), second or 0) if hour else 0
    if len(rest) == 3:
        stamp = day_of_year_ns(int(year), int(rest), clock)
    else:
        month, _, day = rest.partition("-")
        stamp = civil_ns(int(year), int(month), int(day or 1), clock)
    return in_range(stamp - _zone_ns(zone))


def _zone_ns(zone: str | None) -> int:
    if zone is None or zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return (-1 if zone[0] == "-" else 1) * minutes * 60 * NANOSECONDS


def seconds_text(stamp: int) -> str:
    """Whole nanoseconds as decimal seconds with nine digits, so that nothing is lost."""
    whole, rest = divmod(abs(stamp), NANOSECONDS)
    return f"{'-' if stamp < 0 else ''}{whole}.{rest:09d}"
