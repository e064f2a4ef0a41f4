"""PX4 ULog: the local position that the estimator logged, decoded by `pyulog`.

Source of the format: https://docs.px4.io/main/en/dev_log/ulog_file_format.html. The axes are north, east and
down; stamps are microseconds since the autopilot was switched on.
"""

from __future__ import annotations

import contextlib
import io
import struct
from typing import Any

import numpy as np

from examples.trajectory_3d.recordings.assembly import plural, stated, times_of
from examples.trajectory_3d.recordings.epochs import MOST_NS
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.extras import missing_extra
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import Trajectory

_SIGNATURE = b"ULog\x01\x12\x35"
_HEADER = 16
_MESSAGE = "vehicle_local_position"
_NAMES = ("x", "y", "z", "vx", "vy", "vz")
_VALID = ("xy_valid", "z_valid")


def sniff(source: Source) -> Match:
    """Certain by its signature."""
    return Match.CERTAIN if source.head.startswith(_SIGNATURE) else Match.NO


@register_format("ulog", "PX4 ULog (local position)", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """A track for every instance: position in metres and velocity in metres a second, north, east, down.

    Samples that the estimator calls invalid are kept and counted in a note.

    Raises:
        RecordingError: a damaged header, no local position in it, or `pyulog` is not installed.
    """
    content = source.read()
    if not content.startswith(_SIGNATURE) or len(content) < _HEADER:
        raise RecordingError(source.path, "no whole ULog header", expected="16 bytes that begin with ULog")
    log = _decode(source, content)
    instances = [each for each in log.data_list if each.name == _MESSAGE]
    if not instances:
        raise RecordingError(source.path, f"no {_MESSAGE} in it", expected="a log with that message")
    notes = []
    if log.file_corruption:
        notes.append("parts of the file are corrupt and left out")
    elif _cut(content):
        notes.append("the file ends within a message; it was cut off")
    if log.dropouts:
        notes.append(f"{plural(len(log.dropouts), 'dropout')} of the logger")
    return [_track(source, options, each, len(instances) > 1, notes) for each in instances]


def _decode(source: Source, content: bytes) -> Any:
    try:
        from pyulog import ULog  # noqa: PLC0415
    except ImportError as error:
        raise missing_extra(source.path, "ULog files", "pyulog") from error
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it finds corrupt
            return ULog(io.BytesIO(content), message_name_filter_list=[_MESSAGE])
    except Exception as error:  # what the decoder raises for damaged bytes is not documented
        problem = f"damaged ULog content ({type(error).__name__}: {error})"
        raise RecordingError(source.path, problem, expected="a whole ULog file") from error


def _track(
    source: Source, options: ReadOptions, instance: Any, several: bool, notes: list[str]
) -> Trajectory:
    data = instance.data
    lacking = [name for name in ("timestamp", *_NAMES[:3]) if name not in data]
    if lacking:
        raise RecordingError(source.path, f"{_MESSAGE} without {lacking[0]}", expected="timestamp, x, y, z")
    names = tuple(name for name in _NAMES if name in data)
    with np.errstate(all="ignore"):
        points = np.stack([np.asarray(data[name], dtype=np.float64) for name in names], axis=1)
    points[~np.isfinite(points)] = np.nan
    stamps = [int(stamp) * 1000 for stamp in data["timestamp"].tolist()]
    if any(abs(stamp) > MOST_NS for stamp in stamps):
        raise RecordingError(
            source.path, "a stamp of more than 146 years", expected="microseconds since start"
        )
    times, start = times_of(source.path, stamps)
    found = list(notes)
    checks = [np.asarray(data[name]) != 0 for name in _VALID if name in data]
    invalid = int((~np.logical_and.reduce(checks)).sum()) if checks else 0
    if invalid:
        found.append(f"the estimator calls {invalid} of {len(times)} positions invalid")
    return Trajectory(
        times,
        points,
        names,
        **stated(options, unit="m", frame="ned"),
        start_ns=start,
        track=f"{_MESSAGE} {instance.multi_id}" if several else "",
        notes=tuple(found),
    )


def _cut(content: bytes) -> bool:
    """Whether the chain of messages, each with its length, ends before its last one does."""
    place = _HEADER
    while place < len(content):
        if place + 3 > len(content):
            return True
        place += 3 + struct.unpack_from("<H", content, place)[0]
    return place > len(content)
