"""BVH motion capture: a skeleton and its joint angles, from which the joints' positions are computed.

Source of the format: M. Meredith and S. Maddock, "Motion Capture File Formats Explained", University of
Sheffield, CS-01-11. Y is up by its convention; it has no unit of length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.assembly import distinct, floats, plural, spaced_ns, stated
from examples.trajectory_3d.recordings.epochs import decimal_ns
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.text_rows import Row, parse_number, shown, split_lines
from examples.trajectory_3d.recordings.trajectory import Trajectory

_CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")
_MOST_JOINTS = 10_000


@dataclass
class _Joint:
    """A joint: its place in its parent, and which columns of a frame move it, in the order they apply."""

    name: str
    parent: int | None
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: list[tuple[str, int]] = field(default_factory=list)

    @property
    def moves(self) -> bool:
        return any(kind.endswith("position") for kind, _ in self.channels)


@dataclass(frozen=True)
class _Word:
    text: str
    line: int
    column: int


def sniff(source: Source) -> Match:
    """Certain by its first word."""
    return (
        Match.CERTAIN if (source.head_text or "").lstrip()[:10].upper().startswith("HIERARCHY") else Match.NO
    )


@register_format("bvh", "BVH motion capture", sniff=sniff)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """A track for every joint, by forward kinematics; end sites, which do not move by themselves, are none.

    A joint's own translation is its OFFSET plus its position channels; angles are degrees, their rotations
    multiplied in the order of CHANNELS.

    Raises:
        RecordingError: a skeleton or a frame that is not as the format says.
    """
    lines = split_lines(source.text())
    start = next((number for number, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if start is None:
        raise RecordingError(
            source.path, "no line MOTION", expected="frames after the skeleton", line=len(lines)
        )
    joints = _Skeleton(source, lines[:start]).joints
    count, step, motion = _frames(source, lines, start + 1, joints)
    times = spaced_ns(source.path, len(motion), step)
    notes = []
    if len(motion) != count:
        notes.append(f"the header says {plural(count, 'frame')}, the file has {len(motion)}")
    if any(joint.moves and (joint.parent is not None or any(joint.offset)) for joint in joints):
        notes.append("position channels of joints with an OFFSET are added to it")
    names = distinct([joint.name for joint in joints])
    declared = stated(options, unit="unknown", frame="y-up")
    return [
        Trajectory(times, points, **declared, track=name, notes=tuple(notes))
        for name, points in zip(names, joint_positions(joints, motion), strict=True)
    ]


def joint_positions(joints: list[_Joint], motion: Float64Array) -> list[Float64Array]:
    """Positions ``[frames, 3]`` of every joint, parents first, from the frames ``[frames, channels]``."""
    places: list[Float64Array] = []
    turns: list[Float64Array] = []
    for joint in joints:
        shift = np.tile(np.array(joint.offset), (len(motion), 1))
        turn = np.tile(np.eye(3), (len(motion), 1, 1))
        for kind, column in joint.channels:
            axis = "XYZ".index(kind[0])
            if kind.endswith("position"):
                shift[:, axis] += motion[:, column]
            else:
                turn = turn @ _rotations(axis, np.radians(motion[:, column]))
        if joint.parent is not None:
            above = turns[joint.parent]
            shift = places[joint.parent] + (above @ shift[:, :, None])[:, :, 0]
            turn = above @ turn
        places.append(shift)
        turns.append(turn)
    return places


def _rotations(axis: int, angles: Float64Array) -> Float64Array:
    """Right-handed rotations about a coordinate axis, ``[N, 3, 3]``."""
    second, third = (axis + 1) % 3, (axis + 2) % 3
    result = np.zeros((len(angles), 3, 3))
    result[:, axis, axis] = 1
    result[:, second, second] = result[:, third, third] = np.cos(angles)
    result[:, third, second] = np.sin(angles)
    result[:, second, third] = -np.sin(angles)
    return result


class _Skeleton:
    """Reads HIERARCHY: words in nested braces, one joint each."""

    def __init__(self, source: Source, lines: list[str]) -> None:
        self.source, self.joints, self.columns = source, [], 0
        self.words = self._words(lines)
        self.end = _Word("", len(lines), 1)
        self._expect("HIERARCHY")
        self._joints()
        if not self.joints:
            raise self._fault(self.end, "a skeleton without joints", "ROOT")

    joints: list[_Joint]

    def _words(self, lines: list[str]) -> Iterator[_Word]:
        for number, line in enumerate(lines, start=1):
            for found in re.finditer(r"\S+", line):
                yield _Word(found.group(), number, found.start() + 1)

    def _next(self, expected: str) -> _Word:
        word = next(self.words, None)
        if word is None:
            raise self._fault(self.end, "the skeleton ends", expected)
        return word

    def _expect(self, *texts: str) -> _Word:
        word = self._next(" or ".join(texts))
        if word.text.upper() not in texts:
            raise self._fault(word, shown(word.text), " or ".join(texts))
        return word

    def _fault(self, word: _Word, problem: str, expected: str) -> RecordingError:
        return RecordingError(
            self.source.path, problem, expected=expected, line=word.line, column=word.column
        )

    def _joints(self) -> None:
        open_joints: list[int] = []  # -1 for an end site
        for word in self.words:
            kind = word.text.upper()
            if kind == "}" and open_joints:
                open_joints.pop()
            elif kind == "ROOT" and not open_joints:
                open_joints.append(self._joint(word, None))
            elif kind == "JOINT" and open_joints and open_joints[-1] >= 0:
                open_joints.append(self._joint(word, open_joints[-1]))
            elif kind == "END" and open_joints and open_joints[-1] >= 0:
                self._end_site()
                open_joints.append(-1)
            else:
                raise self._fault(word, shown(word.text), "JOINT, End Site or }" if open_joints else "ROOT")
        if open_joints:
            raise self._fault(self.end, "the skeleton ends within braces", "}")

    def _end_site(self) -> None:
        self._expect("SITE")
        self._expect("{")
        self._expect("OFFSET")
        for _ in range(3):
            self._number()

    def _joint(self, word: _Word, parent: int | None) -> int:
        if len(self.joints) >= _MOST_JOINTS:
            raise self._fault(word, f"more than {_MOST_JOINTS} joints", "a skeleton")
        joint = _Joint("", parent)
        named = []
        while (name := self._next("{")).text != "{":
            named.append(name.text)
        joint.name = " ".join(named) or f"joint {len(self.joints) + 1}"
        self._expect("OFFSET")
        joint.offset = (self._number(), self._number(), self._number())
        self._expect("CHANNELS")
        amount = self._next("a number of channels")
        if amount.text not in {"0", "1", "2", "3", "4", "5", "6"}:
            raise self._fault(amount, shown(amount.text), "0 to 6 channels")
        for _ in range(int(amount.text)):
            joint.channels.append((self._channel(), self.columns))
            self.columns += 1
        self.joints.append(joint)
        return len(self.joints) - 1

    def _channel(self) -> str:
        word = self._next("a channel")
        kind = next((each for each in _CHANNELS if each.lower() == word.text.lower()), None)
        if kind is None:
            raise self._fault(word, shown(word.text), f"one of {', '.join(_CHANNELS)}")
        return kind

    def _number(self) -> float:
        word = self._next("a number")
        try:
            return parse_number(word.text)
        except ValueError as error:
            raise self._fault(word, shown(word.text), "a number") from error


def _frames(
    source: Source, lines: list[str], start: int, joints: list[_Joint]
) -> tuple[int, int, Float64Array]:
    """Stated count, nanoseconds a frame, and the frames ``[N, channels]``."""
    rest = [Row(source.path, number, lines[number - 1]) for number in range(start + 1, len(lines) + 1)]
    rest = [row for row in rest if row.text.strip()]
    if len(rest) < 2:
        raise RecordingError(
            source.path, "the file ends", expected="Frames: and Frame Time:", line=len(lines)
        )
    channels = sum(len(joint.channels) for joint in joints)
    count = int(_header(rest[0], r"Frames:\s*(\d{1,9})", "Frames: and their number"))
    step = _step(rest[1])
    table = []
    for row in rest[2:]:
        row.require(channels, f"{channels} numbers, one a channel")
        table.append(row.numbers(0, channels))
    return count, step, floats(table, channels) if channels else np.zeros((len(table), 0))


def _step(row: Row) -> int:
    """Nanoseconds a frame."""
    try:
        step = decimal_ns(_header(row, r"Frame\s*Time:\s*(\S+)", "Frame Time: and seconds"))
    except RecordingError:
        raise
    except ValueError as error:
        raise row.fault(str(error), expected="seconds a frame") from error
    if step <= 0:
        raise row.fault("a frame time that is not positive", expected="seconds a frame")
    return step


def _header(row: Row, pattern: str, expected: str) -> str:
    found = re.fullmatch(pattern, row.text.strip(), re.IGNORECASE | re.ASCII)
    if not found:
        raise row.fault(shown(row.text.strip()), expected=expected)
    return found[1]
