"""What is asked for when a path is to be continued, read and checked."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from m.moe.model import MoESequenceRegressor

Array = NDArray[np.float64]


class ForecastOptions(TypedDict, total=False):
    """What `MoESequenceRegressor.forecast` takes beside context and horizon; it says what each means."""

    temperature: float
    num_samples: int | None
    lengths: Iterable[int] | None
    seed: int | None
    anchor_points: int | None


@dataclass(frozen=True)
class ForecastRequest:
    """Contexts to continue, and how. `read` checks what users hand in.

    Attributes:
        points: contexts ``[B, T, D]``, float64, right-padded.
        lengths: valid points of each, ``[B]``.
        anchored: points of each that it is normalised by, the first ones, ``[B]``.
        batched: whether the user's context had a batch axis.
        horizon: points to predict.
        temperature: of the forecast path; 0 is the centre.
        num_samples: paths to draw per context, or None.
        seed: of what is drawn, or None.
    """

    points: Tensor
    lengths: Tensor
    anchored: Tensor
    batched: bool
    horizon: int
    temperature: float = 0.0
    num_samples: int | None = None
    seed: int | None = None

    @classmethod
    def read(
        cls,
        model: MoESequenceRegressor,
        context: Any,
        horizon: int,
        *,
        temperature: float = 0.0,
        num_samples: int | None = None,
        lengths: Iterable[int] | None = None,
        seed: int | None = None,
        anchor_points: int | None = None,
    ) -> ForecastRequest:
        """Read the arguments of `MoESequenceRegressor.forecast`, which says what they mean.

        Raises:
            ValueError: what is asked for is malformed, or the model cannot do it.
        """
        points, batched = _read_context(context, model.config.input_dim)
        valid = _read_lengths(lengths, points)
        _check_finite(points, valid)
        horizon = _whole("horizon", horizon)
        num_samples = None if num_samples is None else _whole("num_samples", num_samples)
        _check_request(model, horizon, temperature, num_samples)
        anchored = _read_anchored(anchor_points, valid)
        return cls(points, valid, anchored, batched, horizon, temperature, num_samples, _read_seed(seed))

    def arrange(self, paths: Tensor) -> Array:
        """Results ``[B, ...]`` as an array, without the batch axis when the context had none."""
        result: Array = paths.cpu().numpy().astype(np.float64, copy=False)
        return result if self.batched else result[0]


def at_least_one(n: int) -> int:
    """The number itself.

    Raises:
        ValueError: it is below 1.
    """
    if n < 1:
        raise ValueError(f"the number of samples must be at least 1, got {n}")
    return n


def _read_context(context: Any, channels: int) -> tuple[Tensor, bool]:
    """Contexts as float64 ``[B, T, D]``, and whether the caller's had a batch axis."""
    try:
        array = context.detach().cpu().double().numpy() if isinstance(context, Tensor) else context
        points = torch.as_tensor(np.asarray(array, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"context must be an array of numbers, [T, {channels}] or [B, T, {channels}]: {error}"
        ) from None
    if points.ndim not in (2, 3) or points.shape[-1] != channels or 0 in points.shape:
        raise ValueError(
            f"context must have shape [T, {channels}] or [B, T, {channels}] with at least one point, "
            f"got {list(points.shape)}"
        )
    return (points, True) if points.ndim == 3 else (points[None], False)


def _check_finite(points: Tensor, lengths: Tensor) -> None:
    """Refuse values that are not finite, except in padding."""
    valid = torch.arange(points.shape[1]) < lengths[:, None]
    broken = (~torch.isfinite(points) & valid[..., None]).nonzero()
    if len(broken):
        row, time, channel = broken[0].tolist()
        raise ValueError(
            f"context holds {len(broken)} values that are not finite, the first in path {row}, point "
            f"{time}, channel {channel}; remove or fill them"
        )


def _read_lengths(lengths: Iterable[int] | None, points: Tensor) -> Tensor:
    batch, length, _ = points.shape
    if lengths is None:
        return torch.full((batch,), length, dtype=torch.int64)
    given = torch.as_tensor(list(lengths), dtype=torch.int64)
    if given.shape != (batch,) or bool((given < 1).any()) or bool((given > length).any()):
        raise ValueError(f"lengths must be {batch} numbers from 1 to {length}, got {given.tolist()}")
    return given


def _read_anchored(anchor_points: int | None, lengths: Tensor) -> Tensor:
    """How many points each sequence is normalised by."""
    if anchor_points is None:
        return lengths
    count = _whole("anchor_points", anchor_points)
    if count < 1:
        raise ValueError(f"anchor_points must be at least 1, got {count}")
    return lengths.clamp_max(count)


def _whole(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None


def _read_seed(seed: int | None) -> int | None:
    """A seed that the generators take."""
    if seed is None:
        return None
    number = _whole("seed", seed)
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"seed must lie from -2**63 to 2**64 - 1, got {number}")
    return number


def _check_request(
    model: MoESequenceRegressor, horizon: int, temperature: float, num_samples: int | None
) -> None:
    steps, config = model.config.head.prediction_steps, model.config
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1 point, got {horizon}")
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be 0 or above and finite, got {temperature}")
    if num_samples is not None:
        at_least_one(num_samples)
    if horizon > steps and not config.can_roll_on:
        raise ValueError(
            f"horizon {horizon} needs rolling on from own predictions, but the model predicts "
            f"{config.target_dim} of {config.input_dim} input channels; ask for at most {steps} points"
        )
    acausal = [type(router).__name__ for router in model.routers() if not router.causal]
    if acausal:
        raise ValueError(
            f"{acausal[0]} routes a token by other tokens (causal = False), so this model cannot "
            f"generate; train with a causal router, e.g. router.kind: topk"
        )
