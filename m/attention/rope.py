"""Rotary position embedding (RoFormer, arXiv 2104.09864, eq. 34)."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation(positions: Tensor, head_dim: int, base: float, dtype: torch.dtype) -> Tensor:
    """Unit complex numbers ``exp(i * position * base^(-2j / head_dim))``.

    Angles are computed in float64, since a float32 angle loses digits at positions of thousands.

    Args:
        positions: integer positions ``[B or 1, T]``.
        head_dim: width of a head, even.
        base: of the frequencies.
        dtype: real type to compute with.

    Returns:
        ``[B or 1, 1, T, head_dim / 2]`` complex64 (complex128 for float64).
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64, device=positions.device) / head_dim
    angles = positions[:, None, :, None].to(torch.float64) * base**-exponents  # [B, 1, T, hd/2]
    return torch.polar(torch.ones_like(angles), angles).to(_complex_type(dtype))


def rotate(heads: Tensor, by: Tensor) -> Tensor:
    """Rotate each neighbouring pair of a head's channels.

    One complex product instead of four real ones, a sum, a difference and a concatenation: a third
    of the time on a CPU, forward and backward.

    Args:
        heads: queries or keys, ``[B, H, T, head_dim]``.
        by: from `rotation`.
    """
    wide = heads.to(torch.promote_types(heads.dtype, torch.float32))
    pairs = torch.view_as_complex(wide.view(*heads.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * by).flatten(-2).to(heads.dtype)


def _complex_type(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64
