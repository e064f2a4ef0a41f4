"""Normalisation by an anchor: a location, a scale and perhaps a frame, taken once and held.

Statistics recomputed at each new point would change every earlier token, and so invalidate every
cached key. An anchor is data: who computes it from which points decides what may be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from m.heads.distribution import StepDistribution
from m.moe.config import AnchorConfig
from m.moe.orientation import motion_frame


@dataclass(frozen=True)
class Anchor:
    """Location, scale and orientation of each sequence.

    Attributes:
        location: ``[B, 1, D]`` in the inputs' units and float type (float64 keeps far-off origins exact).
        scale: ``[B, 1, D]``, zero for a body at rest, whose forecast then is to stay.
        axes: ``[B, D, D]``, row i the i-th axis of the anchored frame; None for the inputs' own axes.
    """

    location: Tensor
    scale: Tensor
    axes: Tensor | None = None

    def normalise(self, points: Tensor) -> Tensor:
        """Points ``[B, T, D]`` in anchored units; the subtraction happens in the anchor's type."""
        relative = (points - self.location) / torch.where(self.scale > 0, self.scale, 1.0)
        return relative if self.axes is None else relative @ self.axes.mT

    def restore(self, anchored: Tensor) -> Tensor:
        """Points ``[B, T, D]`` in the inputs' units from anchored ones."""
        turned = anchored if self.axes is None else anchored @ self.axes
        return turned * self.scale + self.location

    def in_units(self, distribution: StepDistribution) -> StepDistribution:
        """Marginals along the inputs' axes and in their units.

        Args:
            distribution: in anchored units, ``[B, P, D]`` or ``[B, T, P, D]``.
        """
        location, scale = distribution.location.to(self.location.dtype), distribution.scale
        lead = location.ndim - 3
        per_step = [t.reshape(t.shape[0], *(1,) * lead, *t.shape[1:]) for t in (self.location, self.scale)]
        if self.axes is not None:
            axes = self.axes.reshape(self.axes.shape[0], *(1,) * lead, *self.axes.shape[1:])
            location = location @ axes
            # Contours are ellipsoids: along any axis the squared scale is a weighted mean of the three.
            scale = (scale.to(axes.dtype).square() @ axes.square()).sqrt()
        return replace(distribution, location=location * per_step[1] + per_step[0], scale=scale * per_step[1])

    def for_targets(self, target_dim: int) -> Anchor:
        """The anchor of predicted channels: the first K, or none (own units) when there are more."""
        if target_dim <= self.location.shape[-1]:
            return Anchor(self.location[..., :target_dim], self.scale[..., :target_dim], self.axes)
        shape = (*self.location.shape[:-1], target_dim)
        return Anchor(self.location.new_zeros(shape), self.scale.new_ones(shape))

    def take(self, rows: Tensor | slice) -> Anchor:
        """The anchors of the sequences named, which may repeat."""
        axes = None if self.axes is None else self.axes[rows]
        return Anchor(self.location[rows], self.scale[rows], axes)

    def rows(self) -> list[Anchor]:
        """The anchor of each sequence, as views."""
        axes = [None] * len(self.location) if self.axes is None else torch.split(self.axes, 1)
        parts = zip(torch.split(self.location, 1), torch.split(self.scale, 1), axes, strict=True)
        return [Anchor(location, scale, frame) for location, scale, frame in parts]


def join_anchors(anchors: Sequence[Anchor]) -> Anchor:
    """The anchors of several batches as those of one; all oriented or none."""
    axes = [anchor.axes for anchor in anchors if anchor.axes is not None]
    return Anchor(
        torch.cat([anchor.location for anchor in anchors]),
        torch.cat([anchor.scale for anchor in anchors]),
        torch.cat(axes) if axes else None,
    )


def compute_anchor(points: Tensor, lengths: Tensor, config: AnchorConfig) -> Anchor:
    """Anchor each sequence on the end of its first points.

    Args:
        points: ``[B, T, D]``.
        lengths: points of each to anchor on, ``[B]`` int64, at least 1; the last ``config.span`` of them.
        config: which location, scale and orientation.
    """
    lag = (lengths - 1)[:, None] - torch.arange(points.shape[1], device=points.device)  # [B, T]
    counted = lengths.clamp_max(config.span) if config.span else lengths  # [B]
    used = ((lag >= 0) & (lag < counted[:, None])).unsqueeze(-1)  # [B, T, 1]
    count = counted.to(points.dtype)[:, None, None]
    last = points.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, points.shape[-1]))
    # Relative to a point of the path, so that a far-off origin costs no digits even in float32.
    relative = torch.where(used, points - last, 0.0)
    mean = relative.sum(1, keepdim=True) / count  # [B, 1, D]
    variance = torch.where(used, (relative - mean).square(), 0.0).sum(1, keepdim=True) / count
    if config.scale == "pooled":
        variance = variance.mean(-1, keepdim=True).expand_as(mean)
    scale = variance.sqrt()
    # Below the rounding of the coordinates themselves there is no motion to scale by.
    magnitude = torch.where(used, points.abs(), 0.0).amax((1, 2), keepdim=True)
    floor = 4 * torch.finfo(points.dtype).eps * magnitude
    scale = torch.where(scale > floor, scale, 0.0)
    axes = None
    if config.orientation == "motion":
        axes = motion_frame(relative, lengths, counted, mirror=config.mirror)
    return Anchor(last + mean if config.location == "mean" else last, scale, axes)
