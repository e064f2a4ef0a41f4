"""What a user says of a file that the file itself does not say."""

from __future__ import annotations

from dataclasses import dataclass

from examples.trajectory_3d.recordings.units import LENGTH_UNITS

TIME_UNITS: dict[str, float] = {  # seconds
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "day": 86400.0,
}

# Options by which columns are chosen: of tables, and further ones of tables of text.
TABLE_CHOICES = frozenset({"time", "position", "extra", "track", "time_unit", "geodetic"})
TEXT_CHOICES = TABLE_CHOICES | {"separator", "header"}
CHOICES = TEXT_CHOICES


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How to read a recording; None leaves it to the file and its format.

    Attributes:
        format: registered name of the format; None to tell it by content.
        time: column (or key, or variable) of the stamps: its name, or its number from 1.
        position: columns of the coordinates, one or more, names or numbers from 1; latitude, longitude and
            altitude are told by their names, or by `geodetic`.
        extra: further columns to keep beside the position, such as velocities.
        track: column that says who moved.
        separator: between cells.
        header: whether the first line names the columns.
        rate: samples a second, for files without times; the column of `time`, if given too, counts samples.
        unit: of the position, a key of `LENGTH_UNITS`.
        time_unit: of the stamps, a key of `TIME_UNITS`.
        frame: axes of the position.
        geodetic: whether `position` is latitude, longitude and altitude.

    Raises:
        ValueError: an unknown unit, or a rate that is not positive.
    """

    format: str | None = None
    time: str | None = None
    position: tuple[str, ...] | None = None
    extra: tuple[str, ...] = ()
    track: str | None = None
    separator: str | None = None
    header: bool | None = None
    rate: float | None = None
    unit: str | None = None
    time_unit: str | None = None
    frame: str | None = None
    geodetic: bool | None = None

    def __post_init__(self) -> None:
        if self.unit is not None and self.unit not in LENGTH_UNITS:
            raise ValueError(f"unit must be one of {', '.join(LENGTH_UNITS)}, got {self.unit!r}")
        if self.time_unit is not None and self.time_unit not in TIME_UNITS:
            raise ValueError(f"time unit must be one of {', '.join(TIME_UNITS)}, got {self.time_unit!r}")
        if self.rate is not None and not 0 < self.rate < float("inf"):
            raise ValueError(f"rate must be a positive number of samples a second, got {self.rate}")
