"""A path as it was recorded: the one type that every reader gives and every writer takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.units import LENGTH_UNITS

__all__ = [
    "CLOCKS",
    "LENGTH_UNITS",
    "NANOSECONDS",
    "Clock",
    "Origin",
    "Trajectory",
    "relative",
    "to_nanoseconds",
]

Clock: TypeAlias = Literal["utc", "gps", "elapsed", "index"]
CLOCKS: tuple[Clock, ...] = ("utc", "gps", "elapsed", "index")
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Origin:
    """Where a local east-north-up frame touches the WGS-84 ellipsoid: degrees, degrees, metres."""

    latitude: float
    longitude: float
    altitude: float


@dataclass(frozen=True)
class Trajectory:
    """One thing that moved, sample by sample in the order of its file.

    What is wrong in a recording stays in it, to be found: stamps may repeat or go backwards, and a point
    that was lost is NaN. `examples.trajectory_3d.recordings` has what finds and mends such things.

    Attributes:
        times: ``[N]`` seconds after `start_ns`, finite, whole nanoseconds.
        points: ``[N, D]`` float64: position first, then whatever else was recorded of each sample.
        coordinates: columns that are the position, at most three; None for three, or all of fewer.
        names: of the D columns, such as ``x, y, z, vx, vy, vz``.
        unit: of the position: a key of `LENGTH_UNITS`, or ``unknown``.
        frame: axes of the position: ``enu``, ``ned``, ``xyz`` (nothing is known of them), ``y-up``, ``itrf``,
            ``teme``, ``eme2000`` and others; stated by the file or its format, or by who reads it.
        clock: what the stamps count: ``utc`` (Unix time), ``gps`` (since 1980-01-06, no leap seconds),
            ``elapsed`` (zero unknown), ``index`` (the file has no times; samples at a rate that was given).
        start_ns: of the first sample, nanoseconds since the clock's zero.
        track: who moved: marker, satellite, animal, flight; empty where the file holds one thing.
        source: path of the file.
        format: registered name of its format.
        origin: of the local frame, for positions that the file holds as latitude, longitude and altitude;
            they go back so on output.
        notes: what the reader found odd, in words.

    Raises:
        ValueError: arrays that do not belong together, times that are not finite, an unknown clock or unit.
    """

    times: Float64Array
    points: Float64Array
    names: tuple[str, ...] = ("x", "y", "z")
    unit: str = "unknown"
    frame: str = "xyz"
    clock: Clock = "elapsed"
    start_ns: int = 0
    track: str = ""
    source: str = ""
    format: str = ""
    origin: Origin | None = None
    notes: tuple[str, ...] = ()
    coordinates: int | None = None

    def __post_init__(self) -> None:
        if self.times.ndim != 1 or self.points.shape != (len(self.times), len(self.names)):
            raise ValueError(
                f"a trajectory needs times [N] and points [N, D] with D names, got {list(self.times.shape)}, "
                f"{list(self.points.shape)} and {len(self.names)} names"
            )
        if not self.names:
            raise ValueError("a trajectory needs at least one coordinate")
        if self.coordinates is not None and not 1 <= self.coordinates <= min(3, len(self.names)):
            raise ValueError(f"{self.coordinates} of {len(self.names)} columns cannot be a position")
        if not np.isfinite(self.times).all():
            raise ValueError(f"sample {int(np.flatnonzero(~np.isfinite(self.times))[0])} has no finite time")
        if self.clock not in CLOCKS:
            raise ValueError(f"clock must be one of {', '.join(CLOCKS)}, got {self.clock!r}")
        if self.unit != "unknown" and self.unit not in LENGTH_UNITS:
            raise ValueError(f"unit must be unknown or one of {', '.join(LENGTH_UNITS)}, got {self.unit!r}")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def dimensions(self) -> int:
        """Columns that are position: three, or all where there are fewer."""
        return min(3, len(self.names)) if self.coordinates is None else self.coordinates

    @property
    def position(self) -> Float64Array:
        """``[N, dimensions]``."""
        return self.points[:, : self.dimensions]

    @property
    def metres(self) -> float:
        """Metres in a unit of the position; 1 where the unit is unknown."""
        return LENGTH_UNITS.get(self.unit, 1.0)

    @property
    def label(self) -> str:
        """Source and track, for people."""
        return f"{self.source}:{self.track}" if self.track else self.source

    def stamps_ns(self) -> npt.NDArray[np.int64]:
        """Nanoseconds since the clock's zero, exact, ``[N]``."""
        return self.start_ns + to_nanoseconds(self.times)

    def take(self, index: slice | npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> Trajectory:
        """Some of the samples, in the order named; times stay counted from `start_ns`."""
        return replace(self, times=self.times[index], points=self.points[index])


def to_nanoseconds(seconds: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Seconds as whole nanoseconds.

    The whole seconds are split off first, so that the rest keeps its digits.
    """
    values = np.asarray(seconds, dtype=np.float64)
    whole = np.floor(values)
    rest = np.rint((values - whole) * NANOSECONDS).astype(np.int64)
    return whole.astype(np.int64) * NANOSECONDS + rest


def relative(stamps_ns: npt.ArrayLike) -> tuple[Float64Array, int]:
    """Seconds after the first of absolute stamps ``[N]`` int64 nanoseconds, and that first one."""
    stamps = np.asarray(stamps_ns, dtype=np.int64)
    start = int(stamps[0]) if len(stamps) else 0
    return (stamps - start) / NANOSECONDS, start
