"""The graph of a model that holds its anchor: it takes a key-value cache, and gives it back grown."""

from __future__ import annotations

import torch
from torch import Tensor

from m.attention.cache import KVCache, LayerCache
from m.export.graph import OUTPUTS, ForecastGraph, FreshGraph, distinct_sizes, random_walk
from m.moe.anchor import compute_anchor
from m.moe.model import MoESequenceRegressor


class CachedGraph(ForecastGraph):
    """Points that continue sequences, read from where their past ends; any number of cache slots.

    The anchor is computed anew each time from the points it was computed from at first, which costs little
    and spares the graph's users to know what an anchor is.
    """

    cached = True
    outputs = (*OUTPUTS, "history_out", "keys_out", "values_out")

    def dynamic_axes(self) -> dict[str, tuple[int, ...]]:
        """Any batch, points, tokens, anchoring points and cache length."""
        return {
            "points": (0, 1),
            "lengths": (0,),
            "start": (0,),
            "tokens": (0, 1),
            "anchoring": (0, 1),
            "anchored": (0,),
            "history": (0, 1),
            "keys": (0, 3),
            "values": (0, 3),
        }

    def forward(  # noqa: PLR0917  (a graph's inputs have an order)
        self,
        points: Tensor,
        lengths: Tensor,
        start: Tensor,
        tokens: Tensor,
        anchoring: Tensor,
        anchored: Tensor,
        history: Tensor,
        keys: Tensor,
        values: Tensor,
    ) -> tuple[Tensor, ...]:
        """Read points.

        Args:
            points: those not read yet, ``[B, T, D]`` float64, right-padded.
            lengths: valid ones of each, ``[B]`` int64.
            start: position of the first of each in its sequence, ``[B]`` int64.
            tokens: positions to predict from, ``[B, T']`` int64, ascending; those beyond the last point are
                padding.
            anchoring: points that each sequence is normalised by, ``[B, A, D]`` float64, right-padded.
            anchored: how many of these, ``[B]`` int64.
            history: anchored points read before, ``[B, S, D]`` float32; slot p is position p, with S at least
                ``start + T``.
            keys: of the attending layers, ``[B, L, H, S, head_dim]`` float32.
            values: the same.

        Returns:
            `OUTPUTS`, by the last token of each that is no padding; then history, keys and values with what
            was read now.
        """
        model = self.model
        anchor = compute_anchor(anchoring, anchored, model.config.anchor)
        layers = zip(keys.unbind(1), values.unbind(1), strict=True)
        # Copies, since the cache is written in place and a graph must leave its inputs alone.
        cache = KVCache([LayerCache(k.clone(), v.clone()) for k, v in layers], history.clone())
        positions = start[:, None] + torch.arange(points.shape[1], device=points.device)
        output = model(
            points, anchor=anchor, lengths=lengths, positions=positions, tokens=tokens, cache=cache
        )
        last = (start + lengths - 1)[:, None]
        place = (tokens <= last).sum(1, keepdim=True) - 1  # [B, 1]
        remembered = (
            cache.points,
            torch.stack([layer.keys for layer in cache.layers], 1),
            torch.stack([layer.values for layer in cache.layers], 1),
        )
        return *self._answer(output, place, anchor, tokens), *remembered

    def example(self) -> tuple[Tensor, ...]:
        """Sequences of which some points were read."""
        config = self.model.config
        heads, width, layers = config.attention.kv_heads, config.head_dim, config.attending_blocks
        batch, count, length, anchors, slots = distinct_sizes(
            3, 4, 2 * config.stride + 6, config.window + 9, config.window + 2 * config.stride + 40,
            taken=(config.input_dim, config.target_dim, heads, width, layers),
        )  # fmt: skip
        start = torch.arange(batch)
        tokens = start[:, None] + torch.arange(count)
        cache = torch.zeros(batch, layers, heads, slots, width)
        return (
            random_walk(batch, length, config.input_dim),
            torch.tensor([length - row for row in range(batch)]),
            start,
            tokens,
            random_walk(batch, anchors, config.input_dim),
            torch.tensor([anchors - row for row in range(batch)]),
            torch.zeros(batch, slots, config.input_dim),
            cache,
            cache.clone(),
        )


def make_graph(model: MoESequenceRegressor) -> ForecastGraph:
    """The graph that serves a model: with a cache where it holds its anchor, else without.

    Raises:
        ValueError: its router is not causal, so the model cannot forecast.
    """
    return CachedGraph(model) if model.config.anchor.rolling == "held" else FreshGraph(model)
