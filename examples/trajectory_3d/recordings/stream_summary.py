"""Summaries of tracks that do not fit into memory, from the pieces that a format streams.

Counts, extents, greatest speed and longest gap are exact. Medians and percentiles come from histograms with
bins of 0.2 %. Noise, rounding, outliers and jumps are looked for in blocks of rows from all over the track.
Rows out of order are counted, not sorted. A track of few rows is kept and summarised as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array
from examples.trajectory_3d.recordings.findings import Finding, Kind, counted, seconds_text
from examples.trajectory_3d.recordings.joining import joined
from examples.trajectory_3d.recordings.mending import gap_limit, mend
from examples.trajectory_3d.recordings.noise import ORDERS, differences, noise_from
from examples.trajectory_3d.recordings.position_traps import are_there
from examples.trajectory_3d.recordings.quantiles import Quantiles
from examples.trajectory_3d.recordings.resampling import GAP_STEPS
from examples.trajectory_3d.recordings.rounding import resolution
from examples.trajectory_3d.recordings.summary import TrackSummary, summarise_mended
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory

_WHOLE = 16_384  # rows up to which a track is kept and summarised as a whole
_BLOCK = 2048  # rows of a block that is looked at closely
_BLOCKS = 16
_OVERVIEW = 4096  # points of a path for a picture
# What blocks can tell.
_LOCAL_KINDS: tuple[Kind, ...] = (
    "time unit",
    "resolution",
    "outlier",
    "jump",
    "offset",
)


class StreamedTrack:
    """One track, row by row; see the module for what is exact.

    Args:
        first: the first piece, which is not counted by this alone: `add` it too.
    """

    def __init__(self, first: Trajectory) -> None:
        self._bare = replace(first, times=np.empty(0), points=np.empty((0, first.points.shape[1])))
        self._kept: list[Trajectory] | None = []
        self._kept_rows = 0
        self._sums = _Sums(first.dimensions)
        self._blocks = _Blocks()
        self._overview = _Overview()

    def add(self, piece: Trajectory) -> None:
        """Count the next rows.

        Raises:
            ValueError: it has other columns than the first piece, or another unit, frame or clock.
        """
        mine = self._bare
        for name in ("names", "unit", "frame", "clock"):
            if getattr(piece, name) != getattr(mine, name):
                raise ValueError(
                    f"{piece.label}: {name} change from {getattr(mine, name)} to {getattr(piece, name)}"
                )
        shift = (piece.start_ns - mine.start_ns) / NANOSECONDS
        if shift:
            piece = replace(piece, times=piece.times + shift, start_ns=mine.start_ns)
        if self._kept is not None:
            self._kept.append(piece)
            self._kept_rows += len(piece)
            if self._kept_rows <= _WHOLE:
                return
            piece, self._kept = joined(self._kept), None
        self._sums.add(piece.times, piece.position)
        self._blocks.add(piece)
        self._overview.add(piece)

    def overview(self) -> Trajectory:
        """The track for a picture: every so many-th of its rows, some thousand in all."""
        return joined(self._kept) if self._kept else self._overview.path(self._bare)

    def steps(self) -> Float64Array:
        """Steps between samples for a picture: as many as there are, or some thousand that are alike."""
        if self._kept is None:
            return self._sums.steps.sample()
        return np.diff(mend(joined(self._kept)).trajectory.times)

    def summary(self) -> TrackSummary:
        """Numbers of all that was added."""
        if self._kept is not None:
            whole = joined(self._kept) if self._kept else self._bare
            return summarise_mended(whole, mend(whole))
        sums, mine = self._sums, self._bare
        blocks = [mend(block) for block in self._blocks.blocks]
        paths = [each.trajectory for each in blocks]
        rough = [
            np.concatenate([differences(p.times, p.position, order, gap_limit(p.times)) for p in paths])
            for order in ORDERS
        ]
        examined = sum(len(block) for block in self._blocks.blocks)
        step = sums.steps.quantile(0.5)
        return TrackSummary(
            source=mine.source,
            format=mine.format,
            track=mine.track,
            names=mine.names,
            unit=mine.unit,
            frame=mine.frame,
            clock=mine.clock,
            start_ns=mine.start_ns + round(sums.first_time * NANOSECONDS),
            samples=sums.rows,
            usable=sums.usable,
            duration=sums.last_time - sums.first_time,
            step=step,
            jitter=(sums.steps.quantile(0.95) - sums.steps.quantile(0.05)) / (2 * step),
            low=tuple(sums.low.tolist()),
            high=tuple(sums.high.tolist()),
            gaps=sums.steps.above(GAP_STEPS * step),
            longest_gap=sums.steps.greatest if sums.steps.greatest > GAP_STEPS * step else 0.0,
            speed=(sums.speeds.quantile(0.5), sums.speeds.quantile(0.99), sums.speeds.greatest),
            noise=tuple(noise_from(rough).tolist()),
            resolution=resolution(joined(paths)),
            findings=(*sums.findings(), *_local_findings([each.findings for each in blocks], examined)),
            notes=mine.notes,
            examined=examined,
        )


class StreamedFile:
    """All tracks of a file that is read in pieces, by name, in the order in which they begin."""

    def __init__(self) -> None:
        self.tracks: dict[str, StreamedTrack] = {}

    def add(self, pieces: Iterable[Trajectory]) -> None:
        """Count the next rows of some tracks."""
        for piece in pieces:
            if piece.track not in self.tracks:
                self.tracks[piece.track] = StreamedTrack(piece)
            self.tracks[piece.track].add(piece)


class _Sums:
    """What is counted of every row."""

    def __init__(self, dimensions: int) -> None:
        self.rows = self.lost = self.late = self.again = self.held = 0
        self.first_time = self.last_time = float("nan")
        self.low, self.high = np.full(dimensions, np.inf), np.full(dimensions, -np.inf)
        self.steps, self.speeds = Quantiles(), Quantiles()
        self.first_rows: dict[str, int] = {}
        self._last_point: Float64Array | None = None

    @property
    def usable(self) -> int:
        """Rows with a position and a stamp of their own."""
        return self.rows - self.lost - self.again

    def add(self, times: Float64Array, position: Float64Array) -> None:
        """Count rows ``[n]``, ``[n, D]``."""
        places = np.arange(self.rows, self.rows + len(times))
        self.rows += len(times)
        there = are_there(position)
        if not there.all():
            self._note("lost", places, ~there)
            times, position, places = times[there], position[there], places[there]
        if not len(times):
            return
        self.low = np.minimum(self.low, position.min(axis=0))
        self.high = np.maximum(self.high, position.max(axis=0))
        if self._last_point is None:
            self.first_time = float(times[0])
        else:
            times = np.concatenate([[self.last_time], times])
            position = np.concatenate([self._last_point[None], position])
            places = np.concatenate([[-1], places])
        times, position, places = self._in_order(times, position, places)
        steps = np.diff(times)
        lengths = np.sqrt(np.square(np.diff(position, axis=0)).sum(axis=1))
        self.steps.add(steps)
        self.speeds.add(lengths / steps)
        self._note("held", places[1:], lengths == 0)
        self.last_time, self._last_point = float(times[-1]), position[-1].copy()

    def _in_order(
        self, times: Float64Array, position: Float64Array, places: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> tuple[Float64Array, Float64Array, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        """Only rows later than all before them; the others are counted."""
        if (times[1:] > times[:-1]).all():
            return times, position, places
        before = np.concatenate([[-np.inf], np.maximum.accumulate(times)[:-1]])
        self._note("late", places, times < before)
        self._note("again", places, times == before)
        late = times[times < before]
        self.first_time = min(self.first_time, float(late.min(initial=np.inf)))
        ahead = times > before
        return times[ahead], position[ahead], places[ahead]

    def _note(self, name: str, places: np.ndarray[tuple[int], np.dtype[np.int64]], flags: BoolArray) -> None:
        count = int(np.count_nonzero(flags))
        if count:
            setattr(self, name, getattr(self, name) + count)
            self.first_rows.setdefault(name, int(places[int(flags.argmax())]))

    def findings(self) -> list[Finding]:
        """What the counts say."""
        found = []
        if self.late:
            text = f"{counted(self.late, 'row')} after later ones"
            action = "left out of steps and speeds (the file is too large to be sorted in memory)"
            found.append(Finding("order", self.late, self.first_rows["late"], text, action))
        if self.lost:
            text = f"{counted(self.lost, 'sample')} without position"
            found.append(Finding("lost", self.lost, self.first_rows["lost"], text, "dropped"))
        if self.again:
            text = f"{counted(self.again, 'row')} with the stamp of an earlier row"
            found.append(Finding("repeated rows", self.again, self.first_rows["again"], text, "dropped"))
        step = self.steps.quantile(0.5)
        gaps = self.steps.above(GAP_STEPS * step)
        if gaps:
            text = f"{counted(gaps, 'gap')} longer than {seconds_text(GAP_STEPS * step)}, the longest of "
            found.append(Finding("gap", gaps, None, text + seconds_text(self.steps.greatest)))
        if self.held > 0.01 * self.rows:
            text = f"{counted(self.held, 'position')} ({self.held / self.rows:.0%}) repeat the one before"
            found.append(Finding("repeated positions", self.held, self.first_rows["held"], text))
        return found


class _Blocks:
    """Blocks of rows, any block of the track being as likely to be kept (reservoir sampling, fixed seed).

    J. S. Vitter, ACM Trans. Math. Softw. 11, 1985, algorithm R.
    """

    def __init__(self) -> None:
        self.blocks: list[Trajectory] = []
        self._seen = 0
        self._chance = np.random.default_rng(0)

    def add(self, piece: Trajectory) -> None:
        """Offer the blocks of a piece."""
        for start in range(0, len(piece) - _BLOCK // 2, _BLOCK):
            self._seen += 1
            place = len(self.blocks) if self._seen <= _BLOCKS else int(self._chance.integers(self._seen))
            if place < _BLOCKS:
                block = piece.take(slice(start, start + _BLOCK))
                block = replace(block, times=block.times.copy(), points=block.points.copy())
                self.blocks[place : place + 1] = [block]


class _Overview:
    """Every so many-th row, the more sparsely the more there are."""

    def __init__(self) -> None:
        self._stride, self._rows = 1, 0
        self._times: Float64Array = np.empty(0)
        self._points: Float64Array | None = None

    def add(self, piece: Trajectory) -> None:
        """Thin out a piece."""
        while (self._rows + len(piece)) / self._stride > _OVERVIEW:
            self._stride *= 2
            self._times = self._times[::2]
            self._points = None if self._points is None else self._points[::2]
        chosen = slice(-self._rows % self._stride, None, self._stride)
        self._rows += len(piece)
        points = piece.points[chosen]
        self._times = np.concatenate([self._times, piece.times[chosen]])
        self._points = points.copy() if self._points is None else np.concatenate([self._points, points])

    def path(self, bare: Trajectory) -> Trajectory:
        """What is kept, as a trajectory."""
        return bare if self._points is None else replace(bare, times=self._times, points=self._points)


def _local_findings(found: list[tuple[Finding, ...]], examined: int) -> list[Finding]:
    """Findings of blocks, those of a kind as one."""
    made = []
    for kind in _LOCAL_KINDS:
        of_kind = [each for block in found for each in block if each.kind == kind]
        if not of_kind:
            continue
        if kind in ("outlier", "jump"):
            count = sum(each.count for each in of_kind)
            text = f"{counted(count, kind)} in {examined} samples that were looked at"
            made.append(Finding(kind, count, None, text, "left as they are"))
        else:
            made.append(replace(of_kind[0], sample=None))
    return made
