"""NetCDF: classic files by SciPy, netCDF 4 as HDF5; units and missing values by the CF conventions.

Source: https://cfconventions.org/Data/cf-conventions/cf-conventions-1.11/cf-conventions.html.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.arrays import tracks_of_arrays
from examples.trajectory_3d.recordings.tables.dates import parse_dates
from examples.trajectory_3d.recordings.tables.hdf5_content import SIGNATURE, open_hdf5
from examples.trajectory_3d.recordings.tables.names import length_unit, parse_name
from examples.trajectory_3d.recordings.tables.stamps import NO_ZONE
from examples.trajectory_3d.recordings.tables.table import from_arrays
from examples.trajectory_3d.recordings.tables.timing import UNIT_NS
from examples.trajectory_3d.recordings.trajectory import Trajectory

_NAME = "netcdf"
_SINCE = re.compile(r"\s*(\w+)\s+since\s+(.+?)\s*", re.IGNORECASE)
_MARKS = (b"_NCProperties", b"_Netcdf4Dimid", b"DIMENSION_SCALE", b"_Netcdf4Coordinates")
_STANDARD = {"time", "latitude", "longitude", "altitude", "height", "depth"}
_ATTRIBUTES = (
    "units",
    "standard_name",
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "valid_min",
    "valid_max",
    "valid_range",
)
AnyArray = npt.NDArray[Any]
Variables = dict[str, tuple[AnyArray, dict[str, Any]]]


def sniff(source: Source) -> Match:
    """Classic files by the signature, netCDF 4 by what only it writes into HDF5."""
    if source.head.startswith((b"CDF\x01", b"CDF\x02", b"CDF\x05")):
        return Match.CERTAIN
    if not source.head.startswith(SIGNATURE):
        return Match.NO
    if any(mark in source.head for mark in _MARKS):
        return Match.CERTAIN
    return Match.CERTAIN if {".nc", ".nc4", ".cdf"} & set(source.suffixes) else Match.NO


@register_format(_NAME, "netCDF variables (CF)", sniff=sniff, uses=TABLE_CHOICES)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Variables along one dimension, by their names or standard names; missing and packed values unpacked.

    Raises:
        RecordingError: a damaged file, variables that cannot be told, units of time that are none.
    """
    variables = _classic(source) if source.head.startswith(b"CDF") else _modern(source)
    arrays: dict[str, AnyArray] = {}
    for name, (values, attributes) in variables.items():
        array = _unpacked(values, attributes)
        label, array = _with_unit(source, name, array, attributes, set(variables))
        arrays[label] = array
    tracks = tracks_of_arrays(source.path, arrays, _renamed(options, list(variables), list(arrays)), _NAME)
    # Times since a date are UTC by the conventions, and nothing that the reader assumes.
    return [replace(track, notes=tuple(note for note in track.notes if note != NO_ZONE)) for track in tracks]


def _classic(source: Source) -> Variables:
    import scipy.io  # noqa: PLC0415

    content = source.read()
    try:
        with scipy.io.netcdf_file(io.BytesIO(content), "r", mmap=False) as file:
            return {
                name: (np.array(variable.data), _texts(vars(variable)["_attributes"]))
                for name, variable in file.variables.items()
            }
    except Exception as error:  # SciPy raises of every kind where content is damaged
        raise RecordingError(
            source.path, f"no netCDF file that can be read ({error})", expected="classic netCDF 1 or 2, or 4"
        ) from error


def _texts(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in attributes.items()
    }


def _modern(source: Source) -> Variables:
    with open_hdf5(source) as content:
        return {
            name: (content.array(dataset), content.attributes(dataset, _ATTRIBUTES))
            for name, dataset in content.datasets().items()
            if not content.is_reference(dataset)
        }


