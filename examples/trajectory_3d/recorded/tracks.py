"""Recordings as they become windows: mended, at uniform rates, three coordinates in one unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recorded.parts import Part
from examples.trajectory_3d.recordings.mending import mend
from examples.trajectory_3d.recordings.resampling import uniform_pieces
from examples.trajectory_3d.recordings.trajectory import LENGTH_UNITS, NANOSECONDS, Trajectory
from examples.trajectory_3d.recordings_config import RecordingsConfig

SPACE = 3
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Piece:
    """A stretch without gaps.

    Attributes:
        points: ``[n, 3]`` in the unit of the set.
        start: of the first point, seconds on the clock of its file.
        step: seconds between points.
    """

    points: Float64Array
    start: float
    step: float


@dataclass(frozen=True)
class Track:
    """One thing that moved.

    Attributes:
        pieces: in order of time.
        group: number of its group in the set.
        samples: as recorded.
    """

    pieces: tuple[Piece, ...]
    group: int
    samples: int


@dataclass(frozen=True)
class ReadFile:
    """The tracks of a file, on one clock.

    Attributes:
        tracks: in order of the file.
        part: that all of them belong to; None where it is not given.
    """

    tracks: tuple[Track, ...]
    part: Part | None = None


def set_unit(units: Sequence[str], *, metres: bool) -> tuple[str, list[str]]:
    """The unit of a set of recordings, and what to say of it.

    Files of one unit keep it. Those of several, and those beside synthetic motion, go to metres as far as
    theirs is known.

    Args:
        units: of the files.
        metres: whether synthetic motion, in metres, stands beside them.

    Returns:
        A key of `LENGTH_UNITS` or ``unknown``, and notes in words.
    """
    several = sorted(set(units))
    if len(several) <= 1 and not metres:
        return (several[0] if several else UNKNOWN), []
    known = [unit for unit in several if unit != UNKNOWN]
    if UNKNOWN not in several:
        converted = [unit for unit in known if unit != "m"]
        return "m", [f"positions in {', '.join(converted)} are converted to metres"] if converted else []
    if not known:
        return UNKNOWN, [
            "the unit of recordings is unknown, that of synthetic motion metres"
        ] if metres else []
    return UNKNOWN, [
        f"positions in {', '.join(known)} are converted to metres; those of unknown unit stay as they are "
        "(dataset.read.unit states it), so errors of all together mean little"
    ]


def unit_factor(unit: str, wanted: str, *, several: bool) -> float:
    """What positions in a unit are multiplied by.

    Args:
        unit: of the file.
        wanted: of the set.
        several: whether the set was made of several units, and so is in metres where they are known.
    """
    if unit in {wanted, UNKNOWN} or not several:
        return 1.0
    return LENGTH_UNITS[unit]


def uniform_track(
    trajectory: Trajectory, config: RecordingsConfig, *, group: int, factor: float, clock_ns: int
) -> Track:
    """Mend a recording, cut it at its gaps and give it uniform rates.

    Args:
        trajectory: as read.
        config: rate and longest gap.
        group: number of its group.
        factor: of positions, to the unit of the set.
        clock_ns: where the clock of its file begins.
    """
    samples = len(trajectory)
    if not is_clean(trajectory):
        trajectory = mend(trajectory).trajectory
    pieces = uniform_pieces(trajectory, rate=config.resample, longest_gap=config.longest_gap)
    begin = (trajectory.start_ns - clock_ns) / NANOSECONDS
    made = tuple(
        Piece(in_space(piece.points[:, : trajectory.dimensions]) * factor, begin + piece.start, piece.step)
        for piece in pieces
    )
    return Track(made, group, samples)


def is_clean(trajectory: Trajectory) -> bool:
    """Whether mending would change nothing: times increase and every position is there."""
    return bool((np.diff(trajectory.times) > 0).all() and np.isfinite(trajectory.position).all())


def in_space(points: Float64Array) -> Float64Array:
    """Positions of one to three coordinates as three, the missing ones zero: ``[n, 3]``."""
    if points.shape[1] == SPACE:
        return points
    padded = np.zeros((len(points), SPACE))
    padded[:, : points.shape[1]] = points
    return padded


def dimension_notes(trajectories: Sequence[Trajectory]) -> list[str]:
    """What to say of recordings that do not have three columns."""
    few = sum(len(each.names) < SPACE for each in trajectories)
    many = sum(len(each.names) > SPACE for each in trajectories)
    notes = []
    if few:
        notes.append(f"{few} of {len(trajectories)} tracks have one or two coordinates; the others are zero")
    if many:
        notes.append(
            f"of {many} of {len(trajectories)} tracks only the first three columns, the position, are used"
        )
    return notes
