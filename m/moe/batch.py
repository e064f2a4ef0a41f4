"""What a model trains on, and what its loss returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class SequenceBatch:
    """Noisy inputs and the true path that they and their continuation follow.

    Attributes:
        inputs: what was observed, ``[B, T, D]``.
        path: the truth from the first input on, P points longer, ``[B, T + P, K]``.
        labels: class of each sequence, ``[B]`` int64, carried along for reports; the model does not
            see it.
    """

    inputs: Tensor
    path: Tensor
    labels: Tensor | None = None

    def to(self, device: torch.device) -> SequenceBatch:
        """The same batch on a device."""
        labels = None if self.labels is None else self.labels.to(device, non_blocking=True)
        return SequenceBatch(
            self.inputs.to(device, non_blocking=True), self.path.to(device, non_blocking=True), labels
        )

    @property
    def num_sequences(self) -> int:
        """B."""
        return self.inputs.shape[0]

    @property
    def num_tokens(self) -> int:
        """B * T."""
        return self.inputs.shape[0] * self.inputs.shape[1]


@dataclass(frozen=True)
class LossOutput:
    """Loss of a batch and what is worth logging about it.

    Attributes:
        loss: scalar to minimise, with gradient.
        metrics: detached scalars by name.
        expert_load: assignments per layer and expert, ``[layers, E]``; None for a dense model.
        forecast: centre of the forecast from each sequence's last input, ``[B, P, K]``, in the
            inputs' units, detached.
        target: its truth, ``[B, P, K]``.
    """

    loss: Tensor
    forecast: Tensor
    target: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    expert_load: Tensor | None = None
