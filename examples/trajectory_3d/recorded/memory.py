"""A set of recordings that is held in memory whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.recorded.cutting import evenly, gather, spread
from examples.trajectory_3d.recorded.parts import PARTS, Part, cut_moments, share_out
from examples.trajectory_3d.recorded.piece_starts import starts_by_part
from examples.trajectory_3d.recorded.rates import common_step, rate_notes, rounded
from examples.trajectory_3d.recorded.store import RecordedWindows, SetFacts, epoch_order, epoch_places
from examples.trajectory_3d.recorded.tracks import ReadFile, Track
from examples.trajectory_3d.recordings_config import RecordingsConfig


@dataclass(frozen=True)
class MemoryStore:
    """Windows of recordings in memory: all points after each other, and where windows begin.

    Worker processes that are forked share the arrays with their parent.

    Attributes:
        facts: what is known of the set.
        points: ``[N, 3]``.
        starts: part -> first points of its windows, group by group and in order of time, ``[K]``.
        observed: points of a window that a forecaster sees.
        length: points of a window.
    """

    facts: SetFacts
    points: Float64Array
    starts: Mapping[Part, IntArray]
    observed: int
    length: int

    def shuffled(self, part: Part, seed: int, first: int, count: int) -> RecordedWindows:
        """See `WindowStore`."""
        total = len(self.starts[part])
        numbers = [
            epoch_order(places, total, seed, part, epoch)
            for epoch, places in epoch_places(total, first, count)
        ]
        return self._windows(part, np.concatenate(numbers))

    def spread(self, part: Part, most: int) -> RecordedWindows:
        """See `WindowStore`."""
        available = self.facts.windows[part]
        begin = np.cumsum(available) - available
        given = evenly(available, most)
        chosen = [
            first + spread(have, wanted)
            for first, have, wanted in zip(begin.tolist(), available.tolist(), given.tolist(), strict=True)
            if wanted
        ]
        return self._windows(part, np.concatenate(chosen))

    def _windows(self, part: Part, numbers: IntArray) -> RecordedWindows:
        points = gather(self.points, self.starts[part][numbers], self.length, self.observed)
        borders = np.cumsum(self.facts.windows[part])
        return RecordedWindows(points, np.searchsorted(borders, numbers, side="right"))


def memory_store(
    config: RecordingsConfig,
    files: Sequence[ReadFile],
    groups: Sequence[str],
    unit: str,
    notes: Sequence[str],
) -> MemoryStore:
    """Cut recordings into windows.

    Args:
        config: how.
        files: the recordings, in the unit of the set.
        groups: names of the groups, in order.
        unit: of the set.
        notes: what a reader of results should know.
    """
    tracks = [(file, track) for file in files for track in file.tracks]
    parts: list[Part | None] = [file.part for file, _ in tracks]
    if config.split.by == "track":
        known = [(_digest(track), track.samples) for _, track in tracks]
        parts = list(share_out(known, config.split.fractions, config.seed))
    moments = {id(file): _moments(file, config) for file in files}
    offset, pieces = 0, []
    found: dict[Part, list[list[IntArray]]] = {part: [[] for _ in groups] for part in PARTS}
    windows_of_step: dict[float, int] = {}
    for (file, track), whole in zip(tracks, parts, strict=True):
        for piece in track.pieces:
            for part, starts in starts_by_part(piece, config, whole, moments[id(file)]).items():
                found[part][track.group].append(offset + starts)
                step = rounded(piece.step)
                windows_of_step[step] = windows_of_step.get(step, 0) + len(starts)
            pieces.append(piece.points)
            offset += len(piece.points)
    points = np.concatenate(pieces) if pieces else np.zeros((0, 3))
    starts_of = {
        part: np.concatenate([_joined(each) for each in of_groups]) for part, of_groups in found.items()
    }
    counts = {
        part: np.array([sum(map(len, each)) for each in of_groups], dtype=np.int64)
        for part, of_groups in found.items()
    }
    facts = SetFacts(
        groups=tuple(groups),
        unit=unit,
        step=common_step(windows_of_step),
        notes=(*notes, *rate_notes(windows_of_step)),
        fingerprint=_fingerprint(points, starts_of),
        windows=counts,
    )
    return MemoryStore(facts, points, starts_of, config.observed, config.length)


def _moments(file: ReadFile, config: RecordingsConfig) -> tuple[float, float]:
    pieces = [piece for track in file.tracks for piece in track.pieces]
    if not pieces:
        return (float("inf"), float("inf"))
    times = np.concatenate([piece.start + piece.step * np.arange(len(piece.points)) for piece in pieces])
    return cut_moments(times, np.ones(len(times)), config.split.fractions)


def _joined(starts: list[IntArray]) -> IntArray:
    return np.concatenate(starts) if starts else np.zeros(0, dtype=np.int64)


def _digest(track: Track) -> str:
    """Of a track's points; equal for a recording that is there twice."""
    digest = hashlib.sha256()
    for piece in track.pieces:
        digest.update(np.ascontiguousarray(piece.points).tobytes())
    return digest.hexdigest()


def _fingerprint(points: Float64Array, starts: Mapping[Part, IntArray]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(points).tobytes())
    for part in PARTS:
        digest.update(starts[part].tobytes())
    return digest.hexdigest()[:16]
