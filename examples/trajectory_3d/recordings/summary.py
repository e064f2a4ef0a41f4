"""What is in a track: how much, how fast, how even, how noisy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.findings import Finding
from examples.trajectory_3d.recordings.mending import Mended, gap_limit, mend
from examples.trajectory_3d.recordings.noise import noise_of
from examples.trajectory_3d.recordings.resampling import GAP_STEPS
from examples.trajectory_3d.recordings.rounding import resolution
from examples.trajectory_3d.recordings.trajectory import Clock, Trajectory


@dataclass(frozen=True, kw_only=True)
class TrackSummary:
    """One track in numbers; lengths in its own unit, times in seconds, NaN where there is too little of it.

    Attributes:
        source: path of the file.
        format: of the file.
        track: who moved; empty where the file holds one thing.
        names: of all columns.
        unit: of the position.
        frame: axes of the position.
        clock: what the stamps count.
        start_ns: of the first sample, nanoseconds since the clock's zero.
        samples: rows as recorded.
        usable: samples left after mending: with a position, and with a stamp of their own.
        duration: from first to last.
        step: median step.
        jitter: half the range of the middle nine tenths of the steps, gaps aside, over the median step.
        low: least value of each coordinate.
        high: greatest value of each coordinate.
        gaps: steps longer than three median steps.
        longest_gap: the longest of them; 0 where there is none.
        speed: median, 99th percentile and greatest speed between samples, units a second.
        noise: standard deviation of each coordinate (see `noise.py`).
        resolution: step of rounding of each coordinate; None where there is none.
        findings: what is odd.
        notes: what the reader found odd, in words.
        examined: samples that were looked at for noise, rounding, outliers and jumps; all, unless the file
            was too large for memory.
    """

    source: str
    format: str
    track: str
    names: tuple[str, ...]
    unit: str
    frame: str
    clock: Clock
    start_ns: int
    samples: int
    usable: int
    duration: float
    step: float
    jitter: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    gaps: int
    longest_gap: float
    speed: tuple[float, float, float]
    noise: tuple[float, ...]
    resolution: tuple[float | None, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    examined: int

    @property
    def rate(self) -> float:
        """Samples a second: one over the median step."""
        return 1.0 / self.step

    @property
    def extent(self) -> tuple[float, ...]:
        """Range of each coordinate."""
        return tuple(high - low for low, high in zip(self.low, self.high, strict=True))

    @property
    def total_noise(self) -> float:
        """Root of the summed squares of the noise of the coordinates."""
        return float(np.sqrt(np.sum(np.square(self.noise))))


def summarise(trajectory: Trajectory) -> TrackSummary:
    """Numbers of a track as read."""
    return summarise_mended(trajectory, mend(trajectory))


def summarise_mended(trajectory: Trajectory, mended: Mended) -> TrackSummary:
    """Numbers of a track that was mended already.

    Args:
        trajectory: as read.
        mended: what `mend` made of it.
    """
    track = mended.trajectory
    steps = np.diff(track.times)
    lengths = np.linalg.norm(np.diff(track.position, axis=0), axis=1)
    step = float(np.median(steps)) if len(steps) else float("nan")
    gap = gap_limit(track.times, GAP_STEPS)
    gaps = steps[steps > gap]
    return TrackSummary(
        source=trajectory.source,
        format=trajectory.format,
        track=trajectory.track,
        names=trajectory.names,
        unit=trajectory.unit,
        frame=trajectory.frame,
        clock=trajectory.clock,
        start_ns=track.start_ns,
        samples=len(trajectory),
        usable=len(track),
        duration=float(track.times[-1]) if len(track) else 0.0,
        step=step,
        jitter=_jitter(steps[steps <= gap], step),
        low=tuple(track.position.min(axis=0, initial=np.inf).tolist()),
        high=tuple(track.position.max(axis=0, initial=-np.inf).tolist()),
        gaps=len(gaps),
        longest_gap=float(gaps.max(initial=0.0)),
        speed=speeds_of(lengths / steps),
        noise=tuple(noise_of(track.times, track.position, gap).tolist()),
        resolution=resolution(track),
        findings=mended.findings,
        notes=trajectory.notes,
        examined=len(trajectory),
    )


def speeds_of(speeds: Float64Array) -> tuple[float, float, float]:
    """Median, 99th percentile and greatest of speeds ``[n]``; NaN where there are none."""
    if not len(speeds):
        return (float("nan"),) * 3
    median, fast, most = np.quantile(speeds, [0.5, 0.99, 1.0]).tolist()
    return median, fast, most


def _jitter(steps: Float64Array, step: float) -> float:
    if not len(steps):
        return float("nan")
    low, high = np.quantile(steps, [0.05, 0.95]).tolist()
    return float((high - low) / (2 * step))
