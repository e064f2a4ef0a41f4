"""What the loop asks of a model, its data and its evaluation. Structural: nothing to inherit from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Protocol, Self, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

ParameterKind: TypeAlias = Literal["router", "experts", "rest"]


class Batch(Protocol):
    """One micro-batch. The loop moves it to the device, counts it and hands it to the model."""

    @property
    def num_sequences(self) -> int:
        """Sequences in the batch (for throughput)."""
        ...

    @property
    def num_tokens(self) -> int:
        """Sequence points in the batch (for throughput)."""
        ...

    def to(self, device: torch.device) -> Self:
        """Return the batch on ``device``."""
        ...


class LossOutput(Protocol):
    """What a model returns for one micro-batch."""

    @property
    def loss(self) -> Tensor:
        """Scalar to minimise, shape []: a mean over the micro-batch."""
        ...

    @property
    def metrics(self) -> Mapping[str, Tensor]:
        """Detached scalars to report, each of shape []."""
        ...

    @property
    def expert_load(self) -> Tensor | None:
        """Tokens sent to each expert by this micro-batch, [layers, experts] float, or None."""
        ...


@runtime_checkable
class TrainableModel(Protocol):
    """What an `nn.Module` needs besides being one."""

    # Any: the loop passes a batch through without looking inside, and each model names its own type.
    def loss(self, batch: Any) -> LossOutput:
        """Loss and metrics of one micro-batch."""
        ...

    def update_routers(self, expert_load: Tensor) -> None:
        """Adapt routers to the load [layers, experts] of one whole optimizer step, just before it."""
        ...

    def parameter_kinds(self) -> Mapping[str, ParameterKind]:
        """Kind of every parameter by its name."""
        ...


BatchSource: TypeAlias = Callable[[int], Iterator[Batch]]
"""Called with the index of the first micro-batch to deliver; the same index gives the same batches."""

Evaluate: TypeAlias = Callable[[nn.Module, int], Mapping[str, float]]
"""Called with the model (in eval mode) and the step; returns metrics."""

BatchMetrics: TypeAlias = Callable[[Any, Any], Mapping[str, Tensor]]
"""Called with a micro-batch and its loss output, of the model's own types; returns scalars to report."""
