"""A coordinate frame that turns with the motion, so that a forecaster need not learn every direction.

Two directions are taken from the anchoring points: where the motion goes, and to which side it bends.
Both turn with the data, hence so does the frame, and a model that sees paths in it is exactly
equivariant to rotation without having seen a single rotated path. (Canonicalisation by an equivariant
frame: Kaba et al., "Equivariance with learned canonicalization functions", arXiv 2211.06489; the frame
here is not learned.)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_PARALLEL = 1e-5  # share of a direction's length below which what is left of it is rounding


def motion_frame(points: Tensor, lengths: Tensor, counted: Tensor, *, mirror: bool = False) -> Tensor:
    """The frame of some points of each sequence.

    With m points, their means over the last eighth (a), the quarter before it (b) and the rest (c):
    the first axis points from b to a, the second, at right angles to it, towards c, and in space the
    third completes a right-handed frame. Means, because single points are noisy. A path that does not
    bend (or rests) leaves directions undecided; the coordinate axis most at right angles then decides.

    Args:
        points: ``[B, T, D]`` with D 2 or 3, relative to a nearby origin.
        lengths: where those points end: index of the last one plus 1, ``[B]``.
        counted: how many they are, ``[B]``.
        mirror: let the last axis point to the side that the oldest points (in a plane: the rest) came
            from, instead of completing a right-handed frame: a reflected path then looks the same.
            Where they came from neither side, as on a flat path in space, it does complete it.

    Returns:
        ``[B, D, D]``: row i is the i-th axis, a unit vector.
    """
    far, near = _group_bounds(counted)
    lag = (lengths - 1)[:, None] - torch.arange(points.shape[1], device=points.device)  # [B, T]
    used = (lag >= 0) & (lag < counted[:, None])
    recent = _mean(points, used & (lag < near[:, None]))
    before = _mean(points, used & (lag >= near[:, None]) & (lag < far[:, None]))
    rest = _mean(points, used & (lag >= far[:, None]))
    rest = torch.where((counted > far)[:, None], rest, before)
    along = _unit(recent - before, _least_axis(torch.ones_like(recent)))
    aside = rest - recent
    if points.shape[-1] == 2:
        left = torch.stack((-along[:, 1], along[:, 0]), -1)
        return torch.stack((along, _towards(left, aside) if mirror else left), 1)
    left = aside - (aside * along).sum(-1, keepdim=True) * along
    decided = left.norm(dim=-1, keepdim=True) > _PARALLEL * aside.norm(dim=-1, keepdim=True)
    fallback = _least_axis(along)
    fallback = fallback - (fallback * along).sum(-1, keepdim=True) * along
    across = torch.where(decided, left, fallback)
    across = F.normalize(across, dim=-1, eps=0.0)
    up = torch.linalg.cross(along, across)
    if mirror:
        # The three means lie in the plane of the first two axes; the oldest points tell its two sides apart.
        oldest = _mean(points, used & (lag >= (counted - far // 2)[:, None]))
        up = _towards(up, oldest - rest)
    return torch.stack((along, across, up), 1)


def _group_bounds(counted: Tensor) -> tuple[Tensor, Tensor]:
    """Lags at which the rest and the quarter begin: 3/8 and 1/8 of the points, one point at least."""
    near = torch.div(counted + 7, 8, rounding_mode="floor")
    far = torch.maximum(torch.div(3 * counted + 7, 8, rounding_mode="floor"), near + 1)
    return far, near


def _towards(axis: Tensor, direction: Tensor) -> Tensor:
    """The axes ``[B, D]``, reversed where they point away from the direction by more than rounding."""
    along = (axis * direction).sum(-1, keepdim=True)
    return torch.where(along < -_PARALLEL * direction.norm(dim=-1, keepdim=True), -axis, axis)


def _mean(points: Tensor, chosen: Tensor) -> Tensor:
    """Mean of the chosen points of each sequence, ``[B, D]``; zero where there are none."""
    count = chosen.sum(1).clamp_min(1).to(points.dtype)[:, None]
    return torch.where(chosen[..., None], points, 0.0).sum(1) / count


def _unit(vectors: Tensor, fallback: Tensor) -> Tensor:
    """Unit vectors, the fallback where there is no length."""
    length = vectors.norm(dim=-1, keepdim=True)
    return torch.where(length > 0, vectors / torch.where(length > 0, length, 1.0), fallback)


def _least_axis(vectors: Tensor) -> Tensor:
    """The coordinate axis most at right angles to each vector ``[B, D]``."""
    return F.one_hot(vectors.abs().argmin(-1), vectors.shape[-1]).to(vectors.dtype)
