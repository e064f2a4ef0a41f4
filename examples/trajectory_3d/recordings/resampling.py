"""A mended recording as pieces of uniform rate, which is what models read.

Nothing is ever interpolated across a gap longer than stated, and nothing is extrapolated. Samples that were
taken at an even rate stay as measured.

Plain interpolation to a lower rate keeps what is faster than half that rate and folds it down (aliasing).
Recordings of positions hold little of that beyond their noise; where it matters, `smooth` with a window of
about one new step takes it away first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array, IntArray
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory

Method: TypeAlias = Literal["linear", "cubic"]
METHODS: tuple[Method, ...] = ("linear", "cubic")
GAP_STEPS = 3.0
_EVEN = 0.01  # of a step: steps that agree so well are one rate, and a sample so near is the point itself
_SMOOTHING_ORDER = 3
_UNEVEN = 3.0  # longest over shortest step that a C2 spline is trusted with


@dataclass(frozen=True)
class UniformPath:
    """A piece of a recording at a uniform rate.

    Attributes:
        points: ``[n, D]``, all columns of the recording, at ``start + i * step``.
        step: seconds.
        start: of the first point, seconds after ``trajectory.start_ns``.
        trajectory: what the piece is of, without its samples: names, unit, frame, track, source and so on.
        measured: ``[n]``: whether a point is a sample as measured; others are interpolated or smoothed.
    """

    points: Float64Array
    step: float
    start: float
    trajectory: Trajectory
    measured: BoolArray

    def __len__(self) -> int:
        return len(self.points)

    @property
    def rate(self) -> float:
        """Points a second."""
        return 1.0 / self.step

    @property
    def times(self) -> Float64Array:
        """Seconds after ``trajectory.start_ns``, ``[n]``."""
        return np.asarray(self.start + self.step * np.arange(len(self.points)), dtype=np.float64)

    def as_trajectory(self) -> Trajectory:
        """The piece as a trajectory, whose times count from the same moment as those of the recording."""
        times = np.round(self.times * NANOSECONDS) / NANOSECONDS
        return replace(self.trajectory, times=times, points=self.points)


def uniform_pieces(
    trajectory: Trajectory,
    *,
    rate: float | None = None,
    longest_gap: float | None = None,
    method: Method = "linear",
    smooth: float | None = None,
    split_at: IntArray | None = None,
) -> list[UniformPath]:
    """Cut a recording at its gaps, and bring each piece to a uniform rate.

    A piece whose steps agree to 1 % (native rate), or whose samples all lie within 1 % of a step of where
    they belong (given rate), keeps its samples as measured. Elsewhere points are interpolated, except where
    a sample lies within 1 % of a step.

    ``cubic`` is a C2 cubic spline, whose error falls with the fourth power of the step, where that is safe:
    steps within a factor of three, and no value of the column equal to the one before. Elsewhere, at values
    held or rounded and stamps that jitter, such a spline overshoots and rings, and the modified Akima
    interpolation takes its place (`scipy.interpolate.Akima1DInterpolator`, ``method="makima"``; H. Akima,
    J. ACM 17, 1970): local, continuous in velocity, flat between repeated values. PCHIP, which never
    overshoots either, would cut off the tops of curves. Columns with missing values are interpolated linearly
    and stay missing next to them. All columns are taken as plain numbers: angles that wrap around and
    quaternions that change sign have no meaning between their samples.

    Args:
        trajectory: with strictly increasing times and finite positions, as `mend` gives it.
        rate: points a second; None for the native rate (`native_step`).
        longest_gap: seconds; a longer step ends a piece. By default three native steps.
        method: of interpolation.
        smooth: window in seconds of a Savitzky-Golay filter of third order (A. Savitzky, M. J. E. Golay,
            Anal. Chem. 36, 1964), applied at the native rate before anything else; off by default. Pieces
            shorter than the window are smoothed over what they have.
        split_at: samples at which a new piece begins, such as `Mended.jumps`.

    Returns:
        Pieces of two points or more, in order; none for a recording of one sample.

    Raises:
        ValueError: times that do not increase, a position that is not finite, or a rate, gap or window that
            is not positive.
    """
    _check(trajectory, rate, longest_gap, smooth, method)
    if len(trajectory) < 2:
        return []
    native = native_step(trajectory.times)
    limit = GAP_STEPS * native if longest_gap is None else longest_gap
    bare = replace(trajectory, times=np.empty(0), points=np.empty((0, trajectory.points.shape[1])))
    step = None if rate is None else 1.0 / rate
    made = []
    for start, end in _pieces(trajectory.times, limit, split_at):
        times, points = trajectory.times[start:end], trajectory.points[start:end]
        piece = _uniform(times, points, native if step is None else step, method, given=step is not None)
        if smooth is not None:
            even = piece if step is None else _uniform(times, points, native, method, given=False)
            smoothed = _smoothed(even.points, even.step, smooth)
            piece = _uniform(even.times, smoothed, step or even.step, method, given=step is not None)
            piece = replace(piece, measured=np.zeros(len(piece.points), dtype=np.bool_))
        if len(piece.points) > 1:
            made.append(UniformPath(piece.points, piece.step, piece.start, bare, piece.measured))
    return made


def native_step(times: Float64Array) -> float:
    """Seconds between samples as the recorder meant them.

    The median step, refined: the mean of the steps within a quarter of it, since stamps rounded to
    milliseconds say 8, 8 and 9 ms for 120 samples a second.

    Args:
        times: strictly increasing, ``[N]`` with N of 2 or more.
    """
    steps = np.diff(times)
    median = float(np.percentile(steps, 50, method="lower"))  # a step that occurs
    mean = float(steps[np.abs(steps - median) <= 0.25 * median].mean())
    return median if abs(mean - median) <= 1e-9 * median else mean


@dataclass(frozen=True)
class _Piece:
    points: Float64Array
    step: float
    start: float
    measured: BoolArray

    @property
    def times(self) -> Float64Array:
        return np.asarray(self.start + self.step * np.arange(len(self.points)), dtype=np.float64)


def _check(
    trajectory: Trajectory, rate: float | None, gap: float | None, smooth: float | None, method: str
) -> None:
    for name, value in (("rate", rate), ("longest_gap", gap), ("smooth", smooth)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name} must be positive, got {value}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not (np.diff(trajectory.times) > 0).all():
        raise ValueError(f"{trajectory.label}: times must increase from sample to sample; mend it first")
    if not np.isfinite(trajectory.position).all():
        raise ValueError(f"{trajectory.label}: some positions are not finite; mend it first")


def _pieces(times: Float64Array, limit: float, split_at: IntArray | None) -> list[tuple[int, int]]:
    ends = np.flatnonzero(np.diff(times) > limit * (1 + 1e-6)) + 1
    asked = np.zeros(0, dtype=np.int64) if split_at is None else np.asarray(split_at, dtype=np.int64)
    borders = np.unique(np.concatenate([[0], ends, asked, [len(times)]])).tolist()
    return [(start, end) for start, end in pairwise(borders) if end - start > 1]


def _uniform(
    times: Float64Array, points: Float64Array, step: float, method: Method, *, given: bool
) -> _Piece:
    """One piece without gaps at a uniform step: the given one, or its own where that agrees with `step`."""
    if not given:
        own = float(times[-1] - times[0]) / (len(times) - 1)
        if (np.abs(np.diff(times) - own) <= _EVEN * own).all() and abs(own - step) <= _EVEN * step:
            close = abs(own - step) * len(times) <= 1e-6 * step  # differs by roundings of the stamps only
            return _Piece(
                points, step if close else own, float(times[0]), np.ones(len(times), dtype=np.bool_)
            )
    count = int(np.floor((times[-1] - times[0]) / step + _EVEN)) + 1
    wanted = np.minimum(times[0] + step * np.arange(count), times[-1])
    nearest = _nearest(times, wanted)
    measured = np.abs(times[nearest] - wanted) <= _EVEN * step
    values = points[nearest].copy()
    if not measured.all():
        values[~measured] = _interpolated(times, points, wanted[~measured], method)
    return _Piece(values, step, float(times[0]), measured)


def _nearest(times: Float64Array, wanted: Float64Array) -> IntArray:
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    return after - (wanted - times[after - 1] < times[after] - wanted)


def _interpolated(
    times: Float64Array, points: Float64Array, wanted: Float64Array, method: Method
) -> Float64Array:
    """Points at the wanted times; differences from the first, so that far origins cost no digits."""
    base = np.where(np.isfinite(points[0]), points[0], 0.0)
    moved = points - base
    clock = times - times[0]
    made = np.column_stack([np.interp(wanted - times[0], clock, column) for column in moved.T])
    if method == "cubic" and len(times) > 2:
        whole = np.isfinite(moved).all(axis=0)
        steps = np.diff(times)
        unit = float(clock[-1]) / len(steps)  # keeps the spline's equations well conditioned
        safe = whole & (steps.max() <= _UNEVEN * steps.min()) & (np.diff(moved, axis=0) != 0).all(axis=0)
        if safe.any():
            made[:, safe] = _spline(clock / unit, moved[:, safe], (wanted - times[0]) / unit)
        if (whole & ~safe).any():
            made[:, whole & ~safe] = _akima(clock, moved[:, whole & ~safe], wanted - times[0])
    return made + base


def _spline(times: Float64Array, columns: Float64Array, wanted: Float64Array) -> Float64Array:
    from scipy.interpolate import CubicSpline  # noqa: PLC0415

    return np.asarray(CubicSpline(times, columns)(wanted), dtype=np.float64)


def _akima(times: Float64Array, columns: Float64Array, wanted: Float64Array) -> Float64Array:
    from scipy.interpolate import Akima1DInterpolator  # noqa: PLC0415

    return np.asarray(Akima1DInterpolator(times, columns, method="makima")(wanted), dtype=np.float64)


def _smoothed(points: Float64Array, step: float, window: float) -> Float64Array:
    from scipy.signal import savgol_filter  # noqa: PLC0415

    length = min(2 * round(0.5 * window / step) + 1, len(points) - (len(points) + 1) % 2)
    if length <= _SMOOTHING_ORDER:
        return points
    base = np.where(np.isfinite(points[0]), points[0], 0.0)
    whole = np.isfinite(points).all(axis=0)
    made = points.copy()
    made[:, whole] = savgol_filter((points - base)[:, whole], length, _SMOOTHING_ORDER, axis=0) + base[whole]
    return made
