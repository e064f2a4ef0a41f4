"""What all peers share: instance normalisation, the loss, and the face that the training step asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from m.moe import LossOutput, SequenceBatch
from m.training import ParameterKind

PeerLoss: TypeAlias = Literal["distance", "huber", "log_distance"]

_HUBER_DELTA = 0.1  # context standard deviations: beyond it an error counts by its size alone
_LOG_FLOOR = 0.003  # context standard deviations: errors far below are not rewarded further


def distance_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean Euclidean distance of points ``[B, H, 3]``."""
    distances: Tensor = torch.linalg.vector_norm(predicted - target, dim=-1)
    return distances.mean()


def huber_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean Huber loss of coordinates ``[B, H, 3]`` over its delta: far out, the absolute error."""
    return nn.functional.huber_loss(predicted, target, delta=_HUBER_DELTA) / _HUBER_DELTA


def log_distance_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean over windows of log(mean distance over the horizon + floor): the logarithm of what gn averages."""
    distances: Tensor = torch.linalg.vector_norm(predicted - target, dim=-1)  # [B, H]
    return (distances.mean(1) + _LOG_FLOOR).log().mean()


LOSSES: dict[PeerLoss, Callable[[Tensor, Tensor], Tensor]] = {
    "distance": distance_loss,
    "huber": huber_loss,
    "log_distance": log_distance_loss,
}


class Peer(nn.Module):
    """A network between instance normalisation and its inverse, trainable by `m.training.step`.

    A context is moved to its last point and divided by one standard deviation for the three axes; a
    context at rest is forecast to stay.

    Args:
        network: normalised context ``[B, L, 3]`` to normalised offsets ``[B, H, 3]`` from the last point.
        loss: on the normalised offsets.
    """

    def __init__(self, network: nn.Module, loss: PeerLoss) -> None:
        super().__init__()
        self.network = network
        self._loss = LOSSES[loss]

    def forward(self, context: Tensor) -> Tensor:
        """Continue ``[B, L, 3]`` to ``[B, H, 3]``, metres both."""
        last, scale = normalisation(context)
        return self._normalised(context, last, scale).to(context) * scale + last

    def loss(self, batch: SequenceBatch) -> LossOutput:
        """Loss of the forecasts from the whole contexts, in context standard deviations."""
        context = batch.inputs
        target = batch.path[:, context.shape[1] :]
        last, scale = normalisation(context)
        predicted = self._normalised(context, last, scale).float()
        loss = self._loss(predicted, _divide(target - last, scale).to(predicted))
        return LossOutput(loss=loss, forecast=(predicted.to(context) * scale + last).detach(), target=target)

    def update_routers(self, expert_load: Tensor) -> None:
        """A peer has no routers, so no step ever reports a load.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"a peer without experts was given an expert load of {list(expert_load.shape)}")

    def parameter_kinds(self) -> Mapping[str, ParameterKind]:
        """All parameters are of kind "rest"."""
        return {name: "rest" for name, _ in self.named_parameters()}

    def _normalised(self, context: Tensor, last: Tensor, scale: Tensor) -> Tensor:
        # Moved in the context's own type: float64 keeps the digits of a far-off origin.
        offsets: Tensor = self.network(_divide(context - last, scale).float())
        return offsets


def normalisation(context: Tensor) -> tuple[Tensor, Tensor]:
    """Last point ``[B, 1, 3]`` and one standard deviation ``[B, 1, 1]`` of contexts ``[B, L, 3]``."""
    last = context[:, -1:]
    variance = (context - last).var(1, correction=0).mean(-1)  # [B]
    return last, variance.sqrt()[:, None, None]


def _divide(offsets: Tensor, scale: Tensor) -> Tensor:
    return offsets / torch.where(scale > 0, scale, 1.0)
