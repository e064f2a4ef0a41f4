"""Paths that roll on together: the smallest unit that joins and leaves a running batch."""

from __future__ import annotations

import torch
from torch import Tensor

from m.attention.cache import KVCache
from m.heads.distribution import StepDistribution
from m.moe.anchor import Anchor
from m.moe.config import ModelConfig
from m.moe.window import Window


class Lane:
    """N paths of one request, at the same step.

    Args:
        config: of the model.
        anchor: of ``distribution``, N of them.
        distribution: of the next P points of each, ``[N, P, K]``, anchored.
        position: slot of each path's next point, ``[N]``, where there is a cache.
        horizon: points to predict.
        temperature: 0 follows the centre.
        generator: of what is drawn; shared with lanes that draw after this one.
        held: what each path goes on from, its last points or a cache; None when it need not.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        anchor: Anchor,
        distribution: StepDistribution,
        position: Tensor,
        horizon: int,
        temperature: float,
        generator: torch.Generator | None,
        held: KVCache | Window | None,
    ) -> None:
        self.anchor = anchor
        self.position = position
        self.held = held
        self._config = config
        self._steps = config.head.prediction_steps
        self._distribution = distribution
        self._horizon = horizon
        self._temperature = temperature
        self._generator = generator
        self._blocks: list[Tensor] = []

    def __len__(self) -> int:
        return len(self.position)

    @property
    def done(self) -> bool:
        """Whether the horizon is reached."""
        return len(self._blocks) * self._steps >= self._horizon

    @property
    def blocks(self) -> int:
        """Emitted so far, of P points each."""
        return len(self._blocks)

    @property
    def last_block(self) -> Tensor:
        """The points emitted last, ``[N, P, K]`` in the context's units."""
        return self._blocks[-1]

    def emit(self) -> None:
        """Draw or take the next P points."""
        known = self._distribution
        block = known.sample(self._temperature, self._generator) if self._temperature else known.location
        target = self.anchor.for_targets(self._config.target_dim)
        self._blocks.append(target.restore(block.to(target.location.dtype)))

    def advance(self, distribution: StepDistribution, anchor: Anchor) -> None:
        """Take the distribution of the P points after those emitted last, and its anchor."""
        self._distribution, self.anchor = distribution, anchor
        self.position = self.position + self._steps

    def paths(self) -> Tensor:
        """All points emitted, ``[N, H, K]``."""
        return torch.cat(self._blocks, 1)[:, : self._horizon]
