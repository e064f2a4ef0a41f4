"""When points were observed, and when forecast ones will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from m.arrays import Array
from m.inference_server.errors import RequestError, bad_request

_UNEVEN = 0.01  # share of a step by which times may miss the even grid


@dataclass(frozen=True)
class Clock:
    """An even grid of times.

    Attributes:
        last: time of each context's last point, ``[B]``, or ``[]`` for one without a batch axis.
        step: between points, of the same shape.
        resampled: whether the points were interpolated onto the grid.
        counted: whether times count from the first point, because only the step between points was told.
    """

    last: Array
    step: Array
    resampled: bool = False
    counted: bool = False

    def check(self, horizon: int) -> None:
        """Refuse times of a forecast that no number says.

        Raises:
            RequestError: 400.
        """
        with np.errstate(over="ignore"):
            end = self.last + self.step * float(horizon)
        if not np.isfinite(end).all():
            raise bad_request("the times of the forecast go beyond what numbers hold; send smaller ones")

    def after(self, points: int) -> Clock:
        """The clock of a path of so many points, of which a request had only the last ones."""
        with np.errstate(over="ignore"):  # told by `check`
            return replace(self, last=self.step * (points - 1.0)) if self.counted else self

    def ahead(self, horizon: int) -> Array:
        """Times of the forecast's points, ``[B, H]`` or ``[H]``."""
        times: Array = self.last[..., None] + self.step[..., None] * np.arange(1, horizon + 1)
        return times


def read_clock(
    points: Array,
    *,
    dt: float | None,
    timestamps: Array | None,
    resample: bool,
    lengths: Sequence[int] | None = None,
) -> tuple[Array, Clock | None]:
    """Bring points onto an even grid of times; a model takes its points to be evenly spaced.

    Args:
        points: ``[T, D]`` or ``[B, T, D]``.
        dt: seconds between points; times then count from the first one. Beside the time of a single point,
            the step that this alone does not tell.
        timestamps: seconds of each point, ``[T]`` for all contexts or ``[B, T]``.
        resample: interpolate (cubic spline, to the median step, ending with the last point) where the times
            are uneven, instead of refusing them.
        lengths: valid points of each context, where shorter ones are padded.

    Returns:
        The points, interpolated where needed, and their clock; None when nothing is known of times.

    Raises:
        RequestError: 400; times that do not fit the points or do not increase, or uneven ones.
    """
    if points.ndim < 2:
        return points, None  # no contexts, which whoever reads them says
    if dt is not None and not (dt > 0 and np.isfinite(dt)):
        raise bad_request(f"dt must be a positive number of seconds, got {dt}")
    if timestamps is not None:
        if dt is not None:
            return points, _of_one_time(points, timestamps, dt)
        return _by_timestamps(points, timestamps, resample=resample, lengths=lengths)
    if dt is None:
        return points, None
    with np.errstate(over="ignore"):  # told when the forecast's times are checked
        last = np.asarray(dt * (_counts(points, lengths) - 1))
    return points, Clock(last, np.full_like(last, dt), counted=True)


def _of_one_time(points: Array, timestamps: Array, dt: float) -> Clock:
    """The clock of a single point, as sensors send them."""
    if points.shape[-2] != 1 or timestamps.shape not in ((1,), points.shape[:-1]):
        raise bad_request("give dt or timestamps; both only with the one time of a single point")
    if not np.isfinite(timestamps).all():
        raise bad_request("timestamps must be finite")
    last = np.broadcast_to(timestamps, points.shape[:-1])[..., 0]
    return Clock(last, np.full_like(last, dt))


def _by_timestamps(
    points: Array, timestamps: Array, *, resample: bool, lengths: Sequence[int] | None
) -> tuple[Array, Clock]:
    """The points on an even grid, and that grid."""
    if timestamps.shape not in (points.shape[-2:-1], points.shape[:-1]):
        raise bad_request(
            f"timestamps must be [T] or [B, T] like the points {list(points.shape)}, "
            f"got {list(timestamps.shape)}"
        )
    if bool((_counts(points, lengths) < points.shape[-2]).any()):
        raise bad_request(
            "timestamps do not go with padded contexts; send contexts of one length at a time, or give dt"
        )
    times = np.broadcast_to(timestamps, points.shape[:-1])
    step = _median_step(times)
    with np.errstate(over="ignore"):
        grid = times[..., -1:] + step[..., None] * np.arange(1 - times.shape[-1], 1)
    even = bool((np.abs(times - grid) <= _UNEVEN * step[..., None]).all())
    clock = Clock(np.asarray(times[..., -1]), step, resampled=not even)
    if even:
        return points, clock
    if not resample:
        raise bad_request(
            "timestamps are uneven by more than 1 % of a step, and the model takes points to be evenly "
            "spaced; set resample to interpolate them"
        )
    return _resampled(points, times, step), clock


def _median_step(times: Array) -> Array:
    """Of the times ``[T]`` or ``[B, T]`` of contexts.

    Raises:
        RequestError: 400; they do not increase, or there is only one.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        steps, spans = np.diff(times, axis=-1), times[..., -1] - times[..., 0]
    if steps.shape[-1] == 0:
        raise bad_request("timestamps of a single point tell no step; give dt beside them")
    if not (np.isfinite(times).all() and np.isfinite(spans).all() and (steps > 0).all()):
        raise bad_request("timestamps must be finite and increase from point to point")
    return np.asarray(np.median(steps, axis=-1))


def _counts(points: Array, lengths: Sequence[int] | None) -> Array:
    """Valid points of each context, ``[B]`` or ``[]``."""
    batch = points.shape[:-2]
    if lengths is None or len(lengths) != np.prod(batch, dtype=int):  # a wrong number is refused later
        return np.full(batch, float(points.shape[-2]))
    return np.reshape(np.asarray(lengths, dtype=np.float64), batch)


def _resampled(points: Array, times: Array, step: Array) -> Array:
    """Every context interpolated onto its own grid; each keeps as many points as the shortest one has.

    Raises:
        RequestError: 400; points or times so far apart, or so close, that arithmetic overflows.
    """
    from scipy.interpolate import CubicSpline  # noqa: PLC0415  (half a second, for those who need it)

    flat_points = points.reshape(-1, *points.shape[-2:])
    flat_times, flat_step = times.reshape(-1, times.shape[-1]), step.reshape(-1)
    spans = flat_times[:, -1] - flat_times[:, 0]
    with np.errstate(all="ignore"):
        whole = np.minimum(np.floor(spans / flat_step + 1e-9), points.shape[-2] - 1)
        lags = np.arange(-int(whole.min()), 1)
        try:
            paths = [
                CubicSpline(time, path)(time[-1] + pace * lags)
                for path, time, pace in zip(flat_points, flat_times, flat_step, strict=True)
            ]
        except ValueError as error:  # of numbers that are not finite, the points' or of their slopes
            raise _cannot_interpolate() from error
    result: Array = np.stack(paths).reshape(*points.shape[:-2], len(lags), points.shape[-1])
    if not np.isfinite(result).all():
        raise _cannot_interpolate()
    return result


def _cannot_interpolate() -> RequestError:
    return bad_request(
        "the points cannot be interpolated: they must be finite, and no two so far apart or so close in time "
        "that their velocity goes beyond what numbers hold"
    )
