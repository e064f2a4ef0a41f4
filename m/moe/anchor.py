"""Normalisation by an anchor: a location and a scale taken once and held.

Statistics recomputed at each new point would change every earlier token, and so invalidate every
cached key. An anchor is data: who computes it from which points decides what may be known.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from m.moe.config import AnchorConfig


@dataclass(frozen=True)
class Anchor:
    """Location and scale of each sequence.

    Attributes:
        location: ``[B, 1, D]`` in the inputs' units and float type (float64 keeps far-off origins exact).
        scale: ``[B, 1, D]``, zero for a body at rest, whose forecast then is to stay.
    """

    location: Tensor
    scale: Tensor

    def normalise(self, points: Tensor) -> Tensor:
        """Points ``[B, T, D]`` in anchored units; the subtraction happens in the anchor's type."""
        return (points - self.location) / torch.where(self.scale > 0, self.scale, 1.0)

    def restore(self, anchored: Tensor) -> Tensor:
        """Points in the inputs' units from anchored ones."""
        return anchored * self.scale + self.location

    def for_targets(self, target_dim: int) -> Anchor:
        """The anchor of predicted channels: the first K, or none (own units) when there are more."""
        if target_dim <= self.location.shape[-1]:
            return Anchor(self.location[..., :target_dim], self.scale[..., :target_dim])
        shape = (*self.location.shape[:-1], target_dim)
        return Anchor(self.location.new_zeros(shape), self.scale.new_ones(shape))

    def take(self, rows: Tensor) -> Anchor:
        """The anchors of the sequences named, which may repeat."""
        return Anchor(self.location[rows], self.scale[rows])


def compute_anchor(points: Tensor, lengths: Tensor, config: AnchorConfig) -> Anchor:
    """Anchor each sequence on its first points.

    Args:
        points: ``[B, T, D]``.
        lengths: how many points of each to use, ``[B]`` int64, at least 1.
        config: which location and scale.
    """
    used = (torch.arange(points.shape[1], device=points.device) < lengths[:, None]).unsqueeze(-1)  # [B, T, 1]
    count = lengths.to(points.dtype)[:, None, None]
    # Relative to the first point, so that a far-off origin costs no digits even in float32.
    origin = points[:, :1]
    relative = torch.where(used, points - origin, 0.0)
    mean = relative.sum(1, keepdim=True) / count  # [B, 1, D]
    variance = torch.where(used, (relative - mean).square(), 0.0).sum(1, keepdim=True) / count
    if config.scale == "pooled":
        variance = variance.mean(-1, keepdim=True).expand_as(mean)
    scale = variance.sqrt()
    # Below the rounding of the coordinates themselves there is no motion to scale by.
    magnitude = torch.where(used, points.abs(), 0.0).amax((1, 2), keepdim=True)
    floor = 4 * torch.finfo(points.dtype).eps * magnitude
    scale = torch.where(scale > floor, scale, 0.0)
    if config.location == "mean":
        return Anchor(origin + mean, scale)
    last = points.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, points.shape[-1]))
    return Anchor(last, scale)
