"""A format for tests of what works on any format: tracks in NumPy's own files, whole or in pieces."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from examples.trajectory_3d.recordings import registry
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Format, Match
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import Trajectory


def save_tracks(path: Path, tracks: dict[str, Trajectory]) -> Path:
    arrays = {name: np.column_stack([track.times, track.points]) for name, track in tracks.items()}
    with path.open("wb") as stream:
        stream.write(b"TESTTRACKS\n")
        np.savez(stream, **arrays)
    return path


def _sniff(source: Source) -> Match:
    return Match.CERTAIN if source.head.startswith(b"TESTTRACKS\n") else Match.NO


def _read(source: Source, options: ReadOptions) -> list[Trajectory]:
    try:
        with source.open() as stream:
            stream.seek(11)
            arrays = dict(np.load(io.BytesIO(stream.read())))
    except (OSError, ValueError, EOFError, LookupError, zipfile.BadZipFile) as error:
        raise RecordingError(source.path, "damaged", line=1) from error
    unit = options.unit or "m"
    return [
        Trajectory(a[:, 0], a[:, 1:], names=tuple("xyzuvw"[: a.shape[1] - 1]), unit=unit, track=name)
        for name, a in arrays.items()
    ]


def _stream(source: Source, options: ReadOptions, size: int) -> Iterator[list[Trajectory]]:
    for track in _read(source, options):
        for start in range(0, len(track), size):
            yield [track.take(slice(start, start + size))]


def install(monkeypatch) -> None:
    registry.formats()  # those of the readers first, which register themselves only once
    made = Format("testtracks", "tracks for tests", _sniff, _read, _stream)
    monkeypatch.setitem(registry._FORMATS, "testtracks", made)
