"""NumPy's files: one array (NPY) or several with names (NPZ)."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.arrays import tracks_of_arrays
from examples.trajectory_3d.recordings.trajectory import Trajectory


def sniff_npy(source: Source) -> Match:
    """By the signature."""
    return Match.CERTAIN if source.head.startswith(b"\x93NUMPY") else Match.NO


def sniff_npz(source: Source) -> Match:
    """A zip archive whose first member is an NPY file."""
    if not source.head.startswith(b"PK\x03\x04"):
        return Match.NO
    if source.head[30:400].find(b".npy") > 0 and b"\x93NUMPY" in source.head[:1024]:
        return Match.CERTAIN
    return Match.LIKELY if ".npz" in source.suffixes else Match.NO


@register_format("npy", "NumPy array", sniff=sniff_npy, uses=TABLE_CHOICES)
def read_npy(source: Source, options: ReadOptions) -> list[Trajectory]:
    """An array ``[N]``, ``[N, D]`` or ``[tracks, N, D]``, or records with named fields ``[N]``.

    Raises:
        RecordingError: a damaged file, objects instead of numbers, columns that cannot be told.
    """
    return tracks_of_arrays(source.path, fields("", _load(source)), options, "npy")


@register_format("npz", "NumPy arrays", sniff=sniff_npz, uses=TABLE_CHOICES)
def read_npz(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Arrays with names: ``time [N]`` and ``points [N, D]``, or a column each.

    Raises:
        RecordingError: a damaged file, objects instead of numbers, columns that cannot be told.
    """
    archive = _load(source)
    if isinstance(archive, np.ndarray):
        raise RecordingError(source.path, "one array instead of an archive", expected="--format npy")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name in archive.files:
        arrays |= fields(name, _guarded(source, partial(archive.__getitem__, name)))
    return tracks_of_arrays(source.path, arrays, options, "npz")


def _load(source: Source) -> Any:
    content = source.read()
    return _guarded(source, lambda: np.load(io.BytesIO(content), allow_pickle=False))


def _guarded(source: Source, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # NumPy raises of every kind, since it parses the head as Python
        raise RecordingError(
            source.path, f"damaged, or no numbers ({error})", expected="whole NumPy arrays of numbers"
        ) from error


def fields(name: str, array: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """An array by its name, or the fields of records as arrays below it."""
    if array.dtype.names is None:
        return {name: array}
    below = f"{name}/" if name else ""
    return {f"{below}{field}": array[field] for field in array.dtype.names}
