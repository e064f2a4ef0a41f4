"""Which columns of a table are time, position, track and extra: as the user says, else by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.tables.axes import Axes, chosen_axes, find_axes
from examples.trajectory_3d.recordings.tables.cells import floats, labels, plain
from examples.trajectory_3d.recordings.tables.names import parse_name, word_list
from examples.trajectory_3d.recordings.tables.table import Table, part_names
from examples.trajectory_3d.recordings.tables.timing import Timing, find_timing, timing_of
from m.config import nearest_hint

_TRACK_KEYS = word_list(  # the first that is there is taken
    "trackid trajid trajectoryid flightid individuallocalidentifier individualid animalid birdid icao24 hex "
    "mmsi imo objectid objid targetid vehicleid agentid particleid cellid markerid personid playerid actorid "
    "droneid robotid bodyid entityid satelliteid satid svid sat prn noradid noradcatid norad "
    "taglocalidentifier trackname trajectory traj track particle marker object animal individual entity "
    "player id uid uuid"
)
_ROW_KEYS = frozenset(("id", "uid", "uuid"))  # may as well number the rows
_COURSE_BESIDE = frozenset(("groundspeed", "heading", "speed", "verticalrate", "gs", "velocity"))
_SHOWN = 12


@dataclass(frozen=True)
class Layout:
    """What the columns of a table are.

    Attributes:
        timing: of the stamps.
        axes: of the position.
        names: of position and extra columns, as tracks get them.
        unit: of the position.
        frame: of the position.
        extra: further columns to keep.
        track: column that says who moved.
        notes: what was assumed.
    """

    timing: Timing
    axes: Axes
    names: tuple[str, ...]
    unit: str
    frame: str
    extra: tuple[int, ...] = ()
    track: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[int, ...]:
        """All that are used."""
        track = () if self.track is None else (self.track,)
        return tuple(dict.fromkeys((*self.timing.columns, *self.axes.columns, *self.extra, *track)))


def choose(sample: Table, options: ReadOptions) -> Layout:
    """Say what the columns of a table are.

    Args:
        sample: its first rows.
        options: what the user says.

    Raises:
        RecordingError: a column that is not there, or columns that could be several things; says which
            options decide it.
    """
    track = None if options.track is None else _one(sample, options.track, "track")
    extra = tuple(each for name in options.extra for each in resolve(sample, name, "extra"))
    taken = [*extra, *([] if track is None else [track])]
    timing = _given_timing(sample, options, taken)
    axes = _given_axes(sample, options)
    if not sample.named:
        timing, axes = _by_place(sample, options, timing, axes, taken)
    used = [*taken, *(axes.columns if axes else ()), *(timing.columns if timing else ())]
    axes = axes or _named_axes(sample, options, used)
    used += axes.columns
    timing = timing or find_timing(sample, options, used) or _no_times(sample, options)
    used += timing.columns
    notes: list[str] = []
    if track is None and sample.named:
        track = _named_track(sample, used, notes)
    names = (*_position_names(sample, axes, options), *(_own_name(sample, each) for each in extra))
    return Layout(
        timing,
        axes,
        _distinct(names),
        _unit(axes, options),
        _frame(sample, axes, options),
        extra,
        track,
        (*timing.notes, *axes.notes, *notes),
    )


def resolve(sample: Table, wanted: str, option: str) -> list[int]:
    """Columns that a name or a number from 1 means; several for the name of a vector.

    Raises:
        RecordingError: there is none.
    """
    text = wanted.strip()
    names = list(sample.names) if sample.named else []
    for same in (str, str.lower, lambda name: parse_name(name).key):
        found = [i for i, name in enumerate(names) if same(name) == same(text)]
        if found and same(text):
            if len(found) > 1:
                raise RecordingError(
                    sample.path,
                    f"{len(found)} columns are called '{text}'",
                    expected=f"a number for --{option}",
                )
            return found
    for width in range(1, len(names) + 1):
        parts = part_names(text, width)
        if all(part in names for part in parts) and f"{text}_{width + 1}" not in names:
            return [names.index(part) for part in parts]
    if text.isdigit() and 1 <= int(text) <= len(sample.names):
        return [int(text) - 1]
    hint = nearest_hint(text, names) if names else ""
    raise RecordingError(
        sample.path, f"no column '{text}' for --{option}{hint}", expected=f"one of {describe(sample)}"
    )


def describe(sample: Table) -> str:
    """The columns, for people."""
    if not sample.named:
        return f"the numbers 1 to {len(sample.names)} (the file has no header)"
    shown = ", ".join(name or str(i + 1) for i, name in enumerate(sample.names[:_SHOWN]))
    more = len(sample.names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _one(sample: Table, name: str, option: str) -> int:
    found = resolve(sample, name, option)
    if len(found) > 1:
        raise RecordingError(sample.path, f"'{name}' is {len(found)} columns", expected=f"one for --{option}")
    return found[0]


def _given_timing(sample: Table, options: ReadOptions, taken: Sequence[int]) -> Timing | None:
    """The columns that --time names; a plus joins a date and a time of day."""
    if options.time is None:
        return None
    if "+" in options.time and options.time not in sample.names:
        parts = [_one(sample, part, "time") for part in options.time.split("+")]
        if len(parts) != 2:
            raise RecordingError(
                sample.path, f"--time {options.time}", expected="a date and a time of day, A+B"
            )
        return Timing("date and time", (parts[0], parts[1]))
    return timing_of(sample, _one(sample, options.time, "time"), options, taken)


def _given_axes(sample: Table, options: ReadOptions) -> Axes | None:
    if options.position is None:
        return None
    columns = [each for name in options.position for each in resolve(sample, name, "position")]
    if not columns or len(set(columns)) < len(columns):
        raise RecordingError(
            sample.path,
            f"--position {','.join(options.position)}",
            expected="different columns, at least one",
        )
    try:
        return chosen_axes(
            columns, [parse_name(name) for name in sample.names], options.geodetic, options.unit
        )
    except ValueError as error:
        raise RecordingError(sample.path, str(error), expected="other columns for --position") from error


def _named_axes(sample: Table, options: ReadOptions, used: Sequence[int]) -> Axes:
    names = [parse_name("" if i in used else name) for i, name in enumerate(sample.names)]
    found = find_axes(names, options.unit, feet=_in_feet(sample))
    if options.geodetic is not None:
        found = [axes for axes in found if axes.geodetic == options.geodetic]
    if len(found) == 1:
        return found[0]
    columns = describe(sample)
    if not found:
        raise RecordingError(
            sample.path, f"no column is called like a position among {columns}", expected="--position A,B,C"
        )
    lists = " or ".join(", ".join(sample.title(each) for each in axes.columns) for axes in found[:4])
    raise RecordingError(
        sample.path, f"the position may be {lists}", expected="one of them by --position A,B,C"
    )


def _in_feet(sample: Table) -> bool:
    """Whether altitudes are in feet: tables of the traffic library have feet, knots and feet a minute."""
    keys = {parse_name(name).key for name in sample.names}
    return {"groundspeed", "verticalrate", "altitude"} <= keys and bool({"icao24", "callsign"} & keys)


def _named_track(sample: Table, used: Sequence[int], notes: list[str]) -> int | None:
    keys = {i: parse_name(name).key for i, name in enumerate(sample.names) if i not in used}
    every = {parse_name(name).key for name in sample.names}
    for key in _TRACK_KEYS:
        found = [i for i, each in keys.items() if each == key]
        if not found or (key == "track" and every & _COURSE_BESIDE):  # a course over ground
            continue
        if key in _ROW_KEYS and _numbers_rows(sample, found[0]):
            notes.append(f"column {sample.title(found[0])} numbers the rows and is not used")
            continue
        return found[0]
    return None


def _numbers_rows(sample: Table, index: int) -> bool:
    _, texts = labels(sample, index)
    return len(sample) > 2 and len(texts) == len(sample)


def _no_times(sample: Table, options: ReadOptions) -> Timing:
    if options.rate is not None:
        return Timing("rate", rate=options.rate, clock="index")
    raise RecordingError(
        sample.path,
        f"no column of times among {describe(sample)}",
        expected="the column of times (--time), or samples a second (--rate)",
    )


def _by_place(
    sample: Table, options: ReadOptions, timing: Timing | None, axes: Axes | None, taken: Sequence[int]
) -> tuple[Timing, Axes]:
    """Columns of a table without names: given, or one of the few forms that can be nothing else.

    These are t, x, y, z, where t alone rises at every row and does not just count rows; t, x likewise; and
    up to three columns at a given rate. Anything else may be several things.
    """
    if timing is None and axes is not None:
        timing = _no_times(sample, options)
    free = [i for i in range(len(sample.names)) if i not in taken]
    if timing is not None and axes is None:
        rest = [i for i in free if i not in timing.columns]
        if len(rest) <= 3 and rest:
            return timing, _plain_axes(sample, rest, options)
    if timing is not None and axes is not None:
        return timing, axes
    if timing is None and len(free) <= 3 and options.rate is not None:
        return _no_times(sample, options), _plain_axes(sample, free, options)
    if (
        timing is None
        and len(free) in {2, 4}
        and _rises(sample, free[0])
        and not _any_rises(sample, free[1:])
    ):
        counts = _counts_rows(sample, free[0])
        if counts == (options.rate is not None):
            timing = timing_of(sample, free[0], options)
            return timing, _plain_axes(sample, free[1:], options)
    first = ", ".join(str(plain(column)[0].as_py()) for column in sample.columns[:_SHOWN])
    raise RecordingError(
        sample.path,
        f"{len(sample.names)} columns without a header ({first}) may be several things",
        expected="--time N (or --rate HZ) and --position N,N,N, by numbers from 1, and --track N where one "
        "says who moved",
    )


def _plain_axes(sample: Table, columns: Sequence[int], options: ReadOptions) -> Axes:
    names = [parse_name("")] * len(sample.names)
    try:
        return chosen_axes(columns, names, options.geodetic, options.unit)
    except ValueError as error:
        raise RecordingError(sample.path, str(error), expected="--position") from error


def _is_numeric(sample: Table, index: int) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    kind = plain(sample.columns[index]).type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _rises(sample: Table, index: int) -> bool:
    if len(sample) < 2 or not _is_numeric(sample, index):
        return False
    return bool((np.diff(floats(sample, index)) > 0).all())


def _any_rises(sample: Table, columns: Sequence[int]) -> bool:
    return any(_rises(sample, each) for each in columns)


def _counts_rows(sample: Table, index: int) -> bool:
    return bool((np.diff(floats(sample, index)) == 1).all())


def _own_name(sample: Table, index: int) -> str:
    return (
        sample.names[index].strip() if sample.named and sample.names[index].strip() else f"column {index + 1}"
    )


def _position_names(sample: Table, axes: Axes, options: ReadOptions) -> tuple[str, ...]:
    count = 3 if axes.geodetic else len(axes.columns)
    if axes.geodetic or options.position is None or not sample.named:
        return tuple("xyz"[i] if i < 3 else f"x{i + 1}" for i in range(count))
    return tuple(_own_name(sample, each) for each in axes.columns)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    result: list[str] = []
    for name in names:
        number, label = 1, name
        while label in result:
            number += 1
            label = f"{name} {number}"
        result.append(label)
    return tuple(result)


def _unit(axes: Axes, options: ReadOptions) -> str:
    return axes.unit if axes.geodetic else options.unit or axes.unit


def _frame(sample: Table, axes: Axes, options: ReadOptions) -> str:
    if axes.geodetic and options.frame not in {None, "enu"}:
        raise RecordingError(
            sample.path,
            f"frame '{options.frame}' for latitude and longitude",
            expected="no frame: they become metres east, north and up",
        )
    return options.frame or axes.frame
