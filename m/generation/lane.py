"""Paths that roll on together: the smallest unit that joins and leaves a running batch."""

from __future__ import annotations

import torch
from torch import Tensor

from m.attention.cache import KVCache
from m.heads.distribution import StepDistribution
from m.moe.anchor import Anchor
from m.moe.config import ModelConfig


class Lane:
    """N paths of one request, at the same step.

    Args:
        config: of the model.
        anchor: of each path's context, N of them.
        distribution: of the next P points of each, ``[N, P, K]``, anchored.
        position: slot of each path's next point, ``[N]``.
        horizon: points to predict.
        temperature: 0 follows the centre.
        generator: of what is drawn; shared with lanes that draw after this one.
        cache: of what each path has read; None when nothing needs to be fed back.
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
        cache: KVCache | None,
    ) -> None:
        self.anchor = anchor
        self.position = position
        self.cache = cache
        self._steps = config.head.prediction_steps
        self._target = anchor.for_targets(config.target_dim)
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
        self._blocks.append(self._target.restore(block.to(self._target.location.dtype)))

    def advance(self, distribution: StepDistribution) -> None:
        """Take the distribution of the P points after those emitted last."""
        self._distribution = distribution
        self.position = self.position + self._steps

    def paths(self) -> Tensor:
        """All points emitted, ``[N, H, K]``."""
        return torch.cat(self._blocks, 1)[:, : self._horizon]
