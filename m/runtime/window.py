"""Sequences that are read anew by a fresh anchor, as often as they grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from m.arrays import Array, Counts
from m.moe.request import LEAST_POINTS, ForecastRequest
from m.moe.seen import seen_points
from m.runtime.block import Block
from m.runtime.manifest import Manifest
from m.runtime.rows import Inputs, Rows, widened


@dataclass(frozen=True)
class FreshRows(Rows):
    """Sequences of a model with ``anchor.rolling`` ``fresh``, right-padded.

    Each is as long as its context was, or 64 points where that was less (see `m.moe.window`), and
    normalised by all of it.

    Attributes:
        points: ``[N, W, D]`` in the inputs' units.
        lengths: valid points of each, ``[N]``.
        anchored: the first so many that it is normalised by, ``[N]``.
        most: points of each that are kept as it grows, ``[N]``.
        least: points that the graph wants of each, padding included.
    """

    points: Array
    lengths: Counts
    anchored: Counts
    most: Counts
    least: int

    @classmethod
    def of(cls, request: ForecastRequest, manifest: Manifest) -> FreshRows:
        """The contexts of a request."""
        lengths, seen = request.lengths, seen_points(manifest.config)
        most = np.maximum(lengths, LEAST_POINTS)
        if seen is not None:
            most = np.minimum(most, seen)
        rows = cls(request.points, lengths, request.anchored, most, manifest.least_points)
        # What is anchored on its first points alone needs them until it takes an anchor of its own.
        return rows._trimmed() if np.array_equal(lengths, request.anchored) else rows

    @property
    def unread(self) -> Counts:
        """All of them."""
        return self.lengths

    @property
    def size_class(self) -> tuple[int, ...]:
        """By the power of two that holds the longest."""
        return (int(self.points.shape[1] - 1).bit_length(),)

    def take(self, index: Any) -> FreshRows:
        """The sequences named, which may repeat."""
        width = int(self.lengths[index].max())
        points, lengths = self.points[index, :width], self.lengths[index]
        return FreshRows(points, lengths, self.anchored[index], self.most[index], self.least)

    def append(self, points: Array) -> FreshRows:
        """With P more points of each, ``[N, P, D]``, and an anchor of all that is kept."""
        grown, lengths = appended(self.points, self.lengths, points)
        return FreshRows(grown, lengths, lengths, self.most, self.least)._trimmed()

    def after(self, block: Block) -> FreshRows:
        """The same: a new anchor makes worthless what was read by another."""
        del block
        return self

    @classmethod
    def join(cls, parts: Sequence[FreshRows]) -> FreshRows:
        """Several groups of sequences, padded to the longest."""
        if len(parts) == 1:
            return parts[0]
        width = max(part.points.shape[1] for part in parts)
        return cls(
            np.concatenate([widened(part.points, width) for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            np.concatenate([part.anchored for part in parts]),
            np.concatenate([part.most for part in parts]),
            parts[0].least,
        )

    def inputs(self) -> Inputs:
        """Of `m.export.graph.ForecastGraph`."""
        points = widened(self.points, max(self.least, self.points.shape[1]))
        return {
            "points": np.ascontiguousarray(points, dtype=np.float64),
            "lengths": self.lengths,
            "anchored": self.anchored,
        }

    def _trimmed(self) -> FreshRows:
        """Without points that are no longer kept, and without padding that nobody needs."""
        kept = np.minimum(self.lengths, self.most)
        width = int(kept.max())
        places = (self.lengths - kept)[:, None] + np.arange(width)
        places = np.minimum(places, self.points.shape[1] - 1)  # padding of shorter ones
        points = np.take_along_axis(self.points, places[..., None], axis=1)
        return FreshRows(points, kept, kept, self.most, self.least)


def appended(points: Array, lengths: Counts, more: Array) -> tuple[Array, Counts]:
    """Right-padded sequences ``[N, W, D]`` with P more points of each, and their lengths."""
    count = more.shape[1]
    grown = np.pad(points, ((0, 0), (0, count), (0, 0)))
    slots = lengths[:, None] + np.arange(count)  # [N, P]
    np.put_along_axis(grown, slots[..., None], more, axis=1)
    return grown, lengths + count
