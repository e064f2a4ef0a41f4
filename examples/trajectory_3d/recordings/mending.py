"""From a recording as it was made to one that can be worked with: traps found, reported and, if safe, undone.

What is undone loses nothing: rows are sorted, a clock that started again counts on, rows without a position
or with a stamp that is there already go. What may be motion after all (outliers, jumps, repeated positions)
is reported and stays, unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.recordings.clock_traps import (
    find_gaps,
    find_jitter,
    find_missing,
    find_odd_unit,
    repeated_stamps,
    sort_rows,
    unwrap,
)
from examples.trajectory_3d.recordings.findings import Finding
from examples.trajectory_3d.recordings.outliers import find_jumps, find_outliers, jumps, outlying
from examples.trajectory_3d.recordings.position_traps import find_lost, find_offset, find_repeats
from examples.trajectory_3d.recordings.rounding import find_rounding, resolution
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory, to_nanoseconds

_LONGEST_NS = 9.0e9  # seconds that nanoseconds in 64 bits can count


@dataclass(frozen=True, kw_only=True)
class MendOptions:
    """What `mend` does where it has a choice.

    Attributes:
        drop_outliers: drop samples that leave the path and come back; otherwise they are only reported.
        gap_steps: a step longer than so many median steps is a gap.

    Raises:
        ValueError: `gap_steps` not above 1.
    """

    drop_outliers: bool = False
    gap_steps: float = 3.0

    def __post_init__(self) -> None:
        if not 1 < self.gap_steps < float("inf"):
            raise ValueError(f"gap_steps must be above 1, got {self.gap_steps}")


@dataclass(frozen=True)
class Mended:
    """A recording with its traps undone.

    Attributes:
        trajectory: times strictly increase from 0 at `start_ns`; every position is finite (further columns
            may hold NaN). Without samples if every position was lost.
        findings: what was odd, in the order in which it was looked for.
        rows: which row of the given trajectory each sample is, ``[n]``.
        jumps: samples at which the path goes on elsewhere, ``[k]``; `uniform_pieces` splits there if asked.
        outliers: samples that leave the path and come back, ``[o]``; none are left if they were dropped.
    """

    trajectory: Trajectory
    findings: tuple[Finding, ...]
    rows: IntArray
    jumps: IntArray
    outliers: IntArray


def mend(trajectory: Trajectory, options: MendOptions | None = None) -> Mended:
    """Find what is odd in a recording, and undo what can be undone without guessing.

    In this order: clocks that start again at midnight count on; rows are sorted by time; samples without a
    position are dropped; of rows with one stamp the first stays. Then units, jitter, gaps, rounding, repeated
    positions, outliers, jumps and offsets are looked for in what is left.

    Args:
        trajectory: as read.
        options: choices; by default outliers stay.

    Returns:
        The mended recording and what was found; mending it again changes nothing.
    """
    options = options or MendOptions()
    times, rollover = unwrap(trajectory)
    trajectory = _counted_from(replace(trajectory, times=times), float(times.min(initial=0.0)))
    times = trajectory.times
    rows, disorder = sort_rows(times)
    there, lost = find_lost(times[rows], trajectory.position[rows], rows)
    rows = rows[there]
    first, repeated = repeated_stamps(times[rows], trajectory.points[rows], rows)
    rows = rows[first]
    mended = _from_first(trajectory.take(rows))
    found = [rollover, disorder, lost, *repeated]
    found += [find_odd_unit(mended, rows), find_offset(mended.position, rows)]
    gap = gap_limit(mended.times, options.gap_steps)
    grids = resolution(mended)
    found += [
        find_jitter(mended.times, rows, gap),
        find_missing(mended.times, rows, gap),
        find_gaps(mended.times, rows, gap),
        find_rounding(mended, rows, grids),
        find_repeats(mended.times, mended.position, rows),
    ]
    coarsest = max((step for step in grids if step is not None), default=0.0)
    flags = outlying(mended.times, mended.position, gap, coarsest)
    found.append(find_outliers(flags, rows, dropped=options.drop_outliers))
    clean = mended.take(~flags)
    jumping, sizes = jumps(clean.times, clean.position, gap, coarsest)
    places = np.flatnonzero(~flags)[jumping]
    found.append(find_jumps(places, sizes, rows, mended.unit))
    if options.drop_outliers and flags.any():
        places = places - np.cumsum(flags)[places]
        mended, rows, flags = _from_first(clean), rows[~flags], np.zeros(len(clean), dtype=np.bool_)
    findings = tuple(each for each in found if each is not None)
    return Mended(mended, findings, rows, places, np.flatnonzero(flags))


def gap_limit(times: Float64Array, steps: float = 3.0) -> float:
    """The longest step that is no gap: so many median steps, seconds; infinite for less than two samples.

    A millionth longer, so that steps of just so many do not become gaps by the roundings of their stamps.
    """
    return steps * float(np.median(np.diff(times))) * (1 + 1e-6) if len(times) > 1 else float("inf")


def _from_first(trajectory: Trajectory) -> Trajectory:
    """The same samples with times counted from the first of them."""
    return _counted_from(trajectory, float(trajectory.times[0])) if len(trajectory) else trajectory


def _counted_from(trajectory: Trajectory, zero: float) -> Trajectory:
    """The same samples with times counted from another moment, in whole nanoseconds."""
    times = trajectory.times
    if np.abs(times).max(initial=0.0) > _LONGEST_NS:  # in a wrong unit, or of geological age
        start = round(zero * NANOSECONDS)
        return replace(trajectory, times=times - zero, start_ns=trajectory.start_ns + start)
    start = int(to_nanoseconds(zero))
    stamps = to_nanoseconds(times) - start
    return replace(trajectory, times=stamps / NANOSECONDS, start_ns=trajectory.start_ns + start)
