"""Columns as numbers and labels, with the place of the first cell that is wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.tables.table import Table

MISSING = frozenset(
    {
        "",
        "nan",
        "-nan",
        "+nan",
        "na",
        "n/a",
        "#n/a",
        "#na",
        "null",
        "none",
        "nil",
        "-",
        "--",
        "---",
        "nat",
        "?",
        "*",
    }
)


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.strip().lower() in MISSING


def floats(table: Table, index: int) -> Float64Array:
    """A column as numbers ``[N]``; NaN where there is none, and where it is infinite.

    Raises:
        RecordingError: a cell that is no number.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.types as kinds  # noqa: PLC0415

    column = plain(table.columns[index])
    kind = column.type
    if kinds.is_string(kind) or kinds.is_large_string(kind):
        return _parse(table, index, column.to_pylist())
    if kinds.is_null(kind):
        return np.full(len(column), np.nan)
    numeric = (
        kinds.is_floating(kind) or kinds.is_integer(kind) or kinds.is_boolean(kind) or kinds.is_decimal(kind)
    )
    if not numeric:
        raise table.fault(0, index, f"values of type {kind}", "numbers")
    values: Float64Array = np.array(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    values[np.isinf(values)] = np.nan
    return values


def _parse(table: Table, index: int, cells: list[str | None]) -> Float64Array:
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if cell is None or is_missing(cell):
            continue
        try:
            values[row] = float(cell.strip())
        except ValueError as error:
            raise table.fault(row, index, f"'{cell[:40]}' is no number", "a number") from error
    values[np.isinf(values)] = np.nan
    return values


def plain(column: Any) -> Any:
    """A column as one array without dictionary."""
    import pyarrow as pa  # noqa: PLC0415

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        column = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def labels(table: Table, index: int) -> tuple[npt.NDArray[np.intp], list[str]]:
    """Which label each row has ``[N]``, and the labels as text in the order of their first rows."""
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    column = table.columns[index]
    if isinstance(column, pa.ChunkedArray):
        column = plain(column)
    if pa.types.is_floating(column.type):
        column = column.fill_null(float("nan"))
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    raw = np.array(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.intp)
    texts = [_label(value) for value in encoded.dictionary.to_pylist()]
    places = {text: place for place, text in enumerate(dict.fromkeys([*texts, ""]))}
    known = np.array([places[text] for text in [*texts, ""]], dtype=np.intp)  # -1, no label, is the last
    codes, order = pd.factorize(known[raw])
    each = list(places)
    return codes.astype(np.intp), [each[int(place)] for place in order]


def _label(value: object) -> str:
    """Text of an identifier: 7 for 7.0, and nothing for a missing one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if isinstance(value, str) and is_missing(value) else str(value).strip()
