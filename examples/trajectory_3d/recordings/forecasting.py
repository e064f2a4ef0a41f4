"""Forecasts of recordings: the continuation of each track, in the file's own units, rate and frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.forecasters import Forecaster, PathForecast
from examples.trajectory_3d.recordings.findings import Finding
from examples.trajectory_3d.recordings.mending import MendOptions, mend
from examples.trajectory_3d.recordings.resampling import Method, UniformPath, uniform_pieces
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory

LEAST_CONTEXT = 8  # points: fewer say little of where a path goes
MOST_CONTEXT = 512
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class ForecastSettings:
    """How recordings become contexts.

    Attributes:
        horizon: points to forecast.
        context: points to forecast from, at most.
        rate: of these points, a second; None for each recording's own.
        longest_gap: seconds across which points may be interpolated; None for three native steps.
        method: of interpolation where samples are not evenly spaced.
        drop_outliers: leave out samples that jump away and come back.

    Raises:
        ValueError: a horizon or context without points.
    """

    horizon: int = 16
    context: int = 64
    rate: float | None = None
    longest_gap: float | None = None
    method: Method = "linear"
    drop_outliers: bool = False

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise ValueError(f"the horizon must be at least 1 point, got {self.horizon}")
        if not LEAST_CONTEXT <= self.context <= MOST_CONTEXT:
            raise ValueError(
                f"the context must have {LEAST_CONTEXT} to {MOST_CONTEXT} points, got {self.context}"
            )

    def pieces(self, trajectory: Trajectory) -> tuple[list[UniformPath], tuple[Finding, ...]]:
        """Uniform pieces of a recording in order, cut where it jumps too, and what was found odd in it."""
        mended = mend(trajectory, MendOptions(drop_outliers=self.drop_outliers))
        made = uniform_pieces(
            mended.trajectory,
            rate=self.rate,
            longest_gap=self.longest_gap,
            method=self.method,
            split_at=mended.jumps,
        )
        return made, mended.findings


@dataclass(frozen=True)
class TrackForecast:
    """The continuation of one track.

    Attributes:
        context: points it was made from, the last of the recording; of all recorded columns.
        forecast: of the position, B = 1, three coordinates; those that the recording lacks are of no meaning.
        findings: what was odd in the recording.
    """

    context: UniformPath
    forecast: PathForecast
    findings: tuple[Finding, ...]

    @property
    def trajectory(self) -> Trajectory:
        """What the track is, without its samples."""
        return self.context.trajectory

    @property
    def horizon(self) -> int:
        """Points forecast."""
        return int(self.forecast.mean.shape[1])

    @property
    def dimensions(self) -> int:
        """Coordinates of the position."""
        return self.trajectory.dimensions

    def times(self) -> Float64Array:
        """Of the forecast points, seconds after ``trajectory.start_ns``, whole nanoseconds, ``[H]``."""
        steps = len(self.context) - 1 + np.arange(1, self.horizon + 1)
        times = self.context.start + self.context.step * steps
        return np.asarray(np.round(times * NANOSECONDS) / NANOSECONDS, dtype=np.float64)

    def stamps_ns(self) -> IntArray:
        """The same, nanoseconds since the clock's zero."""
        offsets = np.rint(self.times() * NANOSECONDS).astype(np.int64)
        return np.asarray(self.trajectory.start_ns + offsets)

    def centre(self) -> Float64Array:
        """``[H, dimensions]``, in the recording's unit."""
        return self.forecast.mean[0, :, : self.dimensions].astype(np.float64)

    def quantiles(self) -> dict[float, Float64Array]:
        """Marginal quantiles by level, each ``[H, dimensions]``."""
        stated = self.forecast.quantiles or {}
        return {level: values[0, :, : self.dimensions].astype(np.float64) for level, values in stated.items()}

    def samples(self) -> Float64Array | None:
        """Paths drawn, ``[S, H, dimensions]``; None where none were asked for."""
        drawn = self.forecast.samples
        return None if drawn is None else drawn[0, ..., : self.dimensions].astype(np.float64)


@dataclass(frozen=True)
class Unforecast:
    """A track that has no forecast, and why."""

    trajectory: Trajectory
    reason: str
    findings: tuple[Finding, ...]


def forecast_tracks(
    trajectories: Sequence[Trajectory], forecaster: Forecaster, settings: ForecastSettings
) -> tuple[list[TrackForecast], list[Unforecast]]:
    """Continue every track after its last sample.

    Args:
        trajectories: as recorded.
        forecaster: of paths in space; tracks of one or two coordinates are given to it as paths in space.
        settings: how contexts are made.

    Returns:
        Forecasts in the tracks' order, and the tracks without one.
    """
    ready: list[tuple[UniformPath, tuple[Finding, ...]]] = []
    missed = []
    for trajectory in trajectories:
        pieces, findings = settings.pieces(trajectory)
        last = pieces[-1] if pieces else None
        if last is None or len(last) < LEAST_CONTEXT:
            count = 0 if last is None else len(last)
            reason = (
                f"{count} points of even rate at its end, {LEAST_CONTEXT} are needed; a longer gap may be "
                "bridged with --longest-gap, a lower rate with --resample"
            )
            missed.append(Unforecast(trajectory, reason, findings))
            continue
        ready.append((last_points(last, settings.context), findings))
    forecasts: dict[int, PathForecast] = {}
    for group in _alike([len(path) for path, _ in ready]):
        context = np.stack([in_space(ready[n][0]) for n in group])
        found = forecaster.forecast(context, settings.horizon)
        forecasts |= {n: found.select([place]) for place, n in enumerate(group)}
    made = [TrackForecast(path, forecasts[n], findings) for n, (path, findings) in enumerate(ready)]
    return made, missed


def last_points(path: UniformPath, most: int) -> UniformPath:
    """The last points of a piece, so many at most."""
    first = max(0, len(path) - most)
    return UniformPath(
        path.points[first:],
        path.step,
        path.start + path.step * first,
        path.trajectory,
        path.measured[first:],
    )


def in_space(path: UniformPath) -> Float64Array:
    """Positions ``[n, 3]``: coordinates that the recording lacks are zero."""
    dimensions = path.trajectory.dimensions
    points = np.zeros((len(path), 3))
    points[:, :dimensions] = path.points[:, :dimensions]
    return points


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers of contexts of equal length, in groups small enough to forecast at once."""
    groups: dict[int, list[int]] = {}
    for number, length in enumerate(lengths):
        groups.setdefault(length, []).append(number)
    return [
        group[first : first + _BATCH] for group in groups.values() for first in range(0, len(group), _BATCH)
    ]
