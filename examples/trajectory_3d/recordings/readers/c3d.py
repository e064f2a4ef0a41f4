"""C3D motion capture: markers in binary frames, of any of its three kinds of processor.

Source of the format: "The C3D File Format", Motion Lab Systems, https://www.c3d.org/docs/C3D_User_Guide.pdf.
It is read here and not by a library: those at hand crash on damaged files, and pass over missing frames.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array
from examples.trajectory_3d.recordings.assembly import distinct, plural, spaced, stated
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import shown
from examples.trajectory_3d.recordings.trajectory import LENGTH_UNITS, Trajectory

_BLOCK = 512
_KEY = 0x50
_INTEL, _DEC, _MIPS = 84, 85, 86
_SIZES = {-1: 1, 1: 1, 2: 2, 4: 4}  # bytes of characters, bytes, integers and numbers
_OVERFULL = 65_535  # frames beyond this do not fit the header


@dataclass(frozen=True)
class _Parameter:
    kind: int
    shape: tuple[int, ...]
    data: bytes


@dataclass
class _File:
    """Content, and the byte order and kind of numbers that its processor had."""

    path: Path
    content: bytes
    processor: int = _INTEL
    parameters: dict[tuple[str, str], _Parameter] = field(default_factory=dict)

    @property
    def order(self) -> str:
        return ">" if self.processor == _MIPS else "<"

    def integers(self, place: int, count: int, kind: str = "u2") -> list[int]:
        size = int(kind[1]) * count
        return [int(each) for each in np.frombuffer(self.part(place, size), dtype=self.order + kind)]

    def part(self, place: int, size: int) -> bytes:
        found = self.content[place : place + size] if place >= 0 else b""
        if len(found) < size:
            raise RecordingError(
                self.path, f"the file ends at byte {len(self.content)}", expected=f"{size} bytes at {place}"
            )
        return found

    def numbers(self, data: bytes) -> Float64Array:
        """Four-byte numbers; those of DEC have their halves swapped and an exponent that is two higher."""
        whole = len(data) // 4 * 4
        if self.processor == _DEC:
            halves = np.frombuffer(data[:whole], dtype="<u2").reshape(-1, 2)[:, ::-1]
            values = np.ascontiguousarray(halves).view("<f4").ravel().astype(np.float64) / 4
        else:
            with np.errstate(invalid="ignore"):  # some patterns of bits are NaN that warn
                values = np.frombuffer(data[:whole], dtype=self.order + "f4").astype(np.float64)
        return values

    def text(self, group: str, name: str) -> list[str]:
        """Texts of a parameter; none when there is no such one."""
        found = self.parameters.get((group, name))
        if found is None or found.kind != -1:
            return []
        width = found.shape[0] if found.shape else len(found.data)
        count = math.prod(found.shape[1:]) if found.shape else 1
        cut = (found.data[index * width : (index + 1) * width] for index in range(count))
        return [each.decode("utf-8", "replace").strip(" \0") for each in cut]

    def values(self, group: str, name: str) -> list[float]:
        """Numbers of a parameter, integers without sign; none when there is no such one."""
        found = self.parameters.get((group, name))
        if found is None or found.kind == -1:
            return []
        if found.kind == 4:
            return [float(each) for each in self.numbers(found.data)]
        kind = "u1" if found.kind == 1 else self.order + "u2"
        return [float(each) for each in np.frombuffer(found.data, dtype=kind)]


@dataclass(frozen=True)
class _Layout:
    """Of the frames: how many points and analogue samples each holds, where they begin and how they scale."""

    points: int
    analogue: int
    frames: int
    scale: float
    start: int
    rate: float


def sniff(source: Source) -> Match:
    """Certain by the key in the second byte and the parameters' processor in their place."""
    head = source.head
    if len(head) < _BLOCK or head[1] != _KEY or not head[0]:
        return Match.NO
    place = (head[0] - 1) * _BLOCK + 3
    return Match.CERTAIN if place < len(head) and head[place] in {_INTEL, _DEC, _MIPS} else Match.NO


