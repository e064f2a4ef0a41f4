"""The points that a forecast of an exported model is made from, and how they grow by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from m.arrays import Array
from m.moe.config import ModelConfig
from m.moe.request import LEAST_POINTS, ForecastRequest
from m.moe.seen import seen_points
from m.runtime.model import Counts


@dataclass(frozen=True)
class Rows:
    """Sequences to be read, right-padded.

    With ``anchor.rolling`` ``fresh`` each is as long as its context was, or 64 points where that was less
    (see `m.moe.window`), and normalised by all of it. With ``held`` it keeps all points, and the anchor of
    the first: nothing is remembered of what was read, so that is the only way to the same numbers.

    Attributes:
        points: ``[N, W, D]`` in the inputs' units.
        lengths: valid points of each, ``[N]``.
        anchored: the first so many that it is normalised by, ``[N]``.
        most: points of each that are kept as it grows, ``[N]``.
        fresh: whether it takes a new anchor as it grows.
    """

    points: Array
    lengths: Counts
    anchored: Counts
    most: Counts
    fresh: bool

    @classmethod
    def of(cls, request: ForecastRequest, config: ModelConfig) -> Rows:
        """The contexts of a request."""
        points, lengths, anchored = request.points, request.lengths, request.anchored
        seen = seen_points(config)
        if config.anchor.rolling == "held":
            return cls(points, lengths, anchored, np.full_like(lengths, np.iinfo(np.int64).max), fresh=False)
        most = np.maximum(lengths, LEAST_POINTS)
        rows = cls(points, lengths, anchored, most if seen is None else np.minimum(most, seen), fresh=True)
        # What is anchored on its first points alone needs them until it takes an anchor of its own.
        return rows._trimmed() if np.array_equal(lengths, anchored) else rows

    def take(self, index: Any) -> Rows:
        """The sequences named, which may repeat."""
        width = int(self.lengths[index].max())
        return Rows(
            self.points[index, :width],
            self.lengths[index],
            self.anchored[index],
            self.most[index],
            self.fresh,
        )

    def append(self, block: Array) -> Rows:
        """With P more points of each, ``[N, P, D]``."""
        count = block.shape[1]
        grown = np.pad(self.points, ((0, 0), (0, count), (0, 0)))
        slots = self.lengths[:, None] + np.arange(count)  # [N, P]
        np.put_along_axis(grown, slots[..., None], block, axis=1)
        lengths = self.lengths + count
        anchored = lengths if self.fresh else self.anchored
        return Rows(grown, lengths, anchored, self.most, self.fresh)._trimmed()

    def _trimmed(self) -> Rows:
        """Without points that are no longer kept, and without padding that nobody needs."""
        kept = np.minimum(self.lengths, self.most)
        width = int(kept.max())
        places = (self.lengths - kept)[:, None] + np.arange(width)
        places = np.minimum(places, self.points.shape[1] - 1)  # padding of shorter ones
        points = np.take_along_axis(self.points, places[..., None], axis=1)
        return Rows(points, kept, kept if self.fresh else self.anchored, self.most, self.fresh)
