"""Cosine modes: the basis in which short stretches of motion are read and written."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine_modes(length: int, weights_power: float) -> Tensor:
    """Cosine modes (DCT-II) of a stretch of points, slow ones first.

    A change of basis loses nothing, but it decides what is learned first: weights of slow and of fast
    modes learn at rates in proportion to how the modes are scaled.

    Args:
        length: points n of the stretch.
        weights_power: mode k is multiplied by ``(1 + k) ** weights_power``.

    Returns:
        ``[n, n]`` float32: column k is ``cos(pi k (i + 1/2) / n)`` times its weight.
    """
    index = torch.arange(length, dtype=torch.float64)
    modes = torch.cos(math.pi / length * (index[:, None] + 0.5) * index)
    return (modes * (1 + index) ** weights_power).float()
