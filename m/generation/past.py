"""What has been read of one sequence: enough to go on without reading it again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from m.arrays import Array
from m.attention.cache import KVCache
from m.moe.anchor import Anchor
from m.routing.record import LayerRouting, RoutingRecord


@dataclass(frozen=True)
class Routes:
    """Who served tokens, of all L layers: by position of one sequence, or by token of several.

    Attributes:
        experts: ``[..., L, K]``.
        weights: ``[..., L, K]``.
        probabilities: ``[..., L, E]``.
    """

    experts: Tensor
    weights: Tensor
    probabilities: Tensor

    @classmethod
    def of(cls, record: RoutingRecord) -> Routes | None:
        """Of a forward pass, ``[B, T', L, ...]``; None for a dense model."""
        if not record.layers:
            return None
        return cls(
            torch.stack([layer.experts for layer in record.layers], 2),
            torch.stack([layer.weights for layer in record.layers], 2),
            torch.stack([layer.probabilities for layer in record.layers], 2),
        )

    def at(self, index: Tensor | int | slice) -> Routes:
        """Some of them, by the first axis."""
        return Routes(self.experts[index], self.weights[index], self.probabilities[index])

    def resized(self, capacity: int) -> Routes:
        """A copy with room for so many positions on the first axis."""
        return Routes(*(fitted(held, capacity) for held in self.tensors()))

    def put(self, index: Tensor, routes: Routes) -> None:
        """Write tokens at positions of the first axis."""
        for held, new in zip(self.tensors(), routes.tensors(), strict=True):
            held[index] = new

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Its parts."""
        return self.experts, self.weights, self.probabilities

    @staticmethod
    def record(rows: list[Routes]) -> RoutingRecord:
        """Tokens of several sequences ``[T'_b, L, ...]`` as a record, padded to the longest."""
        longest = max(len(row.experts) for row in rows)
        lengths = torch.tensor([len(row.experts) for row in rows])
        valid = torch.arange(longest) < lengths[:, None]
        parts = [torch.stack([fitted(row.tensors()[part], longest) for row in rows]) for part in range(3)]
        experts, weights, probabilities = parts  # [B, T', L, ...]
        valid = valid.to(experts.device)
        return RoutingRecord(
            tuple(
                LayerRouting(experts[:, :, layer], weights[:, :, layer], probabilities[:, :, layer], valid)
                for layer in range(experts.shape[2])
            )
        )


@dataclass(frozen=True)
class Past:
    """What has been read of one sequence.

    Attributes:
        anchor: that it was normalised by, of one sequence.
        cache: of that sequence alone.
        points: read; they lie in the cache's first slots.
        known: ``[S]`` bool on the CPU, the positions whose tokens lie in the cache; others were not needed.
        routes: who served those tokens, ``[S, L, ...]``; None for a dense model.
    """

    anchor: Anchor
    cache: KVCache
    points: int
    known: Tensor
    routes: Routes | None

    def drift(self, points: Array) -> float:
        """How far new points ``[T, D]`` lie from the anchoring ones, the farthest of them.

        In their standard deviations, root mean square over the channels.
        """
        away = self.anchor.normalise(torch.from_numpy(points)[None].to(self.anchor.location))
        return float(away.square().mean(-1).sqrt().max())


def fitted(held: Tensor, size: int) -> Tensor:
    """A copy with so many entries on the first axis, zeros where there were none."""
    copy = held.new_zeros((size, *held.shape[1:]))
    kept = min(size, len(held))
    copy[:kept] = held[:kept]
    return copy
