"""Forecasts as a table: one row a point, in the file's own units, clock and frame."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.forecasting import TrackForecast
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Origin

if TYPE_CHECKING:
    import pandas as pd

CENTRE = "centre"
SUFFIXES = (".csv", ".json", ".parquet")
_GEODETIC = ("latitude", "longitude", "altitude")
_UNITS = {"latitude": "deg", "longitude": "deg", "altitude": "m"}


def forecast_table(forecasts: Sequence[TrackForecast]) -> pd.DataFrame:
    """All forecast points of all tracks.

    Columns: ``source``, ``track``, ``path`` (``centre``, or the number of a drawn path), ``step`` from 1,
    ``time [s]`` (seconds of the file's own clock with nine decimals, as text, so that no digit is lost),
    ``utc`` where the clock is UTC, then each coordinate by its name and unit, the ends of its intervals
    (``x q0.1 [m]``; of the centre only), and ``expert``: who in the last layer led. Coordinates that the file
    holds as latitude, longitude and altitude are given so; the ends of their intervals are those of east,
    north and up.

    Args:
        forecasts: at least one.
    """
    import pandas as pd  # noqa: PLC0415  (--help needs none)

    frames = [pd.DataFrame(list(_rows(each))) for each in forecasts]
    table = pd.concat(frames, ignore_index=True).dropna(axis="columns", how="all")
    return table.astype({"expert": "Int64"}) if "expert" in table else table


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table as its suffix says: CSV, JSON (a list of records) or Parquet; whole or not at all.

    Raises:
        ValueError: another suffix.
    """
    from examples.trajectory_3d.figure_style import whole_file  # noqa: PLC0415

    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a forecast is written as one of {', '.join(SUFFIXES)}")
    with whole_file(path) as partial:
        if path.suffix.lower() == ".csv":
            table.to_csv(partial, index=False)
        elif path.suffix.lower() == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            partial.write_text(json.dumps(_records(table), indent=1) + "\n", encoding="utf-8")
    return path


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows without the columns that are empty in them."""
    known = table.notna().to_numpy()
    rows = table.astype(object).to_numpy()
    names = [str(name) for name in table.columns]
    return [
        {name: value for name, value, there in zip(names, row, present, strict=True) if there}
        for row, present in zip(rows.tolist(), known.tolist(), strict=True)
    ]


def _rows(forecast: TrackForecast) -> Iterator[dict[str, Any]]:
    """Rows of one track: the centre with its intervals, then every path drawn."""
    known = forecast.trajectory
    stamps = forecast.stamps_ns().tolist()
    names = _names(forecast)
    experts = forecast.forecast.expert_ids
    samples = forecast.samples()
    paths = [(CENTRE, forecast.centre())]
    if samples is not None:
        paths += [(str(number), path) for number, path in enumerate(samples, 1)]
    ends = _interval_columns(forecast, names)
    for path, points in paths:
        placed = _placed(points, known.origin)
        for step, stamp in enumerate(stamps):
            row: dict[str, Any] = {
                "source": known.source,
                "track": known.track or None,
                "path": path,
                "step": step + 1,
                "time [s]": f"{stamp // NANOSECONDS}.{stamp % NANOSECONDS:09d}",
                "utc": _utc(stamp) if known.clock == "utc" else None,
            }
            row |= dict(zip(names, placed[step].tolist(), strict=True))
            if path == CENTRE:
                row |= {name: values[step] for name, values in ends.items()}
                row["expert"] = None if experts is None else int(experts[0, step])
            yield row


def _names(forecast: TrackForecast) -> list[str]:
    """Of the coordinates, with units."""
    known = forecast.trajectory
    if known.origin is not None:
        return [_with_unit(name, _UNITS[name]) for name in _GEODETIC]
    return [_with_unit(name, known.unit) for name in known.names[: forecast.dimensions]]


def _with_unit(name: str, unit: str) -> str:
    return name if unit == "unknown" or name.endswith("]") else f"{name} [{unit}]"


def _interval_columns(forecast: TrackForecast, names: Sequence[str]) -> dict[str, list[float]]:
    """Quantiles by column, each ``[H]``."""
    origin, centre = forecast.trajectory.origin, forecast.centre()
    columns: dict[str, list[float]] = {}
    for level, values in sorted(forecast.quantiles().items()):
        placed = values if origin is None else _geodetic_ends(values, centre, origin)
        for number, name in enumerate(names):
            plain, _, unit = name.partition(" [")
            columns[f"{plain} q{level:g}" + (f" [{unit}" if unit else "")] = placed[:, number].tolist()
    return columns


def _placed(points: Float64Array, origin: Origin | None) -> Float64Array:
    return points if origin is None else to_geodetic(points, origin)


def _geodetic_ends(values: Float64Array, centre: Float64Array, origin: Origin) -> Float64Array:
    """Latitude, longitude and altitude of points that leave the centre along one axis at a time."""
    ends = np.empty_like(values)
    for axis, place in ((0, 1), (1, 0), (2, 2)):  # east moves the longitude, north the latitude
        moved = centre.copy()
        moved[:, axis] = values[:, axis]
        ends[:, place] = to_geodetic(moved, origin)[:, place]
    return ends


def _utc(stamp_ns: int) -> str:
    return f"{np.datetime64(stamp_ns, 'ns')}Z"
