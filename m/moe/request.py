"""What is asked for when a path is to be continued, read and checked. Imports no torch."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from m.arrays import Array
from m.moe.config import ModelConfig

if TYPE_CHECKING:
    from m.moe.model import MoESequenceRegressor


LEAST_POINTS = 64  # that what a forecast is made from may grow to, however short its context was
QUANTILE_PATHS = 100  # drawn for a quantile that has no closed form


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

    points: Array
    lengths: NDArray[np.int64]
    anchored: NDArray[np.int64]
    batched: bool
    horizon: int
    temperature: float = 0.0
    num_samples: int | None = None
    seed: int | None = None

    @classmethod
    def read(
        cls, model: MoESequenceRegressor, context: Any, horizon: int, **options: Unpack[ForecastOptions]
    ) -> ForecastRequest:
        """Read the arguments of `MoESequenceRegressor.forecast`, which says what they mean.

        Raises:
            ValueError: what is asked for is malformed, or the model cannot do it.
        """
        request = cls.of(model.config, context, horizon, **options)
        acausal = [type(router).__name__ for router in model.routers() if not router.causal]
        if acausal:
            raise ValueError(
                f"{acausal[0]} routes a token by other tokens (causal = False), so this model cannot "
                f"generate; train with a causal router, e.g. router.kind: topk"
            )
        return request

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        context: Any,
        horizon: int,
        *,
        temperature: float = 0.0,
        num_samples: int | None = None,
        lengths: Iterable[int] | None = None,
        seed: int | None = None,
        anchor_points: int | None = None,
    ) -> ForecastRequest:
        """The same for a model of which only the architecture is at hand; its router is taken for causal.

        Raises:
            ValueError: what is asked for is malformed, or such a model cannot do it.
        """
        points, batched = _read_context(context, config.input_dim)
        valid = _read_lengths(lengths, points)
        _check_finite(points, valid)
        horizon = _whole("horizon", horizon)
        num_samples = None if num_samples is None else _whole("num_samples", num_samples)
        _check_request(config, horizon, temperature, num_samples)
        anchored = _read_anchored(anchor_points, valid)
        return cls(points, valid, anchored, batched, horizon, temperature, num_samples, _read_seed(seed))

    def arrange(self, paths: Any) -> Array:
        """Results ``[B, ...]``, tensor or array, without the batch axis when the context had none."""
        held = paths.cpu().numpy() if hasattr(paths, "cpu") else paths
        result: Array = held.astype(np.float64, copy=False)
        return result if self.batched else result[0]


def at_least_one(n: int) -> int:
    """The number itself.

    Raises:
        ValueError: it is below 1.
    """
    if n < 1:
        raise ValueError(f"the number of samples must be at least 1, got {n}")
    return n


def _read_context(context: Any, channels: int) -> tuple[Array, bool]:
    """Contexts as float64 ``[B, T, D]``, and whether the caller's had a batch axis."""
    try:
        array = context.detach().cpu().double().numpy() if hasattr(context, "detach") else context
        points = np.ascontiguousarray(array, dtype=np.float64)  # as tensors must be that share its memory
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


def _check_finite(points: Array, lengths: NDArray[np.int64]) -> None:
    """Refuse values that are not finite, except in padding."""
    if np.isfinite(points).all():
        return
    valid = np.arange(points.shape[1]) < lengths[:, None]
    broken = np.argwhere(~np.isfinite(points) & valid[..., None])
    if len(broken):
        row, time, channel = broken[0].tolist()
        raise ValueError(
            f"context holds {len(broken)} values that are not finite, the first in path {row}, point "
            f"{time}, channel {channel}; remove or fill them"
        )


def _read_lengths(lengths: Iterable[int] | None, points: Array) -> NDArray[np.int64]:
    batch, length, _ = points.shape
    if lengths is None:
        return np.full(batch, length, dtype=np.int64)
    given = np.array(list(lengths), dtype=np.int64)
    if given.shape != (batch,) or bool((given < 1).any() or (given > length).any()):
        raise ValueError(f"lengths must be {batch} numbers from 1 to {length}, got {given.tolist()}")
    return given


def _read_anchored(anchor_points: int | None, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many points each sequence is normalised by."""
    if anchor_points is None:
        return lengths
    count = _whole("anchor_points", anchor_points)
    if count < 1:
        raise ValueError(f"anchor_points must be at least 1, got {count}")
    return np.minimum(lengths, count)


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


def _check_request(config: ModelConfig, horizon: int, temperature: float, num_samples: int | None) -> None:
    steps = config.head.prediction_steps
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
