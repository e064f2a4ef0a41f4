"""Traps in the stamps of a recording; each function looks for one."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array, IntArray
from examples.trajectory_3d.recordings.findings import Finding, counted, seconds_text
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory

_PERIODS = {86400.0: "midnight", 604800.0: "the end of the GPS week"}
_LONGEST_PAUSE = 3600.0  # seconds between the last row of a day and the first of the next
_JITTER = 0.1  # of the median step
_EVEN_CLOCK = 0.9  # share of its steps that are of one length
_FASTEST_RATE = 50_000.0  # samples a second; recorders of positions stay far below
_FASTEST = 300_000.0  # m/s, ten times the Earth's speed around the Sun
_UNITS_BELOW_A_SECOND = {1e3: "milliseconds", 1e6: "microseconds", 1e9: "nanoseconds"}
_YEAR = 31_556_952.0
_EPOCH_YEAR = {"utc": 1970, "gps": 1980, "elapsed": 1970, "index": 1970}


def unwrap(trajectory: Trajectory) -> tuple[Float64Array, Finding | None]:
    """Let a clock that starts again at midnight, or with the GPS week, run on.

    Only clocks whose zero is unknown do so, and only a step back by a whole day (or week) to within an
    hour counts, which leaves nothing else far out of order: rows that are merely shuffled stay as they are.

    Returns:
        The times, ``[N]`` seconds, and what was found.
    """
    times = trajectory.times
    if trajectory.clock != "elapsed" or len(times) < 2:
        return times, None
    absolute = times + trajectory.start_ns / NANOSECONDS
    for period, name in _PERIODS.items():
        if absolute.min() < 0 or absolute.max() > period:
            continue
        pause = np.diff(times) + period
        turns = (pause > 0) & (pause <= _LONGEST_PAUSE)
        if not turns.any():
            continue
        unwrapped = times + period * np.concatenate([[0], np.cumsum(turns)])
        if np.diff(unwrapped).min() < -_LONGEST_PAUSE:
            continue
        count = int(turns.sum())
        text = f"the clock passes {name} {'once' if count == 1 else f'{count} times'} and starts again"
        place = int(np.flatnonzero(turns)[0]) + 1
        return unwrapped, Finding("rollover", count, place, text, "counted on")
    return times, None


def sort_rows(times: Float64Array) -> tuple[IntArray, Finding | None]:
    """The order of the rows by time, rows of one stamp as the file has them, ``[N]``."""
    order = np.argsort(times, kind="stable")
    late = times < np.maximum.accumulate(times) if len(times) else np.zeros(0, dtype=np.bool_)
    count = int(late.sum())
    if not count:
        return order, None
    steps = np.diff(times)
    places = counted(int((steps < 0).sum()), "place")
    text = f"{counted(count, 'row')} after later ones: time goes back in {places}"
    text += f", by at most {seconds_text(float(-steps.min()))}"
    return order, Finding("order", count, int(np.flatnonzero(late)[0]), text, "sorted by time")


def repeated_stamps(
    times: Float64Array, points: Float64Array, rows: IntArray
) -> tuple[BoolArray, list[Finding]]:
    """Rows whose stamp an earlier row has already.

    Args:
        times: sorted, ``[N]``.
        points: ``[N, D]``.
        rows: their places in the file, ``[N]``.

    Returns:
        Which rows to keep, the first of each stamp, and what was found: rows that repeat a whole row, and
        rows that say something else of the same moment.
    """
    again = np.concatenate([[False], np.diff(times) <= 0]) if len(times) else np.zeros(0, dtype=np.bool_)
    if not again.any():
        return ~again, []
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(times))))
    same = again & ((points == points[first]) | (np.isnan(points) & np.isnan(points[first]))).all(axis=1)
    other = again & ~same
    found = []
    if same.any():
        text = f"{counted(int(same.sum()), 'row')} that repeat a stamp with the same point"
        found.append(Finding("repeated rows", int(same.sum()), int(rows[same].min()), text, "dropped"))
    if other.any():
        text = f"{counted(int(other.sum()), 'row')} with another point at a stamp that an earlier row has"
        if other.mean() > 0.4:
            text += (
                "; perhaps several things in one track (name the column that tells them apart), or stamps "
                "rounded too coarsely (give the rate instead)"
            )
        place = int(rows[other].min())
        found.append(Finding("conflicting rows", int(other.sum()), place, text, "the first of each was kept"))
    return ~again, found


def find_jitter(times: Float64Array, rows: IntArray, gap: float) -> Finding | None:
    """Steps, gaps and missing samples aside, that differ from the median step by more than a tenth of it."""
    steps = np.diff(times)
    if len(steps) < 3:
        return None
    usual = float(np.median(steps))
    odd = (np.abs(steps - _multiples(steps, usual) * usual) > _JITTER * usual) & (steps <= gap)
    if not odd.any():
        return None
    text = (
        f"{counted(int(odd.sum()), 'step')} of {len(steps)} differ from the median step of "
        f"{seconds_text(usual)} by more than {_JITTER:.0%}; they are "
        f"{seconds_text(float(steps[odd].min()))} to {seconds_text(float(steps[odd].max()))} long"
    )
    return Finding("jitter", int(odd.sum()), int(rows[:-1][odd].min()), text)


def find_missing(times: Float64Array, rows: IntArray, gap: float) -> Finding | None:
    """Samples that an even clock left out: steps, no gaps, of two or more median steps to within a tenth.

    Only where the other steps agree: a clock that jitters has such steps by chance.
    """
    steps = np.diff(times)
    if len(steps) < 3:
        return None
    usual = float(np.median(steps))
    multiples = _multiples(steps, usual)
    even = np.abs(steps - multiples * usual) <= _JITTER * usual
    short = even & (multiples > 1) & (steps <= gap)
    if not short.any() or even.mean() < _EVEN_CLOCK or short.mean() > 1 - _EVEN_CLOCK:
        return None
    count = int((multiples[short] - 1).sum())
    text = f"{counted(count, 'sample')} missing of an even clock with a step of {seconds_text(usual)}"
    return Finding("missing samples", count, int(rows[:-1][short].min()), text)


def _multiples(steps: Float64Array, usual: float) -> Float64Array:
    return np.asarray(np.maximum(np.rint(steps / usual), 1.0), dtype=np.float64)


def find_gaps(times: Float64Array, rows: IntArray, gap: float) -> Finding | None:
    """Steps longer than `gap` seconds."""
    steps = np.diff(times)
    wide = steps > gap
    if not wide.any():
        return None
    place = int(steps.argmax())
    text = (
        f"{counted(int(wide.sum()), 'gap')} longer than {seconds_text(gap)}, the longest of "
        f"{seconds_text(float(steps[place]))} after {seconds_text(float(times[place] - times[0]))}"
    )
    return Finding("gap", int(wide.sum()), int(rows[:-1][wide].min()), text)


def find_odd_unit(trajectory: Trajectory, rows: IntArray) -> Finding | None:
    """Stamps that are hardly seconds: implausible dates, rates or speeds.

    Args:
        trajectory: with strictly increasing times.
        rows: places of its samples in the file, ``[N]``.
    """
    if len(trajectory) < 3:
        return None
    reason = _odd_date(trajectory) or _odd_rate(trajectory.times) or _odd_speed(trajectory)
    return Finding("time unit", len(trajectory), int(rows[0]), reason) if reason else None


def _odd_date(trajectory: Trajectory) -> str | None:
    seconds = trajectory.start_ns / NANOSECONDS
    zero = _EPOCH_YEAR[trajectory.clock]
    if seconds < (2150 - zero) * _YEAR:
        return None
    for factor, name in _UNITS_BELOW_A_SECOND.items():
        year = zero + seconds / factor / _YEAR
        if 1980 <= year <= 2150:
            return f"stamps of {seconds:.3g} s: as {name} they would be of the year {int(year)}"
    return f"stamps of {seconds:.3g} s: no date of our time in any unit of seconds"


def _odd_rate(times: Float64Array) -> str | None:
    rate = 1.0 / float(np.median(np.diff(times)))
    return f"{rate:.3g} samples a second: is the unit of the stamps longer?" if rate > _FASTEST_RATE else None


def _odd_speed(trajectory: Trajectory) -> str | None:
    """Too fast for anything, or a bulky thing that creeps, at whole steps as milliseconds have them."""
    if trajectory.unit == "unknown":
        return None
    steps = np.diff(trajectory.times)
    lengths = np.linalg.norm(np.diff(trajectory.position, axis=0), axis=1) * trajectory.metres
    speeds = lengths / steps
    if float(np.median(speeds)) > _FASTEST:
        return f"a median speed of {np.median(speeds):.3g} m/s: is the unit of the stamps longer?"
    extent = float(np.ptp(trajectory.position, axis=0).max()) * trajectory.metres
    whole = bool((steps == np.rint(steps)).all())
    usual, fast = float(np.median(steps)), float(np.percentile(speeds, 99))
    if whole and usual >= 5 and extent > 0.1 and fast < 0.01:
        return (
            f"steps of {usual:g} s and speeds below {fast:.2g} m/s over {extent:.2g} m: "
            "are the stamps milliseconds or shorter?"
        )
    return None
