"""MATLAB's files: versions 5 to 7, and 7.3 as HDF5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.arrays import (
    holds_velocity,
    plain_table,
    stated_rate,
    tracks_of_arrays,
    tracks_of_rows,
    upright,
)
from examples.trajectory_3d.recordings.tables.hdf5_content import open_hdf5
from examples.trajectory_3d.recordings.tables.mat5 import Value, load_mat5
from examples.trajectory_3d.recordings.trajectory import Trajectory

_NAME = "mat"
AnyArray = npt.NDArray[Any]


def sniff(source: Source) -> Match:
    """By the text that every such file begins with; version 4 has none and is not read."""
    return (
        Match.CERTAIN if source.head.startswith(b"MATLAB ") and b"MAT-file" in source.head[:128] else Match.NO
    )


@register_format(_NAME, "MATLAB variables", sniff=sniff, uses=TABLE_CHOICES)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Variables as columns or matrices, fields of structures likewise; a cell array holds a track a cell.

    A matrix with fewer rows than columns has a sample a column, as robot demonstrations do: cells ``data``
    of 6 x N and their step ``dt`` in seconds. A second half of rows that is the velocity of the first is told
    by the numbers, and the first is then the position.

    Raises:
        RecordingError: a damaged file, or variables that cannot be told.
    """
    variables = _variables_73(source) if source.head[512:516] == b"\x89HDF" else _variables_5(source)
    numeric = {name: each for name, each in variables.items() if isinstance(each, np.ndarray)}
    cells = {name: each for name, each in variables.items() if isinstance(each, list)}
    wanted = set(options.position or ()) & cells.keys()
    if cells and (wanted or not options.position or all(each.isdigit() for each in options.position)):
        return _tracks_of_cells(source, cells, numeric, options, wanted)
    return tracks_of_arrays(source.path, numeric, options, _NAME)


def _tracks_of_cells(
    source: Source,
    cells: Mapping[str, list[AnyArray]],
    numeric: Mapping[str, AnyArray],
    options: ReadOptions,
    wanted: set[str],
) -> list[Trajectory]:
    names = sorted(wanted) or list(cells)
    if len(names) > 1:
        raise RecordingError(
            source.path, f"tracks may be in {' or '.join(names)}", expected="one by --position"
        )
    if wanted:
        options = replace(options, position=None)
    matrices, rate = cells[names[0]], stated_rate(numeric)
    tracks = []
    for number, matrix in enumerate(matrices, start=1):
        rows = upright(matrix, matrices)
        step = options.rate or rate
        if options.position is None and step is not None and holds_velocity(rows.astype(np.float64), step):
            half = rows.shape[1] // 2
            inner = replace(options, position=tuple(str(i + 1) for i in range(half)))
            tracks += tracks_of_rows(plain_table(source.path, rows), inner, _NAME, str(number), rate)
        else:
            tracks += tracks_of_rows(plain_table(source.path, rows), options, _NAME, str(number), rate)
    return tracks


def _variables_5(source: Source) -> dict[str, AnyArray | list[AnyArray]]:
    try:
        found = load_mat5(source.read())
    except ValueError as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(source.path, f"damaged: {error}", expected="MATLAB variables") from error
    return {key: each for name, value in found.items() for key, each in _flat(name, value).items()}


def _flat(name: str, value: Value) -> dict[str, AnyArray | list[AnyArray]]:
    """A variable, the fields of a structure, or the matrices of a cell array."""
    if isinstance(value, dict):
        parts = [_flat(f"{name}/{field}", each) for field, each in value.items()]
        return {key: each for part in parts for key, each in part.items()}
    if isinstance(value, list):
        arrays = [each for each in value if isinstance(each, np.ndarray)]
        matrices = _matrices(arrays) if len(arrays) == len(value) else []
        return {name: matrices} if matrices else {}
    return {} if value is None else {name: _shaped(value)}


def _matrices(cells: Sequence[AnyArray]) -> list[AnyArray]:
    """The cells, if they all are matrices of numbers."""
    fit = all(each.ndim == 2 and each.dtype.kind in "biuf" and min(each.shape) >= 1 for each in cells)
    return list(cells) if fit else []


def _shaped(value: AnyArray) -> AnyArray:
    """MATLAB has no vectors: a row or a column of numbers is one, and samples are rows."""
    if value.ndim == 2 and 1 in value.shape:
        return value.reshape(-1)
    return upright(value) if value.ndim == 2 else value


def _variables_73(source: Source) -> dict[str, AnyArray | list[AnyArray]]:
    """Variables of version 7.3, whose arrays lie in HDF5 with their dimensions turned round."""
    with open_hdf5(source) as content:
        result: dict[str, AnyArray | list[AnyArray]] = {}
        for name, dataset in content.datasets().items():
            if name.startswith("#"):
                continue
            if content.is_reference(dataset):
                matrices = _matrices([each.T for each in content.targets(dataset)])
                if matrices:
                    result[name] = matrices
            else:
                array = content.array(dataset)
                if array.dtype.kind in "biuf":
                    result[name] = _shaped(array.T)
        return result
