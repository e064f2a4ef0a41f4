"""What an engine has done so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from m.arrays import Array


@dataclass
class EngineCounts:
    """What an engine has done so far.

    Attributes:
        steps: forward passes.
        rows: sequences in them, summed.
        by_rows: passes by the sequences in them.
        finished: jobs, those that failed not counted.
        points_read: of contexts.
        points_reused: of contexts, those that had been read before.
        expert_tokens: tokens that each expert served while contexts were read, ``[layers, E]``.
    """

    steps: int = 0
    rows: int = 0
    by_rows: Counter[int] = field(default_factory=Counter)
    finished: int = 0
    points_read: int = 0
    points_reused: int = 0
    expert_tokens: Array | None = None

    @property
    def hit_rate(self) -> float:
        """Share of the points of all contexts that had been read before."""
        points = self.points_read + self.points_reused
        return self.points_reused / points if points else 0.0

    def count(self, rows: int, load: Array | None = None, *, read: int = 0, reused: int = 0) -> None:
        """Add one forward pass, and the points of contexts in it."""
        self.steps += 1
        self.rows += rows
        self.by_rows[rows] += 1
        self.points_read += read
        self.points_reused += reused
        if load is not None:
            self.serve(load)

    def serve(self, load: Array) -> None:
        """Add tokens of contexts that experts served, ``[layers, E]``."""
        wide = load.astype(np.float64)  # float32 would stand still at 2**24
        self.expert_tokens = wide if self.expert_tokens is None else self.expert_tokens + wide
