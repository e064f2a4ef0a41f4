"""From points to tokens: each point with the few before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WindowEmbedding(nn.Module):
    """Linear map of a point and its displacements from the W - 1 points before it.

    One noisy point says little about motion; a short window of displacements holds velocity and
    acceleration already, so the first layer need not spend attention on finite differences. Before
    the start of a sequence its first point is repeated.
    """

    def __init__(self, input_dim: int, window: int, dim: int) -> None:
        super().__init__()
        self.window = window
        self.projection = nn.Linear(window * input_dim, dim)

    def forward(self, history: Tensor, positions: Tensor) -> Tensor:
        """Embed the points at some positions.

        Args:
            history: anchored points of the sequence from its start, ``[B, S, D]``.
            positions: which to embed, ``[B or 1, T]``.

        Returns:
            ``[B, T, dim]``.
        """
        batch, _, channels = history.shape
        lags = torch.arange(self.window, device=history.device)
        index = (positions[..., None] - lags).clamp_min(0)  # [B or 1, T, W]
        index = index.expand(batch, -1, -1).flatten(1)  # [B, T*W]
        points = history.gather(1, index[..., None].expand(-1, -1, channels))
        points = points.view(batch, -1, self.window, channels)
        current = points[:, :, :1]
        features = torch.cat((current, current - points[:, :, 1:]), dim=2)  # [B, T, W, D]
        embedded: Tensor = self.projection(features.flatten(2))
        return embedded
