"""Look into files of recordings: every track in numbers, and what a picture of it needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.mending import gap_limit, mend
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Format, find_format, read
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.stream_summary import StreamedFile
from examples.trajectory_3d.recordings.summary import TrackSummary, summarise_mended
from examples.trajectory_3d.recordings.trajectory import Trajectory

LARGE = 32 * 2**20  # bytes from which on a file is streamed, if its format can be
CHUNK = 1 << 18  # samples read at once then
_COMPRESSION = 8  # a guess of how much larger gzipped text is
_MOST_POINTS = 4000  # of a track in a picture
_MOST_VIEWS = 8  # tracks in a picture


@dataclass(frozen=True)
class TrackView:
    """What a picture shows of a track.

    Attributes:
        path: some of its samples, in order of time, NaN where a gap is.
        steps: seconds between samples.
        outliers: samples off the path, ``[o, 1 + dimensions]``: seconds and position.
        gap: seconds from which on a step is a gap.
    """

    path: Trajectory
    steps: Float64Array
    outliers: Float64Array
    gap: float


@dataclass(frozen=True)
class Inspection:
    """What is in a file.

    Attributes:
        path: of the file.
        format: its registered name.
        title: of the format.
        streamed: whether it was read in pieces.
        tracks: all of them in numbers.
        views: those with most samples, for a picture; none of a track without positions.
    """

    path: Path
    format: str
    title: str
    streamed: bool
    tracks: tuple[TrackSummary, ...]
    views: tuple[TrackView, ...]


@dataclass(frozen=True)
class Unread:
    """A file that was not inspected.

    Attributes:
        path: of the file.
        reason: why, with line and column where it has one.
        failed: whether it should have been: it was named, or its format is known; otherwise it only lay in a
            folder that was named.
    """

    path: Path
    reason: str
    failed: bool


def files_of(paths: Sequence[Path]) -> list[tuple[Path, bool]]:
    """Files named and files in folders named, each once, and whether they were named themselves.

    Raises:
        FileNotFoundError: no such file or folder.
    """
    found: dict[Path, tuple[Path, bool]] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(path)
        named = not path.is_dir()
        inside = [path] if named else sorted(each for each in path.rglob("*") if each.is_file())
        for each in inside:
            if named or not any(part.startswith(".") for part in each.relative_to(path).parts):
                found.setdefault(each.resolve(), (each, named))
    return list(found.values())


def readable(paths: Sequence[Path], options: ReadOptions) -> tuple[list[tuple[Path, str]], list[Unread]]:
    """Files of known formats among files and folders, with their formats, and the others.

    Raises:
        FileNotFoundError: no such file or folder.
    """
    known, unread = [], []
    for path, named in files_of(paths):
        try:
            known.append((path, find_format(Source(path), options).name))
        except (RecordingError, OSError) as error:
            unread.append(_without_format(path, error, named=named))
    return known, unread


def inspect_all(
    paths: Sequence[Path], options: ReadOptions, *, views: bool = False
) -> Iterator[Inspection | Unread]:
    """Inspect files and folders one by one; a file that cannot be read does not stop the others.

    Raises:
        FileNotFoundError: no such file or folder.
    """
    for path, named in files_of(paths):
        try:
            found = find_format(Source(path), options)
        except (RecordingError, OSError) as error:
            yield _without_format(path, error, named=named)
            continue
        try:
            yield inspect(path, options, found, views=views)
        except (RecordingError, OSError) as error:
            yield Unread(path, str(error), failed=True)


def _without_format(path: Path, error: RecordingError | OSError, *, named: bool) -> Unread:
    """A file in a folder need not be a recording; of one that was named, all formats are worth telling."""
    if named or isinstance(error, OSError):
        return Unread(path, str(error), failed=True)
    return Unread(path, f"{path}: {error.problem}", failed=False)


def inspect(
    path: Path, options: ReadOptions, found: Format | None = None, *, views: bool = False
) -> Inspection:
    """Every track of a file in numbers.

    Args:
        path: of the file.
        options: what the file does not say of itself.
        found: its format, if it is known already.
        views: whether a picture is wanted as well.

    Raises:
        RecordingError: it cannot be read.
    """
    found = found or find_format(Source(path), options)
    if streams(path, found):
        return _streamed(path, options, found, views=views)
    summaries, seen = [], []
    for track in read(path, replace(options, format=found.name)):
        mended = mend(track)
        summaries.append(summarise_mended(track, mended))
        if views and len(mended.trajectory):
            seen.append(_view(mended.trajectory, mended.outliers))
            seen = _largest(seen)
    return Inspection(path, found.name, found.title, False, tuple(summaries), tuple(seen))


def streams(path: Path, found: Format) -> bool:
    """Whether a file is so large that it is read in pieces, its format allowing."""
    size = path.stat().st_size * (_COMPRESSION if Source(path).compressed else 1)
    return found.stream is not None and size >= LARGE


def as_json(inspection: Inspection) -> dict[str, Any]:
    """An inspection for machines: every number of every track, None for NaN."""
    tracks = []
    for summary in inspection.tracks:
        values = asdict(summary)
        values |= {"rate": summary.rate, "extent": summary.extent, "total_noise": summary.total_noise}
        tracks.append({name: _plain(value) for name, value in values.items()})
    head = {"path": str(inspection.path), "format": inspection.format, "streamed": inspection.streamed}
    return {**head, "tracks": tracks}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _streamed(path: Path, options: ReadOptions, found: Format, *, views: bool) -> Inspection:
    assert found.stream is not None
    file = StreamedFile()
    for pieces in found.stream(Source(path), options, CHUNK):
        try:
            file.add(replace(piece, source=str(path), format=found.name) for piece in pieces)
        except RecordingError:
            raise
        except ValueError as error:  # pieces of one track that do not belong together
            raise RecordingError(path, str(error)) from error
    tracks = list(file.tracks.values())
    summaries = tuple(track.summary() for track in tracks)
    if not summaries:
        raise RecordingError(path, "no samples in it", expected=found.title)
    seen = []
    if views:
        order = sorted(range(len(tracks)), key=lambda place: -summaries[place].samples)[:_MOST_VIEWS]
        for track in (tracks[place] for place in order):
            path_, steps = track.overview(), track.steps()
            path_ = path_.take(np.flatnonzero(np.isfinite(path_.position).all(axis=1)))
            if not len(path_):
                continue
            limit = 3 * float(np.median(steps)) if len(steps) else math.inf
            seen.append(TrackView(path_, steps, np.empty((0, 1 + path_.dimensions)), limit))
    return Inspection(path, found.name, found.title, True, summaries, tuple(seen))


def _largest(views: list[TrackView]) -> list[TrackView]:
    return sorted(views, key=lambda view: -len(view.steps))[:_MOST_VIEWS]


def _view(track: Trajectory, outliers: IntArray) -> TrackView:
    """A thinned path with NaN in its gaps."""
    gap = gap_limit(track.times)
    steps = np.diff(track.times)
    borders = np.concatenate([[0], np.flatnonzero(steps > gap) + 1, [len(track)]])
    stride = max(1, math.ceil(len(track) / _MOST_POINTS))
    rows: list[int] = []
    for start, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        rows += [*range(start, end - 1, stride), end - 1, -1]  # -1: a gap follows
    index = np.array(rows[:-1], dtype=np.int64)
    points = np.where((index < 0)[:, None], np.nan, track.points[index])
    times = np.where(index < 0, track.times[np.maximum(np.roll(index, 1), 0)], track.times[index])
    odd = np.column_stack([track.times[outliers], track.position[outliers]])
    return TrackView(replace(track, times=times, points=points), steps, odd, gap)
