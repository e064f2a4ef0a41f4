"""When points were observed, and when forecast ones will be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from m.inference_server.errors import bad_request
from m.moe.request import Array

_UNEVEN = 0.01  # share of a step by which times may miss the even grid


@dataclass(frozen=True)
class Clock:
    """An even grid of times.

    Attributes:
        last: time of each context's last point, ``[B]``, or ``[]`` for one without a batch axis.
        step: between points, of the same shape.
        resampled: whether the points were interpolated onto the grid.
    """

    last: Array
    step: Array
    resampled: bool = False

    def ahead(self, horizon: int) -> Array:
        """Times of the forecast's points, ``[B, H]`` or ``[H]``."""
        times: Array = self.last[..., None] + self.step[..., None] * np.arange(1, horizon + 1)
        return times


def read_clock(
    points: Array, *, dt: float | None, timestamps: Array | None, resample: bool
) -> tuple[Array, Clock | None]:
    """Bring points onto an even grid of times; a model takes its points to be evenly spaced.

    Args:
        points: ``[T, D]`` or ``[B, T, D]``.
        dt: seconds between points; times then count from the first one.
        timestamps: seconds of each point, ``[T]`` for all contexts or ``[B, T]``.
        resample: interpolate (cubic spline, to the median step, ending with the last point) where the times
            are uneven, instead of refusing them.

    Returns:
        The points, interpolated where needed, and their clock; None when nothing is known of times.

    Raises:
        RequestError: 400; times that do not fit the points or do not increase, or uneven ones.
    """
    if timestamps is None:
        if dt is None:
            return points, None
        if not (dt > 0 and np.isfinite(dt)):
            raise bad_request(f"dt must be a positive number of seconds, got {dt}")
        batch = points.shape[:-2]
        return points, Clock(np.full(batch, dt * (points.shape[-2] - 1)), np.full(batch, dt))
    if dt is not None:
        raise bad_request("give dt or timestamps, not both")
    if timestamps.shape not in (points.shape[-2:-1], points.shape[:-1]):
        raise bad_request(
            f"timestamps must be [T] or [B, T] like the points {list(points.shape)}, "
            f"got {list(timestamps.shape)}"
        )
    times = np.broadcast_to(timestamps, points.shape[:-1])
    steps = np.diff(times, axis=-1)
    if steps.shape[-1] == 0:
        raise bad_request("timestamps of a single point tell no step; give dt instead")
    if not (np.isfinite(times).all() and (steps > 0).all()):
        raise bad_request("timestamps must be finite and increase from point to point")
    step: Array = np.median(steps, axis=-1)
    grid = times[..., -1:] + step[..., None] * np.arange(1 - times.shape[-1], 1)
    even = bool((np.abs(times - grid) <= _UNEVEN * step[..., None]).all())
    clock = Clock(np.asarray(times[..., -1]), np.asarray(step), resampled=not even)
    if even:
        return points, clock
    if not resample:
        raise bad_request(
            "timestamps are uneven by more than 1 % of a step, and the model takes points to be evenly "
            "spaced; set resample to interpolate them"
        )
    return _resampled(points, times, step), clock


def _resampled(points: Array, times: Array, step: Array) -> Array:
    """Every context interpolated onto its own grid; each keeps as many points as the shortest one has."""
    from scipy.interpolate import CubicSpline  # noqa: PLC0415  (half a second, for those who need it)

    flat_points = points.reshape(-1, *points.shape[-2:])
    flat_times, flat_step = times.reshape(-1, times.shape[-1]), step.reshape(-1)
    spans = flat_times[:, -1] - flat_times[:, 0]
    count = int(np.floor(spans / flat_step + 1e-9).min()) + 1
    count = min(count, points.shape[-2])
    lags = np.arange(1 - count, 1)
    paths = [
        CubicSpline(time, path)(time[-1] + pace * lags)
        for path, time, pace in zip(flat_points, flat_times, flat_step, strict=True)
    ]
    result: Array = np.stack(paths).reshape(*points.shape[:-2], count, points.shape[-1])
    return result
