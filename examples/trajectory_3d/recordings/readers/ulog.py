"""PX4 ULog: the local position that the estimator logged.

Source of the format: https://docs.px4.io/main/en/dev_log/ulog_file_format.html. The axes are north, east and
down; stamps are microseconds since the autopilot was switched on. It is read here and not by `pyulog`, which
does not come to an end on some damaged files.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.recordings.assembly import plural, stated, times_of
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import Trajectory

_SIGNATURE = b"ULog\x01\x12\x35"
_HEADER = 16
_MESSAGE = "vehicle_local_position"
_SYNC = b"\x08\x00S\x2f\x73\x13\x20\x25\x0c\xbb\x12"
_NAMES = ("x", "y", "z", "vx", "vy", "vz")
_VALID = ("xy_valid", "z_valid")
_TYPES = {
    "int8_t": "<i1",
    "uint8_t": "<u1",
    "int16_t": "<i2",
    "uint16_t": "<u2",
    "int32_t": "<i4",
    "uint32_t": "<u4",
    "int64_t": "<i8",
    "uint64_t": "<u8",
    "float": "<f4",
    "double": "<f8",
    "bool": "<u1",
    "char": "<u1",
}
_FIELD = re.compile(r"(\w+)(?:\[(\d{1,4})\])? (\w+)", re.ASCII)


@dataclass
class _Log:
    """What has been read so far: the layout of the message, its instances by number, and their samples."""

    path: Path
    layout: np.dtype[np.void] | None = None
    instances: dict[int, int] = field(default_factory=dict)
    samples: dict[int, list[bytes]] = field(default_factory=dict)
    dropouts: int = 0
    corrupt: bool = False
    cut: bool = False


def sniff(source: Source) -> Match:
    """Certain by its signature."""
    return Match.CERTAIN if source.head.startswith(_SIGNATURE) else Match.NO


@register_format("ulog", "PX4 ULog (local position)", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """A track for every instance: position in metres and velocity in metres a second, north, east, down.

    Samples that the estimator calls invalid are kept and counted in a note. Corrupt parts are left out up to
    the next mark of synchronisation, which a note says.

    Raises:
        RecordingError: a damaged header, or no local position in it.
    """
    content = source.read()
    if not content.startswith(_SIGNATURE) or len(content) < _HEADER:
        raise RecordingError(source.path, "no whole ULog header", expected="16 bytes that begin with ULog")
    log = _Log(source.path)
    limits = [_HEADER, *_appended(content), len(content)]
    for start, end in pairwise(limits):
        for kind, body in _messages(log, content, start, end):
            _take(log, kind, body)
    if log.layout is None or not log.samples:
        raise RecordingError(source.path, f"no {_MESSAGE} in it", expected="a log with that message")
    notes = ["parts of the file are corrupt and left out"] if log.corrupt else []
    if log.cut:
        notes.append("the file ends within a message; it was cut off")
    if log.dropouts:
        notes.append(f"{plural(log.dropouts, 'dropout')} of the logger")
    ordered = sorted(log.samples, key=lambda number: (log.instances[number], number))
    return [_track(log, options, number, len(ordered) > 1, notes) for number in ordered]


def _appended(content: bytes) -> list[int]:
    """Where data begin that were appended after a crash, from the message of flags; ascending, none twice."""
    size = _HEADER + 3 + 40
    if len(content) < size or content[_HEADER + 2 : _HEADER + 3] != b"B" or not content[_HEADER + 11] & 1:
        return []
    offsets = struct.unpack_from("<3Q", content, _HEADER + 3 + 16)
    return sorted({offset for offset in offsets if size <= offset < len(content)})


def _messages(log: _Log, content: bytes, place: int, end: int) -> Iterator[tuple[str, bytes]]:
    """Kind and body of the messages in a part of the file; each has its length before it."""
    while place < end:
        size, kind = struct.unpack_from("<HB", content, place) if place + 3 <= end else (0, 0)
        if kind == 0 or place + 3 + size > end:
            # Data that were appended begin within a message where the logger died; only the last may be cut.
            log.cut |= end == len(content)
            return
        if (
            not size or not 65 <= kind <= 90
        ):  # kinds are capital letters; new ones may come and are passed over
            log.corrupt = True
            found = content.find(_SYNC, place + 1, end)
            if found < 0:
                return
            place = found
            continue
        yield chr(kind), content[place + 3 : place + 3 + size]
        place += 3 + size


def _take(log: _Log, kind: str, body: bytes) -> None:
    if kind == "F":
        name, _, fields = body.decode("utf-8", "replace").partition(":")
        if name == _MESSAGE:
            log.layout = _layout(log, fields)
    elif kind == "A" and body[3:] == _MESSAGE.encode():
        log.instances[struct.unpack_from("<H", body, 1)[0]] = body[0]
    elif kind == "D" and len(body) >= 2:
        (number,) = struct.unpack_from("<H", body)
        if number in log.instances:
            _sample(log, number, body[2:])
    elif kind == "O":
        log.dropouts += 1


def _sample(log: _Log, number: int, body: bytes) -> None:
    if log.layout is None or len(body) < log.layout.itemsize:
        log.corrupt = True
        return
    log.samples.setdefault(number, []).append(body[: log.layout.itemsize])


def _layout(log: _Log, fields: str) -> np.dtype[np.void]:
    """Fields as a structure; padding at the end is not logged."""
    parts: list[tuple[str, str, int]] = []
    for text in fields.rstrip(";").split(";"):
        found = _FIELD.fullmatch(text)
        if not found or found[1] not in _TYPES or any(found[3] == name for name, _, _ in parts):
            raise RecordingError(log.path, f"field '{text[:40]}' of {_MESSAGE}", expected="a type and a name")
        parts.append((found[3], _TYPES[found[1]], int(found[2] or 1)))
    while parts and parts[-1][0].startswith("_padding"):
        parts.pop()
    layout = np.dtype([(name, kind, (count,)) for name, kind, count in parts])
    singles = {name: kind for name, kind, count in parts if count == 1}
    for name in ("timestamp", *_NAMES[:3]):
        if name not in singles:
            raise RecordingError(log.path, f"{_MESSAGE} without {name}", expected="timestamp, x, y, z")
    if singles["timestamp"] != "<u8":
        raise RecordingError(log.path, f"{_MESSAGE} with an odd timestamp", expected="uint64_t timestamp")
    return layout


def _track(log: _Log, options: ReadOptions, number: int, several: bool, notes: list[str]) -> Trajectory:
    table: npt.NDArray[np.void] = np.frombuffer(b"".join(log.samples[number]), dtype=log.layout)
    fields = table.dtype.names or ()
    names = tuple(name for name in _NAMES if name in fields)
    with np.errstate(all="ignore"):
        points = np.stack([table[name][:, 0].astype(np.float64) for name in names], axis=1)
    points[~np.isfinite(points)] = np.nan
    times, start = times_of(log.path, [stamp * 1000 for stamp in table["timestamp"][:, 0].tolist()])
    valid = np.ones(len(table), dtype=bool)
    for name in _VALID:
        if name in fields:
            valid &= table[name][:, 0] != 0
    found = list(notes)
    if not valid.all():
        found.append(f"the estimator calls {int((~valid).sum())} of {len(valid)} positions invalid")
    return Trajectory(
        times,
        points,
        names,
        **stated(options, unit="m", frame="ned"),
        start_ns=start,
        track=f"{_MESSAGE} {log.instances[number]}" if several else "",
        notes=tuple(found),
    )
