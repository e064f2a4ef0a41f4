"""The points that a forecast is made from, and how they grow by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from m.moe.config import ModelConfig
from m.moe.request import LEAST_POINTS
from m.moe.seen import seen_points


@dataclass(frozen=True)
class Window:
    """The last points of sequences, right-padded.

    Attributes:
        points: ``[B, W, D]`` in the inputs' units.
        lengths: valid points of each, ``[B]``.
        most: points of each that are kept as it grows, ``[B]``.
    """

    points: Tensor
    lengths: Tensor
    most: Tensor

    @classmethod
    def of(cls, points: Tensor, lengths: Tensor, config: ModelConfig) -> Window:
        """Of contexts ``[B, T, D]``.

        A window keeps as many points as its context had, or 64 where those were fewer: the work of a long
        forecast grows with its length, not with the square of it. Points that no forecast of the model can
        depend on are left out.
        """
        most, seen = lengths.clamp_min(LEAST_POINTS), seen_points(config)
        return cls(points, lengths, most if seen is None else most.clamp_max(seen))._trimmed()

    def __len__(self) -> int:
        return len(self.points)

    def take(self, rows: Tensor | slice) -> Window:
        """The sequences named, which may repeat."""
        return Window(self.points[rows], self.lengths[rows], self.most[rows])._trimmed()

    def append(self, block: Tensor) -> Window:
        """With P more points of each sequence, ``[B, P, D]``."""
        grown = F.pad(self.points, (0, 0, 0, block.shape[1]))
        slots = self.lengths[:, None] + torch.arange(block.shape[1], device=block.device)  # [B, P]
        grown = grown.scatter(1, slots[..., None].expand_as(block), block.to(grown.dtype))
        return Window(grown, self.lengths + block.shape[1], self.most)._trimmed()

    @staticmethod
    def joined(windows: Sequence[Window]) -> Window:
        """Sequences of several windows as one."""
        longest = max(window.points.shape[1] for window in windows)
        points = [F.pad(each.points, (0, 0, 0, longest - each.points.shape[1])) for each in windows]
        lengths, most = (
            torch.cat(parts) for parts in zip(*((w.lengths, w.most) for w in windows), strict=True)
        )
        return Window(torch.cat(points), lengths, most)

    def _trimmed(self) -> Window:
        """Without points that are no longer kept, and without padding that nobody needs."""
        kept = torch.minimum(self.lengths, self.most)
        width = int(kept.max())
        if width == self.points.shape[1] and torch.equal(kept, self.lengths):
            return self
        places = (self.lengths - kept)[:, None] + torch.arange(width, device=kept.device)  # [B, width]
        places = places.clamp_max(self.points.shape[1] - 1)  # padding of shorter ones
        points = self.points.gather(1, places[..., None].expand(-1, -1, self.points.shape[-1]))
        return Window(points, kept, self.most)
