"""The key-value cache: data that the one attention forward may be given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class LayerCache:
    """Keys and values of one layer, written in place.

    A row's token at position p lives in slot p. Slots a row has not reached hold zeros or the
    leftovers of padding; causal masking by position never looks at them, which is what lets rows of
    different lengths share a batch.

    Attributes:
        keys: ``[B, H_kv, S, head_dim]``, already rotated.
        values: ``[B, H_kv, S, head_dim]``.
    """

    keys: Tensor
    values: Tensor

    def update(self, positions: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write T new tokens at ``positions [B, T]`` and return all slots."""
        index = positions[:, None, :, None].expand_as(keys)
        self.keys.scatter_(2, index, keys.to(self.keys.dtype))
        self.values.scatter_(2, index, values.to(self.values.dtype))
        return self.keys, self.values


@dataclass
class KVCache:
    """Everything a rolled-out batch remembers.

    Attributes:
        layers: one per attending block.
        points: the anchored inputs seen so far, ``[B, S, D]``: the embedding looks a few points back.
        begun: whether anything has been written.
    """

    layers: list[LayerCache]
    points: Tensor
    begun: bool = False

    @classmethod
    def allocate(
        cls,
        *,
        batch: int,
        capacity: int,
        n_layers: int,
        kv_heads: int,
        head_dim: int,
        input_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> KVCache:
        """Zeroed cache for ``capacity`` positions."""
        shape = (batch, kv_heads, capacity, head_dim)

        def zeros(size: tuple[int, ...]) -> Tensor:
            return torch.zeros(size, dtype=dtype, device=device)

        layers = [LayerCache(zeros(shape), zeros(shape)) for _ in range(n_layers)]
        return cls(layers, zeros((batch, capacity, input_dim)))

    @property
    def capacity(self) -> int:
        """Number of positions there is room for."""
        return self.points.shape[1]

    def bytes_per_row(self) -> int:
        """Memory of one sequence, over all layers."""
        held = sum(layer.keys[:1].nbytes + layer.values[:1].nbytes for layer in self.layers)
        return held + self.points[:1].nbytes

    def take(self, rows: Tensor) -> KVCache:
        """Copies of the sequences named, which may repeat: one cache per sampled path."""
        layers = [LayerCache(layer.keys[rows], layer.values[rows]) for layer in self.layers]
        return KVCache(layers, self.points[rows], self.begun)

    def resized(self, capacity: int) -> KVCache:
        """A copy with room for so many positions; what lay beyond is left out."""
        kept = min(capacity, self.capacity)

        def fit(held: Tensor, axis: int) -> Tensor:
            size = (*held.shape[:axis], capacity, *held.shape[axis + 1 :])
            copy = held.new_zeros(size)
            copy.narrow(axis, 0, kept).copy_(held.narrow(axis, 0, kept))
            return copy

        layers = [LayerCache(fit(layer.keys, 2), fit(layer.values, 2)) for layer in self.layers]
        return KVCache(layers, fit(self.points, 1), self.begun)

    @classmethod
    def joined(cls, caches: Sequence[KVCache]) -> KVCache:
        """Copies of several caches of one model and one capacity, as one: their sequences in order.

        Raises:
            ValueError: no caches, or of different capacities.
        """
        capacities = {cache.capacity for cache in caches}
        if len(capacities) != 1:
            raise ValueError(f"caches of one capacity can be joined, got {sorted(capacities)}")
        layers = [
            LayerCache(torch.cat([layer.keys for layer in same]), torch.cat([layer.values for layer in same]))
            for same in zip(*(cache.layers for cache in caches), strict=True)
        ]
        points = torch.cat([cache.points for cache in caches])
        return cls(layers, points, any(cache.begun for cache in caches))
