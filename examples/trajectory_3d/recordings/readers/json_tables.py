"""Tables as JSON: a list of records, an object of lists, either below some key; and JSON Lines."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.arrays import plain_table, stated_rate, tracks_of_rows
from examples.trajectory_3d.recordings.tables.assemble import SAMPLE, Assembler
from examples.trajectory_3d.recordings.tables.choose import choose
from examples.trajectory_3d.recordings.tables.table import Column, Table, part_names
from examples.trajectory_3d.recordings.trajectory import Trajectory

_JSON, _LINES = "json", "jsonl"
_ROWS = 1 << 17  # lines read at once
_DEPTH = 6  # of keys above a table
_MOST_VECTOR = 16
_IDENTIFIERS = ("track_id", "track", "id", "name", "icao24", "callsign", "label", "uid")


def sniff_json(source: Source) -> Match:
    """By the first sign, or by name."""
    text = (source.head_text or "").lstrip()
    if not text.startswith(("[", "{")):
        return Match.NO
    if _begins_lines(source):
        return Match.POSSIBLE
    return (
        Match.LIKELY
        if {".json"} & set(source.suffixes) or text[1:].lstrip()[:1] in set('{["')
        else Match.POSSIBLE
    )


def sniff_lines(source: Source) -> Match:
    """Two lines that are a record each, or one and the name."""
    named = {".jsonl", ".ndjson"} & set(source.suffixes)
    return (
        Match.LIKELY
        if _begins_lines(source) or (named and (source.head_text or "").startswith("{"))
        else Match.NO
    )


def _begins_lines(source: Source) -> bool:
    lines = [line for line in source.head_lines() if line.strip()][:2]
    try:
        return len(lines) == 2 and all(isinstance(json.loads(line), dict) for line in lines)
    except (ValueError, RecursionError):
        return False


@register_format(_JSON, "JSON records or lists", sniff=sniff_json, uses=TABLE_CHOICES)
def read_json(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Tracks of the one table in a JSON file.

    Raises:
        RecordingError: no JSON (with line and column), no table or several, columns that cannot be told.
    """
    text = source.text()
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecordingError(
            source.path, error.msg, expected="JSON", line=error.lineno, column=error.colno
        ) from error
    except (RecursionError, ValueError) as error:
        raise RecordingError(
            source.path, "JSON nested too deeply, or too long a number", expected="a table"
        ) from error
    return _tracks(source.path, content, options)


def _tracks(path: Path, content: Any, options: ReadOptions) -> list[Trajectory]:
    if isinstance(content, dict) and content.get("type") in {"Feature", "FeatureCollection"}:
        raise RecordingError(path, "GeoJSON, whose places have no times", expected="a table of samples")
    found = list(_find(content, "", {}, 0))
    if not found:
        raise RecordingError(
            path, "no table in the JSON", expected="a list of records, or an object of lists"
        )
    tables = [_table(path, each.value) for each in found]
    if len({(table.names, table.named) for table in tables}) > 1:
        names = " or ".join(f"'{each.key}'" for each in found[:5])
        raise RecordingError(path, f"{len(found)} tables that differ, below {names}", expected="one table")
    tracks = []
    for each, table in zip(found, tables, strict=True):
        numbers = {key: np.array(value) for key, value in each.around.items() if type(value) in {int, float}}
        label = each.key if len(found) > 1 else ""
        tracks += tracks_of_rows(table, options, _JSON, label, stated_rate(numbers))
    return tracks


@dataclass(frozen=True)
class _Found:
    """A table, the keys above it or what its object calls itself, and that object."""

    key: str
    value: Any
    around: dict[str, Any]


def _find(value: Any, key: str, around: dict[str, Any], depth: int) -> Iterator[_Found]:
    if _is_table(value):
        yield _Found(key, value, around)
    elif isinstance(value, dict) and depth < _DEPTH:
        for name, each in value.items():
            yield from _find(each, f"{key}.{name}" if key else name, value, depth + 1)
    elif isinstance(value, list) and depth < _DEPTH and all(isinstance(each, dict) for each in value):
        for number, each in enumerate(value, start=1):
            inner = list(_find(each, "", {}, depth + 1))
            own = next(
                (str(each[name]) for name in _IDENTIFIERS if isinstance(each.get(name), (str, int))), ""
            )
            for place, found in enumerate(inner):
                yield _Found(
                    (own or str(number)) + (f".{place + 1}" if place else ""), found.value, found.around
                )


def _is_table(value: Any) -> bool:
    if isinstance(value, list):
        records = len(value) > 0 and all(isinstance(each, dict) for each in value)
        return (records and not _has_tables(value[0])) or _is_matrix(value)
    if not isinstance(value, dict) or _has_tables(value, matrices=False):
        return False
    lists = [each for each in value.values() if isinstance(each, list) and len(each) > 1]
    return len(lists) > 1 and len({len(each) for each in lists}) == 1


def _has_tables(value: dict[str, Any], matrices: bool = True) -> bool:
    """Whether an object has lists of objects, or of as many rows that are lists."""
    lists = [each for each in value.values() if isinstance(each, list) and each]
    return any(
        isinstance(each[0], dict) or (matrices and len(each) > 1 and _is_matrix(each)) for each in lists
    )


def _is_matrix(values: list[Any]) -> bool:
    """Whether a list holds lists of numbers, all of one length."""
    first = values[0] if values else None
    return (
        isinstance(first, list)
        and 0 < len(first) <= _MOST_VECTOR
        and all(isinstance(each, list) and len(each) == len(first) for each in values)
        and not any(isinstance(cell, (list, dict)) for cell in first)
    )


