"""Formats: one registered function each, told by content."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from examples.trajectory_3d.recordings import readers
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import CHOICES, ReadOptions
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import Trajectory
from m.config import nearest_hint


class Match(IntEnum):
    """How well a file's beginning fits a format."""

    NO = 0
    POSSIBLE = 1  # nothing speaks against it, and its name speaks for it
    LIKELY = 2  # it looks so, as other formats might
    CERTAIN = 3  # a signature that no other format has


Sniff = Callable[[Source], Match]
Read = Callable[[Source, ReadOptions], list[Trajectory]]
Stream = Callable[[Source, ReadOptions, int], Iterator[list[Trajectory]]]


@dataclass(frozen=True)
class Format:
    """A format of recordings.

    Attributes:
        name: short, as users give it.
        title: in words.
        sniff: says from name and first bytes whether a file may be of it.
        read: gives every track of a file; raises `RecordingError` for anything wrong.
        stream: gives a file too large for memory in pieces of about so many samples, tracks of one name
            following each other; None where the format's files are small.
        uses: those of `CHOICES` that its reader asks for; none where the format fixes them.
    """

    name: str
    title: str
    sniff: Sniff
    read: Read
    stream: Stream | None = None
    uses: frozenset[str] = frozenset()

    def unused(self, options: ReadOptions) -> tuple[str, ...]:
        """A remark on each choice that was made and means nothing here."""
        given = [name for name in CHOICES - self.uses if getattr(options, name) not in (None, ())]
        return tuple(f"{name} is not used: {self.title} fixes it" for name in sorted(given))


_FORMATS: dict[str, Format] = {}


def register_format(
    name: str,
    title: str,
    *,
    sniff: Sniff,
    stream: Stream | None = None,
    uses: frozenset[str] = frozenset(),
) -> Callable[[Read], Read]:
    """Register the decorated function as the reader of a format; see `Format`.

    Raises:
        ValueError: the name is taken.
    """

    def register(read: Read) -> Read:
        if name in _FORMATS:
            raise ValueError(f"format {name!r} is registered already")
        _FORMATS[name] = Format(name, title, sniff, read, stream, uses)
        return read

    return register


def formats() -> dict[str, Format]:
    """All formats by name: those of every module in `readers`, which registers its own when imported.

    Such modules import what they need beyond NumPy when they read.
    """
    for module in pkgutil.iter_modules(readers.__path__):
        importlib.import_module(f"{readers.__name__}.{module.name}")
    return dict(sorted(_FORMATS.items()))


def find_format(source: Source, options: ReadOptions) -> Format:
    """The format of a file: as given, else the one that fits its content best.

    Raises:
        RecordingError: unknown format, an empty file, or content that fits none.
    """
    known = formats()
    if options.format is not None:
        if options.format not in known:
            hint = nearest_hint(options.format, known)
            raise RecordingError(source.path, f"no format is called '{options.format}'{hint}")
        return known[options.format]
    if not source.head:
        raise RecordingError(source.path, "the file is empty", expected="a recording")
    best = max(known.values(), key=lambda each: each.sniff(source))
    if best.sniff(source) == Match.NO:
        raise RecordingError(
            source.path, "of no known format", expected=f"one of {', '.join(known)} (name it with --format)"
        )
    return best


def read(path: str | Path, options: ReadOptions | None = None) -> list[Trajectory]:
    """Read every track of a file.

    Args:
        path: of the file, compressed by gzip or not.
        options: what the file does not say of itself.

    Returns:
        Its tracks, at least one, each with at least one sample.

    Raises:
        FileNotFoundError: no such file.
        RecordingError: it cannot be read as what it is.
    """
    options = options or ReadOptions()
    source = Source(Path(path))
    found = find_format(source, options)
    tracks = [track for track in found.read(source, options) if len(track)]
    if not tracks:
        raise RecordingError(source.path, "no samples in it", expected=found.title)
    unused = found.unused(options)
    return [
        replace(track, source=str(path), format=found.name, notes=(*track.notes, *unused)) for track in tracks
    ]


def read_all(paths: Sequence[str | Path], options: ReadOptions | None = None) -> list[Trajectory]:
    """Read every track of several files."""
    return [track for path in paths for track in read(path, options)]
