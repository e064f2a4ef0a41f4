"""Sequences that keep their anchor, and with it the keys and values of what was read of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m.arrays import Array, Counts
from m.moe.config import ModelConfig
from m.moe.request import ForecastRequest
from m.moe.spacing import rounded_capacity, token_spacing
from m.runtime.block import Block, Memory
from m.runtime.manifest import Manifest
from m.runtime.rows import Inputs, Rows, widened
from m.runtime.window import appended

MEMORY_BUDGET = 2**28  # bytes that a request's paths may remember; more of them are read anew instead


@dataclass(frozen=True)
class HeldRows(Rows):
    """Sequences of a model with ``anchor.rolling`` ``held``, right-padded.

    Attributes:
        points: all of them, ``[N, W, D]`` in the inputs' units.
        lengths: points of each, ``[N]``.
        anchored: the first so many that it is normalised by, ``[N]``.
        known: points of each that lie in the memory, ``[N]``.
        memory: of what was read; None where nothing is.
        every: points between tokens.
        config: of the model.
    """

    points: Array
    lengths: Counts
    anchored: Counts
    known: Counts
    memory: Memory | None
    every: int
    config: ModelConfig

    @classmethod
    def of(cls, request: ForecastRequest, manifest: Manifest) -> HeldRows:
        """The contexts of a request, of which nothing has been read."""
        every = token_spacing(manifest.config, request.horizon)
        none = np.zeros_like(request.lengths)
        return cls(request.points, request.lengths, request.anchored, none, None, every, manifest.config)

    @property
    def unread(self) -> Counts:
        """Those that the memory does not hold."""
        return self.lengths - self.known

    @property
    def size_class(self) -> tuple[int, ...]:
        """By token spacing, and the powers of two that hold the longest and what is not known of it."""
        return self.every, *(int(part.max() - 1).bit_length() for part in (self.unread, self.lengths))

    def take(self, index: Any) -> HeldRows:
        """The sequences named, which may repeat; without memory where copies of it take too much room."""
        lengths = self.lengths[index]
        rows = replace(
            self,
            points=self.points[index, : int(lengths.max())],
            lengths=lengths,
            anchored=self.anchored[index],
            known=self.known[index],
            memory=None,
        )
        if self.memory is None:
            return rows
        each = self.memory.nbytes // max(1, len(self.lengths))
        if each * len(lengths) > MEMORY_BUDGET:
            return replace(rows, known=np.zeros_like(lengths))
        return replace(rows, memory=self.memory.rows(index))

    def append(self, points: Array) -> HeldRows:
        """With P more points of each, ``[N, P, D]``, none of which has been read."""
        grown, lengths = appended(self.points, self.lengths, points)
        return replace(self, points=grown, lengths=lengths)

    def after(self, block: Block) -> HeldRows:
        """With all points known, where there is room for what is remembered."""
        if block.memory is None or block.memory.nbytes > MEMORY_BUDGET:
            return replace(self, memory=None, known=np.zeros_like(self.lengths))
        return replace(self, memory=block.memory, known=self.lengths)

    @classmethod
    def join(cls, parts: Sequence[HeldRows]) -> HeldRows:
        """Several groups of sequences, of one token spacing, padded to the longest."""
        if len(parts) == 1:
            return parts[0]
        width = max(part.points.shape[1] for part in parts)
        empty = any(part.memory is not None for part in parts)
        memories = [part._memory_or_empty() for part in parts] if empty else []
        return replace(
            parts[0],
            points=np.concatenate([widened(part.points, width) for part in parts]),
            lengths=np.concatenate([part.lengths for part in parts]),
            anchored=np.concatenate([part.anchored for part in parts]),
            known=np.concatenate([part.known for part in parts]),
            memory=Memory.join(memories) if memories else None,
        )

    def inputs(self) -> Inputs:
        """Of `m.export.cached.CachedGraph`."""
        unread = self.unread
        width = int(unread.max())
        places = np.minimum(self.known[:, None] + np.arange(width), self.points.shape[1] - 1)
        fresh = np.take_along_axis(self.points, places[..., None], axis=1)
        memory = self._memory_or_empty().with_capacity(rounded_capacity(int(self.known.max()) + width))
        most = int(self.anchored.max())
        return {
            "points": np.ascontiguousarray(fresh, dtype=np.float64),
            "lengths": unread,
            "start": self.known,
            "tokens": self._tokens(),
            "anchoring": np.ascontiguousarray(self.points[:, :most], dtype=np.float64),
            "anchored": self.anchored,
            "history": memory.history,
            "keys": memory.keys,
            "values": memory.values,
        }

    def _tokens(self) -> Counts:
        """Positions of the tokens to compute, ``[N, T']``: those of the grid that are not known."""
        last = self.lengths - 1
        first = self.known + (last - self.known) % self.every
        count = int(((last - first) // self.every).max()) + 1
        return first[:, None] + self.every * np.arange(count)

    def _memory_or_empty(self) -> Memory:
        if self.memory is not None:
            return self.memory
        config, count = self.config, len(self.lengths)
        shape = (count, config.attending_blocks, config.attention.kv_heads, 0, config.head_dim)
        nothing = np.zeros(shape, dtype=np.float32)
        return Memory(np.zeros((count, 0, config.input_dim), dtype=np.float32), nothing, nothing)


@dataclass(frozen=True)
class HeldPast:
    """What a session remembers of its path.

    Attributes:
        rows: that path alone, all of it read.
        experts: who served its tokens, ``[1, T', L, top_k]``.
        weights: their gates.
    """

    rows: HeldRows
    experts: NDArray[np.int64]
    weights: NDArray[np.float32]

    def drift(self, points: Array) -> float:
        """How far new points ``[T, D]`` lie from the anchoring ones, the farthest of them.

        In their standard deviations, root mean square over the channels, which no turning changes.
        """
        config, known = self.rows.config.anchor, int(self.rows.anchored[0])
        anchoring = self.rows.points[0, :known]
        anchoring = anchoring[-config.span :] if config.span else anchoring
        centre = anchoring.mean(axis=0) if config.location == "mean" else anchoring[-1]
        variance = anchoring.var(axis=0)
        scale = np.sqrt(np.full_like(variance, variance.mean()) if config.scale == "pooled" else variance)
        away = (points - centre) / np.where(scale > 0, scale, 1.0)
        return float(np.sqrt(np.square(away).mean(axis=-1)).max())

    def continued(self, context: Array, every: int) -> HeldRows | None:
        """The path with further points, or None where the tokens known do not help.

        They do where the new points end on the grid of the known ones.

        Args:
            context: all points ``[T, D]``.
            every: points between the tokens that are wanted.
        """
        known = int(self.rows.lengths[0])
        if every != self.rows.every or (len(context) - known) % every or len(context) == known:
            return None
        return replace(self.rows, points=context[None], lengths=np.array([len(context)]))
