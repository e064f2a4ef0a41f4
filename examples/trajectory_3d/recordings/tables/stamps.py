"""Columns of times as exact nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import BoolArray, Float64Array
from examples.trajectory_3d.recordings.tables.cells import floats, plain
from examples.trajectory_3d.recordings.tables.dates import (
    Dates,
    Int64Array,
    Order,
    arrow_dates,
    calendar_days,
    iso_dates,
    parse_dates,
)
from examples.trajectory_3d.recordings.tables.table import Column, Table
from examples.trajectory_3d.recordings.tables.timing import UNIT_NS, Timing
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Clock

_MOST = 2**62  # nanoseconds: 146 years either way, so that differences do not overflow
_WEEK = 7 * UNIT_NS["day"]
NO_ZONE = "times say no zone; they are taken as UTC"
DECIMALS = 9  # of the numbers that pyarrow reads as decimals, where it reads times


@dataclass(frozen=True)
class Stamps:
    """Times of rows.

    Attributes:
        values: ``[N]`` int64 nanoseconds since the clock's zero.
        known: ``[N]``, False for rows without a time.
        clock: what they count.
        notes: what was assumed.
        order: of day and month, where dates leave it open: the same for the rows that follow.
    """

    values: Int64Array
    known: BoolArray
    clock: Clock
    notes: tuple[str, ...] = ()
    order: Order | None = None


def stamps_of(timing: Timing, table: Table, order: Order | None = None) -> Stamps:
    """Times of a table's rows; not for `rate`, which has no column.

    Args:
        timing: which columns, and what they count.
        table: the rows.
        order: of day and month in dates that leave it open.

    Raises:
        RecordingError: a cell that is no time, or one too far away for 64 bits.
    """
    if timing.kind == "count":
        return _counted(timing, table)
    if timing.kind == "week":
        weeks = _whole(table, timing.columns[0], _WEEK)
        return _sum(timing, weeks, _whole(table, timing.columns[1], NANOSECONDS))
    if timing.kind == "calendar":
        return _calendar(timing, table)
    if timing.kind == "number":
        values, known = _whole(table, timing.columns[0], timing.unit_ns, timing.zero)
        return Stamps(values, known, timing.clock or "elapsed")
    return _dated(_dates(timing, table, order))


def _dates(timing: Timing, table: Table, order: Order | None) -> Dates:
    if timing.kind == "date and time":
        joined = _joined(*(plain(table.columns[each]) for each in timing.columns))
        fast = None if joined is None else iso_dates(joined)
        if fast is not None:
            return fast
        texts = [_texts(table.columns[each]) for each in timing.columns]
        cells = [
            None if date is None or time is None else f"{date} {time}"
            for date, time in zip(*texts, strict=True)
        ]
        return parse_dates(table, timing.columns[-1], cells, order)
    column = plain(table.columns[timing.columns[0]])
    return (
        arrow_dates(column)
        or iso_dates(column)
        or parse_dates(table, timing.columns[0], _texts(column), order)
    )


def _joined(date: Column, time: Column) -> Column | None:
    """Texts of dates and of times of day in one; None for columns of anything else."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if not (pa.types.is_string(date.type) and pa.types.is_string(time.type)):
        return None
    return pc.binary_join_element_wise(pc.utf8_trim_whitespace(date), pc.utf8_trim_whitespace(time), " ")


def _texts(column: Column) -> list[str | None]:
    return [None if value is None else str(value).strip() for value in plain(column).to_pylist()]


def _dated(dates: Dates) -> Stamps:
    if not dates.dated:
        return Stamps(
            dates.stamps, dates.known, "elapsed", ("times of day without a date: they count from midnight",)
        )
    notes = () if dates.zoned else (NO_ZONE,)
    return Stamps(dates.stamps, dates.known, "utc", notes, dates.order)


def _counted(timing: Timing, table: Table) -> Stamps:
    counts = floats(table, timing.columns[0])
    known = np.isfinite(counts)
    with np.errstate(invalid="ignore"):
        values = counts * (NANOSECONDS / timing.rate)
    _check_range(table, timing.columns[0], values)
    return Stamps(np.rint(np.where(known, values, 0)).astype(np.int64), known, timing.clock or "index")


def _sum(timing: Timing, *parts: tuple[Int64Array, BoolArray]) -> Stamps:
    (one, here), (two, there) = parts
    return Stamps(one + two, here & there, timing.clock or "gps")