@register_format("c3d", "C3D motion capture", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """A track for every marker that was seen; samples that no camera saw are NaN.

    Raises:
        RecordingError: a file that is no C3D, ends before its first frame, or does not say its rate while
            the user does not either.
    """
    file = _File(source.path, source.read())
    _read_parameters(file)
    layout = _layout(file)
    points = _points(file, layout)
    rate = layout.rate or options.rate
    if not rate:
        raise RecordingError(source.path, "no rate in the header", expected="its samples a second, by --rate")
    times = spaced(source.path, len(points), rate)
    seen: BoolArray = np.asarray(np.isfinite(points).all(axis=2).any(axis=0))
    notes = []
    if len(points) != layout.frames:
        notes.append(f"the header says {plural(layout.frames, 'frame')}, the file has {len(points)}")
    if not seen.all():
        notes.append(f"{plural(int((~seen).sum()), 'marker')} of {layout.points} never seen")
    unit = next(iter(file.text("POINT", "UNITS")), "").lower()
    if unit not in LENGTH_UNITS:
        notes.append(f"unit {shown(unit)} is not known")
        unit = "unknown"
    declared = stated(options, unit=unit, frame="xyz")
    return [
        Trajectory(times, points[:, index].copy(), **declared, track=name, notes=tuple(notes))
        for index, name in enumerate(_labels(file, layout.points))
        if seen[index]
    ]


def _read_parameters(file: _File) -> None:
    """Groups and parameters, each with the distance to the next, until one of length zero."""
    head = file.part(0, _BLOCK)
    if head[1] != _KEY or not head[0]:
        raise RecordingError(
            file.path, f"bytes {head[0]:#x} {head[1]:#x} at its start", expected="a C3D header"
        )
    place = (head[0] - 1) * _BLOCK
    file.processor = file.part(place, 4)[3]
    if file.processor not in {_INTEL, _DEC, _MIPS}:
        raise RecordingError(
            file.path, f"processor {file.processor} at byte {place + 3}", expected="84, 85 or 86"
        )
    place += 4
    groups: dict[int, str] = {}
    found: list[tuple[int, str, _Parameter]] = []
    while True:
        length, group = struct.unpack("bb", file.part(place, 2))
        if not length or not group:
            break
        name = file.part(place + 2, abs(length)).decode("ascii", "replace").upper()
        place += 2 + abs(length)
        (step,) = file.integers(place, 1)
        if group < 0:
            groups[-group] = name
        else:
            found.append((group, name, _parameter(file, place + 2)))
        if not step:
            break
        place += step
    file.parameters = {(groups.get(group, ""), name): each for group, name, each in found}


def _parameter(file: _File, place: int) -> _Parameter:
    kind, dimensions = struct.unpack("bB", file.part(place, 2))
    if kind not in _SIZES or dimensions > 7:
        raise RecordingError(
            file.path, f"a parameter of kind {kind} and {dimensions} dimensions at byte {place}",
            expected="kind -1, 1, 2 or 4 and up to 7",
        )  # fmt: skip
    shape = tuple(file.part(place + 2, dimensions))
    data = file.part(place + 2 + dimensions, math.prod(shape) * _SIZES[kind])
    return _Parameter(kind, shape, data)


def _layout(file: _File) -> _Layout:
    points, analogue, first, last = file.integers(2, 4)
    scale = float(file.numbers(file.part(12, 4))[0])
    (block,) = file.integers(16, 1)
    rate = next(iter(file.values("POINT", "RATE")), 0.0) or float(file.numbers(file.part(20, 4))[0])
    if not points:
        raise RecordingError(file.path, "no points in it", expected="markers")
    if not math.isfinite(scale) or not scale or not block:
        raise RecordingError(
            file.path, f"scale {scale:g}, data in block {block}", expected="a scale and a block"
        )
    if not math.isfinite(rate) or rate < 0:
        raise RecordingError(file.path, f"a rate of {rate:g}", expected="frames a second")
    return _Layout(points, analogue, _frames(file, first, last), scale, (block - 1) * _BLOCK, rate)


def _frames(file: _File, first: int, last: int) -> int:
    """Number of frames: by the header, or where that is full by TRIAL or POINT, which have wider fields."""
    if last < _OVERFULL:
        return max(0, last - first + 1)
    limits = [file.values("TRIAL", f"ACTUAL_{side}_FIELD") for side in ("START", "END")]
    if all(len(each) == 2 for each in limits):
        begin, end = (low + 65_536 * high for low, high in limits)
        return max(0, int(end - begin) + 1)
    for name in ("LONG_FRAMES", "FRAMES"):
        count = next(iter(file.values("POINT", name)), 0.0)
        if math.isfinite(count) and count >= 1:
            return int(count)
    return last - first + 1


def _points(file: _File, layout: _Layout) -> Float64Array:
    """Positions ``[frames, points, 3]`` of the frames that are whole, NaN where the residual is negative."""
    real = layout.scale < 0
    width = 4 * layout.points + layout.analogue
    size = width * (4 if real else 2)
    available = max(0, len(file.content) - layout.start) // size
    frames = min(layout.frames, available)
    if not frames:
        raise RecordingError(file.path, "no whole frame in it", expected=plural(layout.frames, "frame"))
    data = file.part(layout.start, frames * size)
    values = file.numbers(data) if real else np.frombuffer(data, dtype=file.order + "i2").astype(np.float64)
    samples = values.reshape(frames, width)[:, : 4 * layout.points].reshape(frames, layout.points, 4)
    points = samples[:, :, :3] * (1.0 if real else layout.scale)
    points[(samples[:, :, 3] < 0) | ~np.isfinite(points).all(axis=2)] = np.nan
    return points


def _labels(file: _File, count: int) -> list[str]:
    """Names of the points; more than 255 go on in LABELS2, LABELS3 ..."""
    labels = file.text("POINT", "LABELS")
    number = 2
    while len(labels) < count and (more := file.text("POINT", f"LABELS{number}")):
        labels += more
        number += 1
    names = [label or f"point {index}" for index, label in enumerate(labels[:count], start=1)]
    names += [f"point {index}" for index in range(len(names) + 1, count + 1)]
    return distinct(names)
