"""Readers of plain tables: one sample a line, position in columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.real_recordings.tracks import Array, Track, make_track

NANOSECOND = 1e-9
MILLIMETRE = 1e-3
MICROMETRE = 1e-6


def read_tum(path: Path) -> list[Track]:
    """TUM text: ``t x y z qx qy qz qw``, seconds and metres, ``#`` comments."""
    table = np.loadtxt(path, comments="#", ndmin=2)
    return [make_track(table[:, 0], table[:, 1:4])]


def read_euroc(path: Path) -> list[Track]:
    """EuRoC/ASL csv: ``t [ns], x, y, z, ...`` in metres, one ``#`` header line."""
    table = np.loadtxt(path, comments="#", delimiter=",", usecols=(1, 2, 3), ndmin=2)
    # Read as integers: 19 digits of nanoseconds do not fit a float64.
    stamps = np.loadtxt(path, comments="#", delimiter=",", usecols=0, dtype=np.int64, ndmin=1)
    return [make_track((stamps - stamps[0]) * NANOSECOND, table)]


def read_north_east_down(path: Path) -> list[Track]:
    """QDR csv with a header: ``time``, ``North``, ``East``, ``Down`` among its columns; seconds, metres."""
    table = _named_columns(path, ("time", "North", "East", "Down"))
    return [make_track(table[:, 0], table[:, 1:])]


def read_crazyflie(path: Path, rate: float = 100.0) -> list[Track]:
    """Crazyflie csv ``x_estimate, y_estimate, z_estimate`` in metres at ``rate`` Hz, without time."""
    points = _named_columns(path, ("x_estimate", "y_estimate", "z_estimate"))
    return [make_track(np.arange(len(points)) / rate, points)]


def read_cells(path: Path) -> list[Track]:
    """Cell tracks: row number, track number, seconds, x, y, z in micrometres; blanks, no header."""
    table = np.loadtxt(path, ndmin=2)
    return _by_label(table[:, 1], table[:, 2], table[:, 3:6] * MICROMETRE)


def read_particles(path: Path, rate: float = 25.0) -> list[Track]:
    """MyPTV tracks: track number, x, y, z in millimetres, ..., frame last, at ``rate`` frames a second."""
    table = np.loadtxt(path, ndmin=2)
    return _by_label(table[:, 0], table[:, -1] / rate, table[:, 1:4] * MILLIMETRE)


def _by_label(labels: Array, times: Array, points: Array) -> list[Track]:
    return [make_track(times[labels == each], points[labels == each]) for each in np.unique(labels)]


def _named_columns(path: Path, names: Sequence[str]) -> Array:
    with path.open(encoding="utf-8") as file:
        header = [name.strip() for name in file.readline().split(",")]
    missing = [name for name in names if name not in header]
    if missing:
        raise ValueError(f"{path}: no column {missing[0]!r}; its header is {header}")
    columns = [header.index(name) for name in names]
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=columns, ndmin=2)
