"""What is exported: from the points of contexts to the distribution of the P points that follow."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor, nn

from m.checkpoint.model import build_model
from m.config import to_dict
from m.moe.anchor import Anchor, compute_anchor
from m.moe.model import MoESequenceRegressor, SequenceOutput
from m.routing.record import RoutingRecord

OUTPUTS = ("location", "spread", "axes", "experts", "weights")


class ForecastGraph(nn.Module):
    """A model in the form that is written to a file.

    The whole way is in the graph, the anchor in float64 too, so that whoever runs it needs no code of this
    package's models. Experts are multiplied in the form without shapes that depend on the data
    (`ExpertsConfig.kernel` ``batched``), so no expert can be lost because an example did not choose it.

    Every graph gives `OUTPUTS` first: location of each coordinate ``[B, P, K]`` in the inputs' units,
    float64; the family's scale along the axes of the sequence's frame, in those units too, ``[B, P, K]``;
    these axes ``[B, K, K]``, row i the i-th; and experts and gates of every token read,
    ``[B, T', L, top_k]``. A dense model has none.

    Args:
        model: copied; float32.

    Raises:
        ValueError: its router is not causal, so the model cannot forecast.
    """

    outputs: tuple[str, ...] = OUTPUTS
    cached = False  # whether it takes and gives a key-value cache
    one_token = False  # whether it reads the last token alone

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
        """Points that ``points`` must hold for each sequence, padding included."""
        return 1

    @abstractmethod
    def dynamic_axes(self) -> dict[str, tuple[int, ...]]:
        """Names of the inputs in their order, and the axes of each whose size is free."""

    @abstractmethod
    def example(self) -> tuple[Tensor, ...]:
        """Inputs to trace with; no two of their free sizes agree, so that none is taken for another."""

    def _answer(
        self, output: SequenceOutput, place: Tensor, anchor: Anchor, tokens: Tensor
    ) -> tuple[Tensor, ...]:
        """`OUTPUTS`, by the tokens at ``place [B, 1]``."""
        stated = output.distribution  # [B, T', P, K], anchored
        chosen = place[:, :, None, None].expand(-1, -1, *stated.location.shape[2:])
        location, scale = (part.gather(1, chosen)[:, 0] for part in (stated.location, stated.scale))
        own = anchor.for_targets(self.model.config.target_dim)
        dtype = own.location.dtype
        restored = own.restore(location.to(dtype))
        spread = scale.to(dtype) * own.scale
        axes = own.axes
        if axes is None:
            axes = torch.eye(restored.shape[-1], dtype=dtype).expand(location.shape[0], -1, -1)
        return restored, spread, axes, *_served(output.routing, tokens)


class FreshGraph(ForecastGraph):
    """One reading of contexts: anchor, all tokens that the forecast needs, and its first P points."""

    def __init__(self, model: MoESequenceRegressor) -> None:
        super().__init__(model)
        self.one_token = model.config.attention.reach == 1  # the last one sees no other

    @property
    def least_points(self) -> int:
        """Where several tokens are read the graph was traced with two of them, and no fewer will do."""
        return 1 if self.one_token else self.model.config.stride + 1

    def dynamic_axes(self) -> dict[str, tuple[int, ...]]:
        """Any batch, any number of points."""
        return {"points": (0, 1), "lengths": (0,), "anchored": (0,)}

    def forward(self, points: Tensor, lengths: Tensor, anchored: Tensor) -> tuple[Tensor, ...]:
        """Read contexts.

        Args:
            points: ``[B, T, D]`` float64, right-padded.
            lengths: valid points of each, ``[B]`` int64.
            anchored: the first points of each, so many, that it is normalised by, ``[B]`` int64.

        Returns:
            `OUTPUTS`; the last token of each sequence lies at ``(length - 1) // stride`` or, where one token
            is read, at 0.
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
        return self._answer(output, place, anchor, tokens)

    def example(self) -> tuple[Tensor, ...]:
        """Contexts of several lengths."""
        config = self.model.config
        batch, length = distinct_sizes(
            3, max(2 * config.stride + 5, config.window + 3), taken=(config.input_dim, config.target_dim)
        )
        lengths = torch.tensor([length - row for row in range(batch)])
        return random_walk(batch, length, config.input_dim), lengths, lengths.clone()


def distinct_sizes(*wanted: int, taken: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes of at least those wanted, all different, and none of those taken."""
    found: list[int] = []
    for least in wanted:
        size = least
        while size in (*taken, *found):
            size += 1
        found.append(size)
    return tuple(found)


def random_walk(batch: int, length: int, dimensions: int) -> Tensor:
    """``[B, T, D]`` float64, always the same."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, length, dimensions, generator=generator, dtype=torch.float64).cumsum(1)


def _served(routing: RoutingRecord, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Experts and gates of all layers, ``[B, T', L, top_k]``."""
    if not routing.layers:
        none = torch.zeros_like(tokens)[:, :, None, None][:, :, :0]
        return none, none.to(torch.float32)
    experts = torch.stack([layer.experts for layer in routing.layers], 2)
    return experts, torch.stack([layer.weights.float() for layer in routing.layers], 2)
