"""Traps in the positions of a recording that need no look at their neighbourhood; one function each."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array, IntArray
from examples.trajectory_3d.recordings.findings import Finding, counted, seconds_text

_FEW = 0.01  # share of repeated positions that is no habit of the recorder
_LARGEST = 1e100
_FAR = 1e5  # units from the frame's origin


def find_lost(
    times: Float64Array, position: Float64Array, rows: IntArray
) -> tuple[BoolArray, Finding | None]:
    """Samples without a usable position.

    Args:
        times: sorted, ``[N]``.
        position: ``[N, D]``.
        rows: their places in the file, ``[N]``.

    Returns:
        Which samples are there, ``[N]``, and what was found.
    """
    there = are_there(position)
    if there.all():
        return there, None
    starts, ends = runs(~there)
    spans = times[np.minimum(ends, len(times) - 1)] - times[np.maximum(starts - 1, 0)]
    longest = int((ends - starts).argmax())
    stretches = counted(len(starts), "stretch", "stretches")
    text = (
        f"{counted(int((~there).sum()), 'sample')} without position in {stretches}, "
        f"the longest of {counted(int(ends[longest] - starts[longest]), 'sample')} "
        f"({seconds_text(float(spans[longest]))})"
    )
    return there, Finding("lost", int((~there).sum()), int(rows[~there].min()), text, "dropped")


def are_there(position: Float64Array) -> BoolArray:
    """Whether every coordinate of a sample is a number, and a length in any unit: below 1e100, ``[N]``."""
    return np.asarray((np.abs(position) < _LARGEST).all(axis=1), dtype=np.bool_)


def find_repeats(times: Float64Array, position: Float64Array, rows: IntArray) -> Finding | None:
    """Positions equal to the one before: a recorder that holds its last value, or a thing at rest."""
    if len(times) < 3:
        return None
    held = (np.diff(position, axis=0) == 0).all(axis=1)
    count = int(held.sum())
    if count < max(1.0, _FEW * len(held)):
        return None
    starts, ends = runs(held)
    new = (len(times) - count) / (times[-1] - times[0])
    text = (
        f"{counted(count, 'position')} ({count / len(held):.0%}) repeat the one before, "
        f"{int(np.median(ends - starts))} in a row as a rule and {int((ends - starts).max())} at most; "
        f"new ones come {new:.3g} times a second"
    )
    return Finding("repeated positions", count, int(rows[1:][held].min()), text)


def find_offset(position: Float64Array, rows: IntArray) -> Finding | None:
    """Positions far from the frame's origin compared with how far they move."""
    if not len(position):
        return None
    far = float(np.abs(position).max())
    extent = float(np.ptp(position, axis=0).max())
    if far < _FAR or far < 100 * extent:
        return None
    text = (
        f"positions {far:.3g} units from the frame's origin that move over {extent:.3g} units; "
        f"double precision tells {np.spacing(far):.1g} units apart there"
    )
    return Finding("offset", len(position), int(rows[0]), text)


def runs(flags: BoolArray) -> tuple[IntArray, IntArray]:
    """Starts and ends (exclusive) of the stretches where flags ``[N]`` are set."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