def _table(path: Path, value: Any) -> Table:
    if isinstance(value, list) and isinstance(value[0], list):
        rows = [[_float(path, cell, number) for cell in row] for number, row in enumerate(value)]
        return plain_table(path, np.array(rows, dtype=np.float64))
    if isinstance(value, list):
        return records_table(path, value)
    length = max(len(each) for each in value.values() if isinstance(each, list))
    columns = {name: each for name, each in value.items() if isinstance(each, list) and len(each) == length}
    return _from_lists(path, columns)


def _float(path: Path, cell: Any, number: int) -> float:
    if cell is None:
        return float("nan")
    if isinstance(cell, (int, float)) and (math.isnan(cell) or abs(cell) < 1e300):
        return float(cell)
    raise RecordingError(path, f"{str(cell)[:40]!r} in entry {number + 1}", expected="a number")


def records_table(
    path: Path, records: Sequence[Any], names: dict[str, None] | None = None, first: int = 0
) -> Table:
    """Records as a table; keys that a record lacks are missing cells, objects in it are keys with a dot.

    Raises:
        RecordingError: an entry that is no record.
    """
    flat = []
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise RecordingError(
                path, f"record {first + number + 1} is no object", expected="an object of values"
            )
        flat.append(dict(_leaves(record, "", 0)))
    keys = names or dict.fromkeys(key for record in flat for key in record)
    return _from_lists(path, {key: [record.get(key) for record in flat] for key in keys}, first)


def _leaves(record: dict[str, Any], above: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        name = f"{above}.{key}" if above else key
        if isinstance(value, dict) and depth < _DEPTH:
            yield from _leaves(value, name, depth + 1)
        elif isinstance(value, list) and 0 < len(value) <= _MOST_VECTOR:
            yield from zip(part_names(name, len(value)), value, strict=True)
        else:
            yield name, value


def _from_lists(path: Path, lists: dict[str, list[Any]], first: int = 0) -> Table:
    names: list[str] = []
    columns: list[Column] = []
    for name, values in lists.items():
        if values and isinstance(values[0], list) and _is_matrix(values):
            for part, cells in zip(part_names(name, len(values[0])), zip(*values, strict=True), strict=True):
                names.append(part)
                columns.append(_column(list(cells)))
        else:
            names.append(name)
            columns.append(_column(values))
    return Table(path, tuple(names), tuple(columns), first=first)


def _column(values: list[Any]) -> Column:
    """Whole numbers, numbers, or texts of whatever there is."""
    import pyarrow as pa  # noqa: PLC0415

    kinds = {type(value) for value in values} - {type(None)}
    try:
        if kinds <= {bool, int}:
            return pa.array(values, pa.int64())
        if kinds <= {bool, int, float}:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
    except (OverflowError, pa.ArrowException):
        pass  # a whole number beyond 64 bits is shown as text where it matters
    texts = [
        None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values
    ]
    return pa.array(
        [None if text is None else text.encode("utf-8", "replace").decode() for text in texts], pa.string()
    )


def stream_lines(source: Source, options: ReadOptions, size: int) -> Iterator[list[Trajectory]]:
    """Pieces of so many records; memory holds one at a time.

    Raises:
        RecordingError: as `read_lines`.
    """
    for _, pieces in _line_pieces(source, options, size):
        yield pieces


def _line_pieces(
    source: Source, options: ReadOptions, size: int
) -> Iterator[tuple[Assembler, list[Trajectory]]]:
    """What assembles the tracks, and those of so many records each."""
    assembler: Assembler | None = None
    names: dict[str, None] | None = None
    lines = _records(source)
    row = 0
    while batch := list(islice(lines, max(size, SAMPLE))):
        table = records_table(source.path, [record for _, record in batch], names, row)
        table = _with_lines(table, [number for number, _ in batch])
        if assembler is None:
            assembler, names = (
                Assembler(choose(table.slice(0, SAMPLE), options), _LINES),
                dict.fromkeys(table.names),
            )
        row += len(table)
        yield assembler, assembler.pieces(table)


def _with_lines(table: Table, numbers: Sequence[int]) -> Table:
    return Table(table.path, table.names, table.columns, first=table.first, line_of=lambda row: numbers[row])


@register_format(_LINES, "JSON Lines", sniff=sniff_lines, stream=stream_lines, uses=TABLE_CHOICES)
def read_lines(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Tracks of a file with a record a line.

    Raises:
        RecordingError: a line that is no JSON object (with line and column), columns that cannot be told.
    """
    found = list(_line_pieces(source, options, _ROWS))
    return found[0][0].whole(piece for _, pieces in found for piece in pieces) if found else []


def _records(source: Source) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_text_lines(source), start=1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except json.JSONDecodeError as error:
            raise RecordingError(
                source.path, error.msg, expected="a JSON object", line=number, column=error.colno
            ) from error
        except (RecursionError, ValueError) as error:
            raise RecordingError(source.path, "no record", expected="a JSON object", line=number) from error


def _text_lines(source: Source) -> Iterable[str]:
    import gzip  # noqa: PLC0415
    import zlib  # noqa: PLC0415

    try:
        with source.text_stream() as stream:
            yield from stream
    except UnicodeDecodeError as error:
        raise RecordingError(source.path, "a byte that is no text", expected="UTF-8 text") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordingError(
            source.path, f"damaged gzip content ({error})", expected="a whole file"
        ) from error
