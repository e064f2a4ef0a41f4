"""What a set of recordings is to training and evaluation: windows by number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.recorded.parts import Part
from examples.trajectory_3d.recorded.permutation import permuted


@dataclass(frozen=True)
class RecordedWindows:
    """Windows as measured.

    Attributes:
        points: ``[K, L + H, 3]`` in the unit of the set, counted from the last observed point.
        groups: ``[K]`` indices into the set's groups.
    """

    points: Float64Array
    groups: IntArray

    @staticmethod
    def joined(parts: list[RecordedWindows]) -> RecordedWindows:
        """All windows of some."""
        return RecordedWindows(
            np.concatenate([part.points for part in parts]), np.concatenate([part.groups for part in parts])
        )


@dataclass(frozen=True)
class SetFacts:
    """What is known of a set of recordings.

    Attributes:
        groups: names of what is reported on its own.
        unit: of positions: a key of `LENGTH_UNITS`, or ``unknown``.
        step: seconds between points; where rates differ, that of most windows.
        notes: what a reader of results should know, in words.
        fingerprint: of the files' content and of how windows are cut from it.
        windows: part -> windows of each group.
    """

    groups: tuple[str, ...]
    unit: str
    step: float
    notes: tuple[str, ...]
    fingerprint: str
    windows: Mapping[Part, IntArray]

    def count(self, part: Part) -> int:
        """Windows of a part."""
        return int(self.windows[part].sum())


class WindowStore(Protocol):
    """A set of recordings that gives windows by number.

    The windows of a part are shuffled anew for every epoch, in which each comes once. The shuffled windows
    of all epochs form one endless stream; any stretch of it is computed from its place, without what comes
    before.
    """

    @property
    def facts(self) -> SetFacts:
        """What is known of the set."""
        ...

    def shuffled(self, part: Part, seed: int, first: int, count: int) -> RecordedWindows:
        """Windows ``first`` to ``first + count - 1`` of the endless shuffled stream of a part and seed."""
        ...

    def spread(self, part: Part, most: int) -> RecordedWindows:
        """At most so many windows of a part: as many of each group, spread evenly over its time."""
        ...


def epoch_places(total: int, first: int, count: int) -> list[tuple[int, IntArray]]:
    """Where a stretch of the endless stream lies: epochs, and places in them."""
    numbers = np.arange(first, first + count, dtype=np.int64)
    epochs = numbers // total
    return [(int(epoch), numbers[epochs == epoch] - epoch * total) for epoch in np.unique(epochs)]


def part_key(part: Part) -> int:
    """Number of a part among the orders of a seed."""
    return {"train": 0, "validation": 1, "test": 2}[part]


def epoch_order(places: IntArray, size: int, seed: int, part: Part, *key: int) -> IntArray:
    """Which windows a random order of an epoch has at some places."""
    return permuted(places, size, seed, (part_key(part), *key))
