"""What a graph says of sequences that it has read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m.arrays import Array


@dataclass(frozen=True)
class Memory:
    """What a graph with a key-value cache remembers of sequences; slot p is the point of position p.

    Attributes:
        history: their points, anchored, ``[B, S, D]``.
        keys: of the L attending layers, ``[B, L, H, S, head_dim]``.
        values: the same.
    """

    history: NDArray[np.float32]
    keys: NDArray[np.float32]
    values: NDArray[np.float32]

    @property
    def capacity(self) -> int:
        """Slots S."""
        return int(self.history.shape[1])

    @property
    def nbytes(self) -> int:
        """Of all sequences."""
        return self.history.nbytes + self.keys.nbytes + self.values.nbytes

    def rows(self, index: Any) -> Memory:
        """Those of the sequences named, which may repeat."""
        return Memory(self.history[index], self.keys[index], self.values[index])

    def with_capacity(self, slots: int) -> Memory:
        """With so many slots: further ones are empty, those beyond are dropped."""
        missing = slots - self.capacity
        if missing <= 0:
            return Memory(self.history[:, :slots], self.keys[..., :slots, :], self.values[..., :slots, :])
        none = (0, 0)
        return Memory(
            np.pad(self.history, (none, (0, missing), none)),
            np.pad(self.keys, (none, none, none, (0, missing), none)),
            np.pad(self.values, (none, none, none, (0, missing), none)),
        )

    @classmethod
    def join(cls, parts: list[Memory]) -> Memory:
        """Of several groups of sequences, in their order."""
        slots = max(part.capacity for part in parts)
        fitted = [part.with_capacity(slots) for part in parts]
        return cls(
            np.concatenate([part.history for part in fitted]),
            np.concatenate([part.keys for part in fitted]),
            np.concatenate([part.values for part in fitted]),
        )


@dataclass(frozen=True)
class Block:
    """The next P points of sequences, and who served the tokens that said so.

    Attributes:
        location: centre, ``[B, P, K]`` in the inputs' units.
        spread: the family's scale along `axes`, in these units, ``[B, P, K]``.
        axes: of each sequence's frame, ``[B, K, K]``, row i the i-th.
        experts: ``[B, T', L, top_k]``; of tokens before a sequence's first or after its last: nothing.
        weights: their gates.
        memory: what a graph with a key-value cache remembers now; None without one.
    """

    location: Array
    spread: Array
    axes: Array
    experts: NDArray[np.int64]
    weights: NDArray[np.float32]
    memory: Memory | None = None

    @classmethod
    def of(cls, outputs: list[NDArray[Any]]) -> Block:
        """From a graph's outputs, in their order."""
        location, spread, axes, experts, weights, *remembered = outputs
        return cls(location, spread, axes, experts, weights, Memory(*remembered) if remembered else None)

    def marginal_scale(self) -> Array:
        """Scale of each coordinate, ``[B, P, K]``: squared, a weighted mean of those along the axes."""
        result: Array = np.sqrt(np.square(self.spread) @ np.square(self.axes))
        return result

    def rows(self, index: Any) -> Block:
        """Those of the sequences named, which may repeat."""
        return Block(
            self.location[index],
            self.spread[index],
            self.axes[index],
            self.experts[index],
            self.weights[index],
            None if self.memory is None else self.memory.rows(index),
        )

    def without_memory(self) -> Block:
        """The same, where what is remembered is not wanted."""
        return replace(self, memory=None)

    @classmethod
    def join(cls, blocks: list[Block]) -> Block:
        """Several readings as one."""
        if len(blocks) == 1:
            return blocks[0]
        tokens = max(block.experts.shape[1] for block in blocks)

        def wide(part: NDArray[Any]) -> NDArray[Any]:
            return np.pad(part, ((0, 0), (0, tokens - part.shape[1]), (0, 0), (0, 0)))

        memories = [block.memory for block in blocks if block.memory is not None]
        return cls(
            np.concatenate([block.location for block in blocks]),
            np.concatenate([block.spread for block in blocks]),
            np.concatenate([block.axes for block in blocks]),
            np.concatenate([wide(block.experts) for block in blocks]),
            np.concatenate([wide(block.weights) for block in blocks]),
            memory=Memory.join(memories) if len(memories) == len(blocks) else None,
        )