def _calendar(timing: Timing, table: Table) -> Stamps:
    columns = dict(zip(timing.parts, timing.columns, strict=True))
    numbers = {part: floats(table, index) for part, index in columns.items()}
    known = np.logical_and.reduce([np.isfinite(each) for each in numbers.values()])
    filled = {part: np.where(known, each, 1970 if part == "year" else 1) for part, each in numbers.items()}
    day = filled["doy"] if "doy" in filled else filled["day"]
    month = filled.get("month", np.ones(len(known)))
    whole = [np.clip(np.floor(each), -1, 10_000).astype(np.int64) for each in (filled["year"], month, day)]
    days, bad = calendar_days(whole[0], whole[1], whole[2], longest=366 if "doy" in filled else None)
    if (bad & known).any():
        row = int(np.flatnonzero(bad & known)[0])
        raise table.fault(row, columns["year"], "no such day in the calendar", "a day from 1700 to 2249")
    seconds = np.zeros(len(known), dtype=np.int64) + _nanoseconds(day - np.floor(day), UNIT_NS["day"])
    for part, unit in (("hour", "h"), ("minute", "min"), ("second", "s")):
        if part in filled:
            _check_range(table, columns[part], filled[part] * UNIT_NS[unit])
            seconds += _nanoseconds(np.where(known, filled[part], 0), UNIT_NS[unit])
    return Stamps(days * UNIT_NS["day"] + seconds, known, "utc", (NO_ZONE,))


def _whole(table: Table, index: int, unit_ns: int, zero: float = 0.0) -> tuple[Int64Array, BoolArray]:
    """A column of numbers as nanoseconds, exact for whole numbers and decimals."""
    import pyarrow as pa  # noqa: PLC0415

    column = plain(table.columns[index])
    known = np.array(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    billionths = _decimal_units(column)
    if billionths is not None:
        _check_range(table, index, np.where(known, billionths / 10**DECIMALS - zero, 0) * unit_ns)
        return _scaled(np.where(known, billionths - int(zero * 10**DECIMALS), 0), unit_ns), known
    if pa.types.is_integer(column.type) and float(zero).is_integer() and not pa.types.is_uint64(column.type):
        counts: Int64Array = np.array(column.fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64)
        _check_range(table, index, (counts.astype(np.float64) - zero) * unit_ns)
        return (counts - int(zero)) * unit_ns, known
    values = floats(table, index)
    known = np.isfinite(values)
    shifted = np.where(known, values, zero) - zero
    with np.errstate(over="ignore"):
        _check_range(table, index, shifted * unit_ns)
    return _nanoseconds(shifted, unit_ns), known


def _scaled(billionths: Int64Array, unit_ns: int) -> Int64Array:
    """Billionths of a unit as nanoseconds, rounded to the nearest."""
    if unit_ns >= NANOSECONDS:
        return billionths * (unit_ns // NANOSECONDS)
    step = NANOSECONDS // unit_ns
    return (billionths + step // 2) // step


def _decimal_units(column: Column) -> Int64Array | None:
    """Decimals as whole numbers of their last digit, ``[N]``; None for other columns and larger numbers."""
    import pyarrow as pa  # noqa: PLC0415

    if not pa.types.is_decimal128(column.type) or column.type.scale != DECIMALS or not len(column):
        return None
    words = np.frombuffer(column.buffers()[1], dtype=np.int64).reshape(-1, 2)  # low and high, little-endian
    words = words[column.offset : column.offset + len(column)]
    known = np.array(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    if (words[known, 1] != words[known, 0] >> 63).any():
        return None
    return np.where(known, words[:, 0], 0)


def _nanoseconds(values: Float64Array, unit_ns: int) -> Int64Array:
    """Numbers of a unit, whole and rest apart so that the rest keeps its digits."""
    whole = np.floor(values)
    rest: npt.NDArray[np.int64] = np.rint((values - whole) * unit_ns).astype(np.int64)
    return whole.astype(np.int64) * unit_ns + rest


def _check_range(table: Table, index: int, nanoseconds: Float64Array) -> None:
    with np.errstate(invalid="ignore"):
        far = np.abs(nanoseconds) > _MOST
    if far.any():
        row = int(np.flatnonzero(far)[0])
        raise table.fault(
            row, index, "a time more than 146 years from zero", "another unit (--time_unit) or column"
        )
