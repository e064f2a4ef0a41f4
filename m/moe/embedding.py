"""From points to tokens: each point with the few before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from m.modes import cosine_modes


class WindowEmbedding(nn.Module):
    """Linear map of a point and of the cosine modes of its displacements from the points before it.

    One noisy point says little about motion; a short window of displacements holds velocity and
    acceleration already, so the first layer need not spend attention on finite differences. What
    tells a curve from a straight line is small beside the motion itself, so faster modes are
    amplified (``gain``): without that, training finds them late. Before the start of a sequence its
    first point is repeated; how much of the window is real is a feature of its own, since a body
    that rested looks the same.

    Args:
        input_dim: channels D.
        window: points W looked back over, the current one included.
        gain: mode k is amplified by ``(1 + k) ** gain``.
        dim: width of the token.
    """

    modes: Tensor

    def __init__(self, input_dim: int, window: int, gain: float, dim: int) -> None:
        super().__init__()
        self.window = window
        self.projection = nn.Linear(window * input_dim + 1, dim)
        # W displacements, of which the first is zero: W - 1 modes hold them all.
        modes = cosine_modes(window, gain)[:, : window - 1] / window**0.5
        self.register_buffer("modes", modes, persistent=False)  # follows from the configuration

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
        points = points.view(batch, -1, self.window, channels).transpose(2, 3)  # [B, T, D, W]
        current = points[..., :1]
        filled = ((positions + 1).clamp_max(self.window) / self.window).to(points.dtype)
        filled = filled.expand(batch, -1)[..., None]  # [B, T, 1]
        # Not under autocast: points in bf16 would be rounded by more than many a sensor's noise, and the
        # residual stream, which takes its type from here, would round every block's contribution.
        with torch.autocast(history.device.type, enabled=False):
            spectrum = F.linear(current - points, self.modes.T)  # [B, T, D, W - 1]
            features = torch.cat((torch.cat((current, spectrum), dim=-1).flatten(2), filled), dim=-1)
            embedded: Tensor = self.projection(features)
        return embedded
