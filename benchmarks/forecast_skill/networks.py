"""The peers' networks: normalised context in, normalised offsets out, ``[B, L, 3] -> [B, H, 3]``.

Each is the published idea in its plainest form, without dropout: the stream never repeats a window, so
there is nothing to overfit. Deviations from the papers are said in each docstring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 3


class DLinear(nn.Module):
    """A moving average and what it leaves, each continued by one linear map shared by the channels.

    Source: Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?", AAAI
    (``individual = False``; the moving average repeats the end points; maps start at the mean).

    Args:
        context: points seen, L.
        horizon: points to forecast, H.
        kernel: points of the moving average, odd.
    """

    def __init__(self, context: int, horizon: int, kernel: int = 25) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"the moving average needs an odd number of points, got {kernel}")
        self.kernel = kernel
        self.trend = nn.Linear(context, horizon)
        self.remainder = nn.Linear(context, horizon)
        for linear in (self.trend, self.remainder):
            nn.init.constant_(linear.weight, 1.0 / context)
            nn.init.zeros_(linear.bias)

    def forward(self, points: Tensor) -> Tensor:
        """Continue ``[B, L, 3]`` to ``[B, H, 3]``."""
        series = points.transpose(1, 2)  # [B, 3, L]
        side = self.kernel // 2
        trend = F.avg_pool1d(F.pad(series, (side, side), mode="replicate"), self.kernel, stride=1)
        forecast: Tensor = self.trend(trend) + self.remainder(series - trend)  # [B, 3, H]
        return forecast.transpose(1, 2)


def interpolate_knots(knots: Tensor, length: int) -> Tensor:
    """Piecewise linear curves ``[B, C, length]`` through K knots ``[B, C, K]``, spread over the length.

    Knot k stands at ``(k + 1/2) length / K - 1/2``; before the first and after the last knot the curve is
    constant.
    """
    return F.interpolate(knots, size=length, mode="linear", align_corners=False)


class NHitsBlock(nn.Module):
    """One block: pool, multilayer perceptron, backcast at full rate, forecast from few knots.

    Args:
        channels: channels read together, C.
        context: points seen, L.
        horizon: points to forecast, H.
        pool: points pooled into one before the perceptron.
        knots: forecast values the perceptron gives per channel; the rest is interpolated.
        width: of the two hidden layers.
        pooling: largest value, as published, or mean.
    """

    def __init__(
        self,
        *,
        channels: int,
        context: int,
        horizon: int,
        pool: int,
        knots: int,
        width: int,
        pooling: Literal["max", "mean"],
    ) -> None:
        super().__init__()
        self.context, self.horizon = context, horizon
        self.pool: nn.Module = (
            nn.MaxPool1d(pool, ceil_mode=True) if pooling == "max" else nn.AvgPool1d(pool, ceil_mode=True)
        )
        self.perceptron = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * math.ceil(context / pool), width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, channels * (context + knots)),
            nn.Unflatten(1, (channels, context + knots)),
        )

    def forward(self, series: Tensor) -> tuple[Tensor, Tensor]:
        """Backcast ``[N, C, L]`` and forecast ``[N, C, H]`` of series ``[N, C, L]``."""
        coefficients: Tensor = self.perceptron(self.pool(series))
        backcast, knots = coefficients[..., : self.context], coefficients[..., self.context :]
        return backcast, interpolate_knots(knots, self.horizon)


class NHits(nn.Module):
    """Blocks from coarse to fine; each explains part of the context away and adds its forecast.

    Source: Challu et al. 2023, "N-HiTS: Neural Hierarchical Interpolation for Time Series Forecasting",
    AAAI. As in the authors' code the backcast is not interpolated. ``joint`` reads the three axes
    together, which the paper does not.

    Args:
        context: points seen, L.
        horizon: points to forecast, H.
        pools: pooled points of each block.
        knot_spacing: forecast points per knot of each block, as many as ``pools``.
        width: hidden width of every block.
        pooling: see `NHitsBlock`.
        joint: whether the axes are one series of three channels or three series.
    """

    def __init__(
        self,
        context: int,
        horizon: int,
        *,
        pools: Sequence[int] = (8, 4, 1),
        knot_spacing: Sequence[int] = (8, 4, 1),
        width: int = 512,
        pooling: Literal["max", "mean"] = "max",
        joint: bool = False,
    ) -> None:
        super().__init__()
        if len(pools) != len(knot_spacing):
            raise ValueError(f"pools {list(pools)} and knot_spacing {list(knot_spacing)} differ in length")
        self.joint = joint
        self.blocks = nn.ModuleList(
            NHitsBlock(
                channels=CHANNELS if joint else 1,
                context=context,
                horizon=horizon,
                pool=pool,
                knots=max(1, horizon // spacing),
                width=width,
                pooling=pooling,
            )
            for pool, spacing in zip(pools, knot_spacing, strict=True)
        )

    def forward(self, points: Tensor) -> Tensor:
        """Continue ``[B, L, 3]`` to ``[B, H, 3]``."""
        series = points.transpose(1, 2)  # [B, 3, L]
        residual = series if self.joint else series.reshape(-1, 1, series.shape[-1])  # [N, C, L]
        forecasts = []
        for block in self.blocks:
            backcast, forecast = block(residual)
            residual = residual - backcast
            forecasts.append(forecast)
        total = torch.stack(forecasts).sum(0)  # [N, C, H]
        return total.view(len(points), CHANNELS, -1).transpose(1, 2)


class PatchTST(nn.Module):
    """Overlapping patches of one channel as the tokens of a transformer encoder.

    Source: Nie et al. 2023, "A Time Series is Worth 64 Words", ICLR (channel-independent, the end repeated
    for one more patch, flattened head). Here layers are pre-norm with LayerNorm, which trains at
    higher rates than the paper's post-norm BatchNorm.

    Args:
        context: points seen, L.
        horizon: points to forecast, H.
        patch: points of a patch.
        stride: points between patches.
        width: of a token.
        layers: of the encoder.
        heads: of its attention.
    """

    def __init__(
        self,
        context: int,
        horizon: int,
        *,
        patch: int = 16,
        stride: int = 8,
        width: int = 128,
        layers: int = 3,
        heads: int = 8,
    ) -> None:
        super().__init__()
        if context < patch:
            raise ValueError(f"a context of {context} points holds no patch of {patch}")
        self.patch, self.stride = patch, stride
        tokens = (context - patch) // stride + 2
        self.embedding = nn.Linear(patch, width)
        self.positions = nn.Parameter(torch.empty(tokens, width).uniform_(-0.02, 0.02))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head = nn.Linear(tokens * width, horizon)

    def forward(self, points: Tensor) -> Tensor:
        """Continue ``[B, L, 3]`` to ``[B, H, 3]``."""
        series = F.pad(points.transpose(1, 2), (0, self.stride), mode="replicate")  # [B, 3, L + S]
        patches = series.unfold(-1, self.patch, self.stride).flatten(0, 1)  # [3 B, N, patch]
        tokens = self.encoder(self.embedding(patches) + self.positions)
        forecast: Tensor = self.head(tokens.flatten(1))  # [3 B, H]
        return forecast.view(len(points), CHANNELS, -1).transpose(1, 2)


class Recurrent(nn.Module):
    """Gated recurrent units over the points; the last state gives all steps at once.

    Source: Cho et al. 2014 (GRU); the direct multi-step head of Taieb et al. 2012. A step reads the
    point and its displacement from the one before.

    Args:
        context: points seen, L; any number serves.
        horizon: points to forecast, H.
        width: of the state.
        layers: stacked.
    """

    def __init__(self, context: int, horizon: int, *, width: int = 256, layers: int = 2) -> None:
        super().__init__()
        del context  # a recurrent network reads any number of points
        self.horizon = horizon
        self.units = nn.GRU(2 * CHANNELS, width, layers, batch_first=True)
        self.head = nn.Linear(width, horizon * CHANNELS)

    def forward(self, points: Tensor) -> Tensor:
        """Continue ``[B, L, 3]`` to ``[B, H, 3]``."""
        steps = torch.diff(points, dim=1, prepend=points[:, :1])
        states, _ = self.units(torch.cat((points, steps), -1))  # [B, L, width]
        forecast: Tensor = self.head(states[:, -1])
        return forecast.view(-1, self.horizon, CHANNELS)


class ResidualBlock(nn.Module):
    """``x + W2 gelu(W1 norm(x))``; the output matrix starts at zero, so that a deep stack starts as none."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, width] -> [B, width]``."""
        branch: Tensor = self.outer(F.gelu(self.inner(self.norm(x))))
        return x + branch


