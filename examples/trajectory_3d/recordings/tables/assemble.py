"""Rows of a table as tracks, all at once or in pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.geodesy import to_local
from examples.trajectory_3d.recordings.tables.cells import floats, labels
from examples.trajectory_3d.recordings.tables.choose import Layout
from examples.trajectory_3d.recordings.tables.dates import Order
from examples.trajectory_3d.recordings.tables.stamps import Stamps, stamps_of
from examples.trajectory_3d.recordings.tables.table import Table
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Clock, Origin, Trajectory, relative

SAMPLE = 1000  # rows that columns are told by


@dataclass
class Assembler:
    """Makes tracks of the rows of a table that comes in pieces; remembers what must not change on the way.

    Attributes:
        layout: what the columns are.
        format: name of the file's format, for the tracks.
        order: of day and month in dates that leave it open; settled by the first rows that do not.
    """

    layout: Layout
    format: str = ""
    order: Order | None = None
    _clock: Clock | None = None
    _rows: int = 0
    _origins: dict[str, Origin] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _assumed: dict[str, None] = field(default_factory=dict)
    _lost: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd in the rows so far."""
        lost = [f"{count} of {self._rows} {what}" for what, count in self._lost.items()]
        return (*self.layout.notes, *self._assumed, *lost)

    def pieces(self, table: Table) -> list[Trajectory]:
        """Tracks of some rows, each with its samples in the order of the file.

        Raises:
            RecordingError: a cell that is not what its column holds; says where.
        """
        self._rows += len(table)
        stamps = self._stamps(table)
        position = np.stack([floats(table, each) for each in self.layout.axes.columns], axis=1)
        position *= np.array(self.layout.axes.factors)
        if self.layout.axes.geodetic:
            self._check_degrees(table, position)
        common = Trajectory(
            times=np.zeros(0),
            points=np.zeros((0, len(self.layout.names))),
            names=self.layout.names,
            unit=self.layout.unit,
            frame=self.layout.frame,
            clock="index" if stamps is None else stamps.clock,
            source=str(table.path),
            format=self.format,
            notes=self.notes,
            coordinates=min(3, len(self.layout.axes.columns)),
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

    def whole(self, pieces: Iterable[Trajectory]) -> list[Trajectory]:
        """Whole tracks of all pieces, in the order of their first ones.

        Raises:
            RecordingError: latitude, longitude and altitude of which no sample has all three.
        """
        tracks = join(pieces)
        if tracks and self.layout.axes.geodetic and not self._origins:
            raise RecordingError(
                tracks[0].source,
                "no sample has latitude, longitude and altitude",
                expected="at least one (--position with latitude and longitude alone needs no altitude)",
            )
        return [replace(track, notes=self.notes) for track in tracks]

    def _stamps(self, table: Table) -> Stamps | None:
        """Times of the rows, of the same kind as those before; None where samples come at a rate."""
        if self.layout.timing.kind == "rate":
            return None
        stamps = stamps_of(self.layout.timing, table, self.order)
        if not stamps.known.all():
            self._lost["rows have no time and are left out"] += int(np.count_nonzero(~stamps.known))
        if not stamps.known.any():
            return stamps
        if self._clock not in {None, stamps.clock}:
            row = int(np.flatnonzero(stamps.known)[0])
            column = self.layout.timing.columns[-1]
            raise table.fault(row, column, "dates and times of day in one column", "either, in all rows")
        self._clock, self.order = stamps.clock, self.order or stamps.order
        self._assumed |= dict.fromkeys(stamps.notes)
        return stamps

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

    def _check_degrees(self, table: Table, position: Float64Array) -> None:
        """Lose places that are none on Earth; refuse columns that hold no degrees at all."""
        for place, (what, most) in enumerate((("latitude", 90.0), ("longitude", 360.0))):
            values = np.abs(position[:, place])
            off = values > most  # False for NaN
            if not off.any():
                continue
            row, column = int(np.flatnonzero(off)[0]), self.layout.axes.columns[place]
            if 2 * np.count_nonzero(off) > np.count_nonzero(np.isfinite(values)):
                raise table.fault(
                    row, column, f"{position[row, place]:g} as {what}", f"degrees, at most {most:g}"
                )
            self._lost[f"rows have a {what} beyond {most:g} degrees, taken as lost"] += int(off.sum())
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
    return replace(parts[-1], times=times, points=points, start_ns=start)
