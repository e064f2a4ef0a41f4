"""What is exported: from the points of contexts to the distribution of the P points that follow."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from m.checkpoint.model import build_model
from m.config import to_dict
from m.moe.anchor import compute_anchor
from m.moe.model import MoESequenceRegressor
from m.routing.record import RoutingRecord

INPUTS = ("points", "lengths", "anchored")
OUTPUTS = ("location", "spread", "axes", "experts", "weights")


class ForecastGraph(nn.Module):
    """One reading of contexts: anchor, all tokens that the forecast needs, and its first P points.

    The whole way is in the graph, the anchor in float64 too, so that whoever runs it needs no code of this
    package's models. Experts are multiplied in the form without shapes that depend on the data
    (`ExpertsConfig.kernel` ``batched``), so no expert can be lost because an example did not choose it.

    Args:
        model: copied; float32.

    Raises:
        ValueError: its router is not causal, so the model cannot forecast.
    """

    def __init__(self, model: MoESequenceRegressor) -> None:
        super().__init__()
        acausal = [type(router).__name__ for router in model.routers() if not router.causal]
        if acausal:
            raise ValueError(f"{acausal[0]} routes a token by other tokens, so this model cannot generate")
        config = model.config
        flat = replace(config, experts=replace(config.experts, kernel="batched"))
        self.model = build_model(to_dict(flat), model.state_dict(), source="the model to export").eval()

    @property
    def least_points(self) -> int:
        """Points that ``points`` must hold for each sequence, padding included.

        Where several tokens are read the graph was traced with two of them, and no fewer will do.
        """
        return 1 if self.one_token else self.model.config.stride + 1

    @property
    def one_token(self) -> bool:
        """Whether the last token sees no other, and is read alone."""
        return self.model.config.attention.reach == 1

    def forward(
        self, points: Tensor, lengths: Tensor, anchored: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Read contexts.

        Args:
            points: ``[B, T, D]`` float64, right-padded.
            lengths: valid points of each, ``[B]`` int64.
            anchored: the first points of each, so many, that it is normalised by, ``[B]`` int64.

        Returns:
            Location of each coordinate ``[B, P, K]`` in the inputs' units, float64; the family's scale along
            the axes of the sequence's frame, in those units too, ``[B, P, K]``; these axes ``[B, K, K]``, row
            i the i-th; and experts and gates of every token read ``[B, T', L, top_k]``, the last of each
            sequence at ``(length - 1) // stride`` or, where one token is read, at 0. A dense model has none.
        """
        model, stride = self.model, self.model.config.stride
        anchor = compute_anchor(points, anchored, model.config.anchor)
        last = (lengths - 1).unsqueeze(-1)  # [B, 1]
        if self.one_token:
            tokens, place = last, torch.zeros_like(last)
        else:
            count = (points.shape[1] - 1) // stride + 1
            tokens = last % stride + stride * torch.arange(count, device=points.device)
            place = last // stride
        output = model(points, anchor=anchor, lengths=lengths, tokens=tokens)
        stated = output.distribution  # [B, T', P, K], anchored
        chosen = place[:, :, None, None].expand(-1, -1, *stated.location.shape[2:])
        location, scale = (part.gather(1, chosen)[:, 0] for part in (stated.location, stated.scale))
        own = anchor.for_targets(model.config.target_dim)
        restored = own.restore(location.to(points.dtype))
        spread = scale.to(points.dtype) * own.scale
        axes = own.axes
        if axes is None:
            axes = torch.eye(restored.shape[-1], dtype=points.dtype).expand(points.shape[0], -1, -1)
        return restored, spread, axes, *_served(output.routing, tokens)

    def example(self, batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs to trace with; no two of their sizes agree, so that none is taken for another."""
        config = self.model.config
        length = max(2 * config.stride + 5, config.window + 3)
        while length in (config.input_dim, config.target_dim, batch):
            length += 1
        while batch in (config.input_dim, config.target_dim):
            batch += 1
        generator = torch.Generator().manual_seed(0)
        steps = torch.randn(batch, length, config.input_dim, generator=generator, dtype=torch.float64)
        lengths = torch.tensor([length - row for row in range(batch)])
        return steps.cumsum(1), lengths, lengths.clone()


def _served(routing: RoutingRecord, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Experts and gates of all layers, ``[B, T', L, top_k]``."""
    if not routing.layers:
        none = torch.zeros_like(tokens)[:, :, None, None][:, :, :0]
        return none, none.to(torch.float32)
    experts = torch.stack([layer.experts for layer in routing.layers], 2)
    return experts, torch.stack([layer.weights.float() for layer in routing.layers], 2)