class ResidualMlp(nn.Module):
    """The whole window as one vector through pre-norm residual blocks: all axes and times together.

    Beside the blocks a linear map of the window goes straight to the forecast.

    Args:
        context: points seen, L.
        horizon: points to forecast, H.
        width: of the residual stream.
        hidden: of each block's inner layer.
        blocks: how many.
        step_gain: how much displacements between neighbouring points, read beside the points, are
            amplified; 0 reads the points alone.
    """

    def __init__(
        self,
        context: int,
        horizon: int,
        *,
        width: int = 384,
        hidden: int = 768,
        blocks: int = 3,
        step_gain: float = 0.0,
    ) -> None:
        super().__init__()
        self.horizon, self.step_gain = horizon, step_gain
        self.embedding = nn.Linear((2 * context - 1 if step_gain else context) * CHANNELS, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, hidden) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, horizon * CHANNELS)
        self.straight = nn.Linear(context * CHANNELS, horizon * CHANNELS, bias=False)
        nn.init.zeros_(self.straight.weight)

    def forward(self, points: Tensor) -> Tensor:
        """Continue ``[B, L, 3]`` to ``[B, H, 3]``."""
        window = points.flatten(1)
        seen = window
        if self.step_gain:
            seen = torch.cat((window, self.step_gain * torch.diff(points, dim=1).flatten(1)), 1)
        hidden = self.blocks(self.embedding(seen))
        forecast: Tensor = self.head(self.norm(hidden)) + self.straight(window)
        return forecast.view(-1, self.horizon, CHANNELS)
