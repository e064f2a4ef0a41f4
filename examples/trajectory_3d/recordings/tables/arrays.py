"""Arrays with names, as files of numerical programs hold them, as tracks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.tables.assemble import SAMPLE, Assembler
from examples.trajectory_3d.recordings.tables.choose import Layout, choose
from examples.trajectory_3d.recordings.tables.names import parse_name
from examples.trajectory_3d.recordings.tables.table import Table, from_arrays
from examples.trajectory_3d.recordings.trajectory import Trajectory

AnyArray: TypeAlias = npt.NDArray[Any]
_STEPS = {"dt", "deltat", "timestep", "period", "samplingperiod", "sampleperiod"}
_RATES = {"rate", "fs", "fps", "hz", "framerate", "samplerate", "samplingrate", "samplingfrequency", "freq"}
_MOST_DIMENSIONS = 64  # of a sample; wider arrays are turned round or no tracks


@dataclass(frozen=True)
class _Found:
    """A table among the arrays whose columns can be told."""

    group: str
    table: Table
    layout: Layout
    stated: bool  # whether the rate comes from the file


def tracks_of_arrays(
    path: Path, arrays: Mapping[str, AnyArray], options: ReadOptions, name: str
) -> list[Trajectory]:
    """Tracks of a file's arrays.

    Columns ``[N]`` and vectors ``[N, D]`` of one length and one group (the part of the name before the last
    slash) are a table. Several such tables with the same columns are a track each, named by group. An array
    ``[tracks, N, D]`` is so many tracks, with times ``[N]`` beside it or a rate.

    Args:
        path: of the file.
        arrays: by name; single numbers are looked at for a rate.
        options: what the user says.
        name: of the format.

    Raises:
        RecordingError: no table whose columns can be told, or several that differ.
    """
    rate = stated_rate(arrays)
    block = _block(path, arrays, options)
    if block is not None:
        beside = {key: each for key, each in arrays.items() if each.ndim == 1 and len(each) == block.shape[1]}
        named = not all(each.isdigit() for each in options.position or ())
        inner = replace(options, position=None) if named else options
        return [
            track
            for number, rows in enumerate(block, start=1)
            for track in tracks_of_rows(_beside(path, rows, beside), inner, name, str(number), rate)
        ]
    found, faults = _find(path, arrays, options, rate)
    if not found:
        raise (
            faults[0]
            if faults
            else RecordingError(
                path,
                f"no array that could be a track among {_shown(arrays)}",
                expected="arrays [N] or [N, D]",
            )
        )
    if len({each.table.names for each in found}) > 1:
        lists = " or ".join(
            f"{each.group or 'the file'} ({', '.join(each.table.names[:6])})" for each in found[:4]
        )
        raise RecordingError(path, f"tracks may be in {lists}", expected="--position with one's columns")
    result: list[Trajectory] = []
    for each in found:
        tracks = _whole(each.layout, each.table, name)
        label = each.group if len(found) > 1 else ""
        result += [_labelled(track, label, each.stated) for track in tracks]
    return result


def stated_rate(arrays: Mapping[str, AnyArray]) -> float | None:
    """Samples a second that a file states as a number of its own, such as ``dt``."""
    for name, array in arrays.items():
        key = parse_name(name.rpartition("/")[2]).key
        if array.size != 1 or array.dtype.kind not in "iuf" or key not in _STEPS | _RATES:
            continue
        value = float(array.reshape(-1)[0])
        rate = value if key in _RATES else 1 / value if value else 0.0
        if 0 < rate < np.inf:
            return rate
    return None


def choose_at(sample: Table, options: ReadOptions, rate: float | None) -> tuple[Layout, bool]:
    """The columns of a table, and whether the file's own rate was needed.

    Raises:
        RecordingError: they cannot be told.
    """
    try:
        return choose(sample, options), False
    except RecordingError:
        if rate is None or options.rate is not None:
            raise
        return choose(sample, replace(options, rate=rate)), True


def plain_table(path: Path, rows: AnyArray) -> Table:
    """An array ``[N]`` or ``[N, D]`` as columns without names.

    Raises:
        RecordingError: more columns than a sample has.
    """
    wide = rows[:, None] if rows.ndim == 1 else rows
    if wide.shape[1] > _MOST_DIMENSIONS:
        raise RecordingError(
            path,
            f"an array of {list(rows.shape)}",
            expected=f"a sample a row, at most {_MOST_DIMENSIONS} columns",
        )
    table = from_arrays(path, [str(i) for i in range(wide.shape[1])], list(wide.T))
    return replace(table, names=("",) * wide.shape[1], named=False)


def _is_column(array: AnyArray) -> bool:
    return array.dtype.kind in "biufSUMm"


def _find(
    path: Path, arrays: Mapping[str, AnyArray], options: ReadOptions, rate: float | None
) -> tuple[list[_Found], list[RecordingError]]:
    groups: dict[tuple[str, int], dict[str, AnyArray]] = defaultdict(dict)
    for name, array in arrays.items():
        group, _, leaf = name.rpartition("/")
        if array.ndim in {1, 2} and array.size > 1 and _is_column(array):
            groups[group, len(array)][leaf] = array
    found, faults = [], []
    for (group, length), members in sorted(groups.items(), key=lambda each: -each[0][1] * len(each[1])):
        if length < 2:
            continue
        try:
            table = _table(path, members)
            layout, stated = choose_at(table.slice(0, SAMPLE), options, rate)
            found.append(_Found(group, table, layout, stated))
        except RecordingError as fault:
            faults.append(fault)
    return found, faults


def _table(path: Path, members: Mapping[str, AnyArray]) -> Table:
    """One array alone has columns without names, unless it is a vector of up to three."""
    arrays = list(members.values())
    if len(arrays) == 1 and (arrays[0].ndim == 1 or arrays[0].shape[1] > 3):
        return plain_table(path, arrays[0])
    if len(arrays) == 1:
        return from_arrays(path, ["pos"], arrays)
    narrow = {
        name: each for name, each in members.items() if each.ndim == 1 or each.shape[1] <= _MOST_DIMENSIONS
    }
    return from_arrays(path, list(narrow), list(narrow.values()))


def _block(path: Path, arrays: Mapping[str, AnyArray], options: ReadOptions) -> AnyArray | None:
    """The array of several tracks, if there is one: as chosen, else the only one."""
    blocks = {key: array for key, array in arrays.items() if array.ndim == 3 and _is_column(array)}
    chosen = [each for each in options.position or () if each in blocks]
    if options.position is not None and not chosen and not all(each.isdigit() for each in options.position):
        return None
    if len(chosen or blocks) > 1:
        raise RecordingError(path, f"tracks may be in {' or '.join(blocks)}", expected="one by --position")
    key = next(iter(chosen or blocks), None)
    return None if key is None else blocks[key]


def _beside(path: Path, rows: AnyArray, columns: Mapping[str, AnyArray]) -> Table:
    """One track of several, with the columns that all of them share."""
    if columns and rows.shape[1] <= 3:
        return from_arrays(path, ["pos", *columns], [rows, *columns.values()])
    return plain_table(path, rows)


def tracks_of_rows(
    table: Table, options: ReadOptions, name: str, label: str, rate: float | None
) -> list[Trajectory]:
    """One track of a table of its own, of those that a file holds one beside the other."""
    if not len(table):
        return []
    layout, stated = choose_at(table.slice(0, SAMPLE), options, rate)
    return [_labelled(track, label, stated) for track in _whole(layout, table, name)]


def _whole(layout: Layout, table: Table, name: str) -> list[Trajectory]:
    assembler = Assembler(layout, name)
    return assembler.whole(assembler.pieces(table))


def _labelled(track: Trajectory, label: str, stated: bool) -> Trajectory:
    joined = "/".join(part for part in (label, track.track) if part)
    clock = "elapsed" if stated and track.clock == "index" else track.clock
    return replace(track, track=joined, clock=clock)


def upright(array: AnyArray, others: Sequence[AnyArray] = ()) -> AnyArray:
    """A matrix with a sample a row: turned round where it has few rows and more columns.

    Args:
        array: ``[N, D]`` or ``[D, N]``.
        others: of the same kind, which decide with it.
    """
    shapes = [each.shape for each in (array, *others) if each.ndim == 2]
    rows, columns = sum(shape[0] for shape in shapes), sum(shape[1] for shape in shapes)
    few = max((shape[0] for shape in shapes), default=0) <= _MOST_DIMENSIONS
    return array.T if array.ndim == 2 and few and rows < columns else array


def holds_velocity(rows: Float64Array, rate: float) -> bool:
    """Whether the second half of the columns ``[N, 2 D]`` is the velocity of the first."""
    half = rows.shape[1] // 2
    if rows.shape[1] % 2 or half not in {2, 3} or len(rows) < 4:
        return False
    moved = (rows[2:, :half] - rows[:-2, :half]) * (rate / 2)
    velocity = rows[1:-1, half:]
    wrong = np.linalg.norm(moved - velocity, axis=1)
    return bool(np.median(wrong) < 0.2 * np.median(np.linalg.norm(velocity, axis=1)))


def _shown(arrays: Mapping[str, AnyArray]) -> str:
    shown = [f"{name} {list(array.shape)}" for name, array in list(arrays.items())[:8]]
    return ", ".join(shown) or "none"
