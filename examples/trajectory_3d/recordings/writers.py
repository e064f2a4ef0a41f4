"""Writing trajectories: formats registered like those that are read, chosen by name or by suffix."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.trajectory_3d.recordings import writing
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.trajectory import Trajectory
from m.checkpoint.atomic import atomic_path
from m.config import nearest_hint

Write = Callable[[Path, Sequence[Trajectory]], None]


@dataclass(frozen=True)
class OutputFormat:
    """A format that trajectories are written in.

    Attributes:
        name: short, as users give it.
        title: in words.
        suffixes: of file names that choose it, in lower case with the dot.
        write: writes all tracks to a path; raises `ValueError` for tracks that the format cannot hold.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    write: Write


_FORMATS: dict[str, OutputFormat] = {}


def register_writer(name: str, title: str, *, suffixes: tuple[str, ...]) -> Callable[[Write], Write]:
    """Register the decorated function as the writer of a format.

    Raises:
        ValueError: the name is taken.
    """

    def register(write: Write) -> Write:
        if name in _FORMATS:
            raise ValueError(f"output format {name!r} is registered already")
        _FORMATS[name] = OutputFormat(name, title, suffixes, write)
        return write

    return register


def output_formats() -> dict[str, OutputFormat]:
    """All output formats by name: every module in `writing` registers its own when imported."""
    for module in pkgutil.iter_modules(writing.__path__):
        importlib.import_module(f"{writing.__name__}.{module.name}")
    return dict(sorted(_FORMATS.items()))


def find_output_format(path: Path, format: str | None = None) -> OutputFormat:  # noqa: A002
    """The output format of that name, or of the path's suffix.

    Raises:
        RecordingError: there is none.
    """
    known = output_formats()
    if format is not None:
        if format not in known:
            hint = nearest_hint(format, known)
            raise RecordingError(
                path, f"no output format is called '{format}'{hint}", expected=", ".join(known)
            )
        return known[format]
    suffix = path.suffix.lower()
    found = next((each for each in known.values() if suffix in each.suffixes), None)
    if found is None:
        suffixes = ", ".join(each.suffixes[0] for each in known.values())
        raise RecordingError(path, f"suffix '{suffix}' names no output format", expected=f"one of {suffixes}")
    return found


def write(path: str | Path, trajectories: Sequence[Trajectory], format: str | None = None) -> None:  # noqa: A002
    """Write all tracks to one file, which appears whole or not at all.

    Args:
        path: of the file; missing parent folders are created.
        trajectories: at least one.
        format: name of an output format; by default the path's suffix chooses.

    Raises:
        RecordingError: no such format, no tracks, or tracks that the format cannot hold; says which can.
        OSError: the file system refused.
    """
    target = Path(path)
    chosen = find_output_format(target, format)
    if not trajectories:
        raise RecordingError(target, "nothing to write", expected="at least one track")
    try:
        with atomic_path(target) as temporary:
            chosen.write(temporary, trajectories)
    except ValueError as error:
        raise RecordingError(target, f"{chosen.title} cannot hold this: {error}") from error
