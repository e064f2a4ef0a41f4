"""Rotary position embedding (RoFormer, arXiv 2104.09864, eq. 34)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rotation(NamedTuple):
    """Cosine and sine of every position and frequency, each ``[B or 1, 1, T, head_dim / 2]``."""

    cos: Tensor
    sin: Tensor


def rotation(positions: Tensor, head_dim: int, base: float, dtype: torch.dtype) -> Rotation:
    """Angles ``position * base^(-2i / head_dim)`` for integer positions ``[B or 1, T]``.

    Computed in float64, since a float32 angle loses digits at positions of thousands.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64, device=positions.device) / head_dim
    angles = positions[:, None, :, None].to(torch.float64) * base**-exponents  # [B, 1, T, hd/2]
    return Rotation(angles.cos().to(dtype), angles.sin().to(dtype))


def rotate(heads: Tensor, by: Rotation) -> Tensor:
    """Rotate each pair (first half, second half) of the head dimension.

    Args:
        heads: queries or keys, ``[B, H, T, head_dim]``.
        by: angles of the T positions.
    """
    first, second = heads.chunk(2, dim=-1)
    cos, sin = by.cos.to(heads.dtype), by.sin.to(heads.dtype)
    return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)
