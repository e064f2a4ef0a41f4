"""Rows of a table as tracks, all at once or in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.geodesy import to_local
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.tables.cells import floats, labels
from examples.trajectory_3d.recordings.tables.choose import Layout, choose
from examples.trajectory_3d.recordings.tables.dates import Order
from examples.trajectory_3d.recordings.tables.stamps import stamps_of
from examples.trajectory_3d.recordings.tables.table import Table
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Origin, Trajectory, relative

SAMPLE = 1000  # rows that columns are told by


@dataclass
class Assembler:
    """Makes tracks of the rows of a table that comes in pieces; remembers what must not change on the way.

    Attributes:
        layout: what the columns are.
        format: name of the file's format, for the tracks.
        order: of day and month in dates that leave it open.
    """

    layout: Layout
    format: str = ""
    order: Order | None = None
    _origins: dict[str, Origin] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def pieces(self, table: Table) -> list[Trajectory]:
        """Tracks of some rows, each with its samples in the order of the file.

        Raises:
            RecordingError: a cell that is not what its column holds; says where.
        """
        stamps = (
            None if self.layout.timing.kind == "rate" else stamps_of(self.layout.timing, table, self.order)
        )
        position = np.stack([floats(table, each) for each in self.layout.axes.columns], axis=1)
        position *= np.array(self.layout.axes.factors)
        notes = list(self.layout.notes)
        if stamps is not None:
            notes += stamps.notes
            lost = int(np.count_nonzero(~stamps.known))
            if lost:
                notes.append(f"{lost} of {len(table)} rows have no time and are left out")
        if self.layout.axes.geodetic:
            _check_degrees(table, self.layout, position, notes)
        common = Trajectory(
            times=np.zeros(0),
            points=np.zeros((0, len(self.layout.names))),
            names=self.layout.names,
            unit=self.layout.unit,
            frame=self.layout.frame,
            clock="index" if stamps is None else stamps.clock,
            source=str(table.path),
            format=self.format,
            notes=tuple(notes),
        )
        extra = [floats(table, each) for each in self.layout.extra]
        result = []
        for name, rows in self._tracks(table):
            kept = rows if stamps is None else rows[stamps.known[rows]]
            if not len(kept):
                continue
            points = self._local(name, position[kept]) if self.layout.axes.geodetic else position[kept]
            points = np.concatenate([points, *(each[kept, None] for each in extra)], axis=1)
            counted = self._counted(name, len(kept)) if stamps is None else stamps.values[kept]
            times, start = relative(counted)
            origin = self._origins.get(name)
            result.append(
                replace(common, times=times, points=points, start_ns=start, track=name, origin=origin)
            )
        return result

    def _tracks(self, table: Table) -> Iterator[tuple[str, npt.NDArray[np.intp]]]:
        if self.layout.track is None:
            yield "", np.arange(len(table))
            return
        codes, names = labels(table, self.layout.track)
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
        yield from zip(names, np.split(np.argsort(codes, kind="stable"), ends), strict=True)

    def _counted(self, name: str, count: int) -> npt.NDArray[np.int64]:
        """Stamps of the next samples of a track without times, at the rate given."""
        first = self._counts.get(name, 0)
        self._counts[name] = first + count
        steps = np.arange(first, first + count) * (NANOSECONDS / self.layout.timing.rate)
        stamps: npt.NDArray[np.int64] = np.rint(steps).astype(np.int64)
        return stamps

    def _local(self, name: str, degrees: Float64Array) -> Float64Array:
        """East, north and up of one track, all pieces of it round the same origin."""
        if degrees.shape[1] == 2:
            degrees = np.column_stack([degrees, np.zeros(len(degrees))])
        origin = self._origins.get(name)
        if origin is None and not np.isfinite(degrees).all(axis=1).any():
            return np.full((len(degrees), 3), np.nan)
        points, self._origins[name] = to_local(degrees[:, 0], degrees[:, 1], degrees[:, 2], origin)
        return points


def _check_degrees(table: Table, layout: Layout, position: Float64Array, notes: list[str]) -> None:
    """Lose places that are none on Earth; refuse columns that hold no degrees at all."""
    for place, (what, most) in enumerate((("latitude", 90.0), ("longitude", 360.0))):
        values = np.abs(position[:, place])
        off = values > most  # False for NaN
        if not off.any():
            continue
        row, column = int(np.flatnonzero(off)[0]), layout.axes.columns[place]
        if 2 * np.count_nonzero(off) > np.count_nonzero(np.isfinite(values)):
            raise table.fault(
                row, column, f"{position[row, place]:g} as {what}", f"degrees, at most {most:g}"
            )
        notes.append(f"{int(off.sum())} values of {what} beyond {most:g} degrees are taken as lost")
        position[off] = np.nan


def join(pieces: Iterable[Trajectory]) -> list[Trajectory]:
    """Whole tracks of their pieces, in the order of their first ones."""
    parts: dict[str, list[Trajectory]] = {}
    for piece in pieces:
        parts.setdefault(piece.track, []).append(piece)
    return [each[0] if len(each) == 1 else _joined(each) for each in parts.values()]


def _joined(parts: list[Trajectory]) -> Trajectory:
    times, start = relative(np.concatenate([part.stamps_ns() for part in parts]))
    points = np.concatenate([part.points for part in parts])
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return replace(parts[-1], times=times, points=points, start_ns=start, notes=notes)


def check_placed(tracks: list[Trajectory], layout: Layout) -> list[Trajectory]:
    """Whole tracks, if they are anywhere.

    Raises:
        RecordingError: latitude, longitude and altitude of which no sample has all three.
    """
    if tracks and layout.axes.geodetic and all(track.origin is None for track in tracks):
        raise RecordingError(
            tracks[0].source,
            "no sample has latitude, longitude and altitude",
            expected="at least one (--position with latitude and longitude alone needs no altitude)",
        )
    return tracks


def tracks_of(table: Table, options: ReadOptions, name: str) -> list[Trajectory]:
    """Tracks of a whole table.

    Args:
        table: all rows.
        options: what the user says.
        name: of the format.

    Raises:
        RecordingError: no rows; columns that cannot be told; cells that are wrong.
    """
    if not len(table):
        raise RecordingError(table.path, "a table without rows", expected="at least one sample")
    layout = choose(table.slice(0, SAMPLE), options)
    return check_placed(Assembler(layout, name).pieces(table), layout)
