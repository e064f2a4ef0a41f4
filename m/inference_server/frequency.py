"""The calendar of a time series: how far its points lie apart, and when a forecast of it begins."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from typing import Literal

Frequency = Literal[
    "second", "S", "minute", "T", "hour", "H", "day", "D",
    "week", "W", "month", "M", "quarter", "Q", "year", "Y",
]  # fmt: skip

_FIXED: dict[str, timedelta] = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_LONG = {
    "S": "second", "T": "minute", "H": "hour", "D": "day",
    "W": "week", "M": "month", "Q": "quarter", "Y": "year",
}  # fmt: skip


def advance(start: datetime, frequency: Frequency, steps: int) -> datetime:
    """The moment so many steps after another.

    Months, quarters and years are counted from the start, and a day that the month does not have becomes its
    last one: a month after 31 January is 29 February in 2024, two months after it is 31 March.

    Args:
        start: a time zone it has is kept, as a fixed distance from UTC.
        frequency: what a step is.
        steps: 0 or more.

    Raises:
        OverflowError: it would lie after the year 9999.
    """
    name = _LONG.get(frequency, frequency)
    if name in _FIXED:
        return start + steps * _FIXED[name]
    years, month = divmod(start.month - 1 + steps * _MONTHS[name], 12)
    year = start.year + years
    if year > datetime.max.year:
        raise OverflowError(f"the year {year} is after {datetime.max.year}")
    last = calendar.monthrange(year, month + 1)[1]
    return start.replace(year=year, month=month + 1, day=min(start.day, last))


def forecast_start(
    start: str | None, frequency: Frequency, observed: int, *, now: datetime | None = None
) -> str:
    """When the first forecast point lies, in ISO 8601.

    Args:
        start: when the first observed point lies, in ISO 8601; None when nothing is known, and then the last
            one is taken to lie now.
        frequency: between points.
        observed: points of the series.
        now: the present; whole seconds of it count.

    Returns:
        With the time zone of ``start``, or without one if that has none; UTC when there is no ``start``.

    Raises:
        ValueError: ``start`` is no moment in ISO 8601.
        OverflowError: the forecast would begin after the year 9999.
    """
    if start is None:
        present = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
        return _written(advance(present, frequency, 1), zulu=True)
    try:
        first = datetime.fromisoformat(start)
    except ValueError:
        raise ValueError(
            f"start_timestamp must be a moment in ISO 8601 such as 2024-01-31T00:00:00Z, got {start[:40]!r}"
        ) from None
    return _written(advance(first, frequency, observed), zulu=start[-1:] in ("Z", "z"))


def _written(moment: datetime, *, zulu: bool) -> str:
    """ISO 8601, with UTC as the caller writes it."""
    text = moment.isoformat()
    return text.removesuffix("+00:00") + "Z" if zulu else text