def _unpacked(values: AnyArray, attributes: dict[str, Any]) -> AnyArray:
    """Numbers with missing ones NaN, times the scale and with the offset; texts joined."""
    if values.dtype.kind == "S" and values.ndim > 1:  # texts as rows of characters
        return np.array(
            [b"".join(row.reshape(-1)).strip(b"\0 ").decode("utf-8", "replace") for row in values]
        )
    if values.dtype.kind not in "iuf":
        return values
    marks = [attributes[key] for key in ("_FillValue", "missing_value") if key in attributes]
    lost = np.zeros(values.shape, dtype=bool)
    for mark in marks:
        for each in np.atleast_1d(np.asarray(mark)):
            if np.issubdtype(np.asarray(each).dtype, np.number):
                lost |= values == each
    lost |= _outside(values, attributes)
    scale, offset = _number(attributes.get("scale_factor"), 1.0), _number(attributes.get("add_offset"), 0.0)
    if scale == 1 and offset == 0 and not lost.any():
        return values
    result = values.astype(np.float64) * scale + offset
    result[lost] = np.nan
    return result


def _outside(values: AnyArray, attributes: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Where values are beyond what the file calls valid: they are missing (CF, section 2.5.1)."""
    bounds = np.atleast_1d(np.asarray(attributes.get("valid_range", ())))
    low, high = bounds if len(bounds) == 2 else (attributes.get("valid_min"), attributes.get("valid_max"))
    return np.asarray((values < _number(low, -np.inf)) | (values > _number(high, np.inf)))


def _number(value: Any, default: float) -> float:
    try:
        return default if value is None else float(value)
    except (TypeError, ValueError):
        return default


def _with_unit(
    source: Source, name: str, array: AnyArray, attributes: dict[str, Any], names: set[str]
) -> tuple[str, AnyArray]:
    """The variable by the name that tells what it is, with its unit; times since a date as stamps."""
    unit = str(attributes.get("units", "")).strip()
    standard = str(attributes.get("standard_name", ""))
    group, _, leaf = name.rpartition("/")
    if standard in _STANDARD and standard not in names and array.ndim == 1:
        leaf = standard
    below = f"{group}/" if group else ""
    since = _SINCE.fullmatch(unit)
    if since is not None and array.dtype.kind in "iuf" and array.ndim == 1:
        return f"{below}{leaf}", _stamps(source, name, array, since[1], since[2])
    if unit.lower().startswith("degree"):
        return f"{below}{leaf} [deg]", array
    if unit and (length_unit(unit) or parse_name(f"a [{unit}]").time or unit == "radians"):
        return f"{below}{leaf} [{unit}]", array
    return f"{below}{leaf}", array


def _stamps(source: Source, name: str, array: AnyArray, unit: str, since: str) -> AnyArray:
    """Times as dates in whole nanoseconds; NaT where missing."""
    key = parse_name(f"a [{unit}]").time
    if key is None:
        raise RecordingError(
            source.path, f"'{name}' in '{unit} since'", expected="seconds, minutes, hours or days"
        )
    table = from_arrays(source.path, [f"units of {name}"], [np.array([since])])
    zero = int(parse_dates(table, 0, [re.sub(r"\s*(UTC|GMT)?$", "", since.replace(" +", "+"))]).stamps[0])
    known = np.isfinite(array) if array.dtype.kind == "f" else np.ones(len(array), dtype=bool)
    values = np.where(known, array, 0)
    if (np.abs(values.astype(np.float64)) > (2.0**62 - abs(zero)) / UNIT_NS[key]).any():
        raise RecordingError(
            source.path, f"'{name}' holds times centuries away", expected=f"{unit} since {since}"
        )
    whole = np.floor(values).astype(np.int64)
    rest = np.rint((values - whole) * UNIT_NS[key]).astype(np.int64)
    stamps = (whole * UNIT_NS[key] + rest + zero).astype("datetime64[ns]")
    stamps[~known] = np.datetime64("NaT")
    return stamps


def _renamed(options: ReadOptions, before: list[str], after: list[str]) -> ReadOptions:
    """The options with the names of variables as they are used."""
    new = {old: name.rpartition("/")[2] for old, name in zip(before, after, strict=False)}
    return replace(
        options,
        time=None if options.time is None else new.get(options.time, options.time),
        track=None if options.track is None else new.get(options.track, options.track),
        position=None
        if options.position is None
        else tuple(new.get(each, each) for each in options.position),
        extra=tuple(new.get(each, each) for each in options.extra),
    )
