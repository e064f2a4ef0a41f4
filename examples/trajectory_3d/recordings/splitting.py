"""Recordings as training, validation and test parts of which none holds a point of another.

By track: a whole track goes to one part, and so do tracks with the same points (a file that is there twice).
By file: so do all tracks of a file, such as the markers of one body. By time: each track is cut, the earliest
for training and the latest for the test, and what lies within the embargo after a cut goes to no part, so
that a window that ends before the cut shares nothing with one that begins after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from examples.trajectory_3d.recordings.converting import file_names
from examples.trajectory_3d.recordings.inspecting import CHUNK, streams
from examples.trajectory_3d.recordings.joining import joined
from examples.trajectory_3d.recordings.mending import mend
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import find_format, read
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory
from m.config import ConfigError

By: TypeAlias = Literal["track", "file", "time"]
BYS: tuple[By, ...] = ("track", "file", "time")
PARTS = ("train", "validation", "test")
SHARD = 500_000  # samples
Write: TypeAlias = Callable[[Path, Sequence[Trajectory], str], object]


@dataclass(frozen=True, kw_only=True)
class Split:
    """How to split.

    Attributes:
        fractions: of the samples, for training, validation and test; their sum is 1, a part of 0 is left out.
        by: whole tracks, whole files, or the time of each track.
        seed: of the order in which tracks or files are dealt out.
        embargo: seconds after each cut of a track by time that go to no part.

    Raises:
        ConfigError: fractions that are none, or an embargo where nothing is cut.
    """

    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    by: By = "track"
    seed: int = 0
    embargo: float = 0.0

    def __post_init__(self) -> None:
        if len(self.fractions) != len(PARTS) or not all(0 <= each <= 1 for each in self.fractions):
            raise ConfigError(f"fractions are three numbers from 0 to 1, got {self.fractions}")
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ConfigError(f"fractions must sum to 1, got {sum(self.fractions):g}")
        if not 0 <= self.embargo < float("inf"):
            raise ConfigError(f"embargo must be 0 seconds or more, got {self.embargo}")
        if self.embargo and self.by != "time":
            raise ConfigError("embargo is for splits by time; whole tracks share no moment")


@dataclass
class Entry:
    """One track of one file: what is known of it after a first look.

    Attributes:
        path: of the file.
        track: its name there.
        name: its name in the parts, unlike all others.
        samples: how many.
        start_ns: of the earliest sample.
        end_ns: of the latest.
        digest: of its points, for telling copies.
    """

    path: Path
    track: str
    name: str
    samples: int = 0
    start_ns: int = 0
    end_ns: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def add(self, piece: Trajectory) -> None:
        """Count the next rows, of which there is at least one."""
        first, last = (int(piece.start_ns + round(float(t) * NANOSECONDS)) for t in _ends(piece))
        self.start_ns = min(self.start_ns, first) if self.samples else first
        self.end_ns = max(self.end_ns, last) if self.samples else last
        self.samples += len(piece)
        self.digest.update(np.ascontiguousarray(piece.points).tobytes())


def split_files(
    files: Sequence[tuple[Path, str]], options: ReadOptions, split: Split, out: Path, write: Write
) -> dict[str, Any]:
    """Write the parts as shards below a folder, and ``split.json`` which says what is where.

    Files are read twice, one after the other; those too large for memory in pieces, as they are, the others
    mended.

    Args:
        files: paths, each once, and their formats.
        options: what they do not say of themselves.
        split: how.
        out: folder, new or empty.
        write: writes one shard.

    Returns:
        What ``split.json`` holds.

    Raises:
        FileExistsError: there is something in the folder.
        RecordingError: a file cannot be read.
        ConfigError: too few tracks, or too short ones, for the parts.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; split into a new folder")
    entries = survey(files, options)
    homes = _homes(entries, split) if split.by != "time" else {}
    shards = _Shards(out, write)
    dropped = 0
    for entry, piece in _pieces(files, options, entries):
        named = replace(piece, track=entry.name)
        if split.by == "time":
            dropped += _deal_by_time(named, entry, split, shards)
        else:
            shards.add(homes[entry.name], entry, named)
    shards.close()
    empty = [
        part for part, share in zip(PARTS, split.fractions, strict=True) if share and not shards.files[part]
    ]
    if empty:
        raise ConfigError(f"nothing is left for {' and '.join(empty)}: the embargo is longer than the part")
    return _write_plan(out, split, shards, entries, dropped)


def survey(files: Sequence[tuple[Path, str]], options: ReadOptions) -> dict[tuple[Path, str], Entry]:
    """Every track of every file, with a name of its own."""
    entries: dict[tuple[Path, str], Entry] = {}
    paths = [path for path, _ in files]
    stems = dict(zip(paths, file_names(paths), strict=True))
    for path, name in files:
        for piece in _read(path, replace(options, format=name)):
            key = (path, piece.track)
            if key not in entries:
                unique = "/".join(part for part in (stems[path], piece.track) if part)
                entries[key] = Entry(path, piece.track, unique)
            entries[key].add(piece)
    return entries


def deal(sizes: Sequence[int], fractions: Sequence[float], seed: int) -> list[int]:
    """Deal things of so many samples out to parts, so that each gets about its fraction of the samples.

    In random order each goes to the part that lacks most; a part that then has none gets the smallest thing
    of the part with most of them.

    Returns:
        The part of each thing.

    Raises:
        ConfigError: fewer things than parts of a fraction above 0.
    """
    wanted = [part for part, share in enumerate(fractions) if share > 0]
    if len(sizes) < len(wanted):
        raise ConfigError(f"{len(sizes)} cannot be dealt out to {len(wanted)} parts; split by time instead")
    missing = np.array(fractions, dtype=np.float64) * sum(sizes)
    homes = [-1] * len(sizes)
    for place in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        homes[place] = max(wanted, key=lambda part: missing[part])
        missing[homes[place]] -= sizes[place]
    for part in wanted:
        if part not in homes:
            fullest = max(wanted, key=homes.count)
            smallest = min((p for p, home in enumerate(homes) if home == fullest), key=lambda p: sizes[p])
            homes[smallest] = part
    return homes


def cuts(entry: Entry, fractions: Sequence[float]) -> list[int]:
    """Stamps at which the parts of a track begin, and one after its end: nanoseconds, one more than parts."""
    span = entry.end_ns - entry.start_ns
    shares = np.cumsum([0.0, *fractions]).tolist()
    return [entry.start_ns + round(share * span) for share in shares[:-1]] + [entry.end_ns + 1]


def _homes(entries: dict[tuple[Path, str], Entry], split: Split) -> dict[str, str]:
    """The part of each track by its name in the parts."""
    groups: dict[object, list[Entry]] = {}
    for entry in entries.values():
        key = entry.path if split.by == "file" else entry.digest.hexdigest()
        groups.setdefault(key, []).append(entry)
    sizes = [sum(entry.samples for entry in group) for group in groups.values()]
    parts = deal(sizes, split.fractions, split.seed)
    return {
        entry.name: PARTS[part] for group, part in zip(groups.values(), parts, strict=True) for entry in group
    }


def _deal_by_time(piece: Trajectory, entry: Entry, split: Split, shards: _Shards) -> int:
    """Give each part its rows of a piece; returns how many fell to the embargo."""
    stamps = piece.stamps_ns()
    borders = cuts(entry, split.fractions)
    embargo = round(split.embargo * NANOSECONDS)
    given = 0
    for number, part in enumerate(PARTS):
        begin = borders[number] + (embargo if any(split.fractions[:number]) else 0)
        mine = (stamps >= begin) & (stamps < borders[number + 1])
        if split.fractions[number] and mine.any():
            given += int(mine.sum())
            shards.add(part, entry, piece.take(mine))
    return len(piece) - given


class _Shards:
    """Parts on their way into files of about half a million samples."""

    def __init__(self, out: Path, write: Write) -> None:
        self._out, self._write = out, write
        self._waiting: dict[tuple[str, object], list[Trajectory]] = {}
        self.files: dict[str, list[str]] = {part: [] for part in PARTS}
        self.tracks: dict[str, dict[str, dict[str, Any]]] = {part: {} for part in PARTS}

    def add(self, part: str, entry: Entry, piece: Trajectory) -> None:
        """Put rows of a track into a part."""
        key = (part, (piece.names, piece.unit, piece.frame, piece.clock))  # what a file has once
        self._waiting.setdefault(key, []).append(piece)
        first, last = (int(piece.start_ns + round(float(t) * NANOSECONDS)) for t in _ends(piece))
        seen = self.tracks[part].setdefault(
            entry.name,
            {
                "source": str(entry.path),
                "track": entry.track,
                "samples": 0,
                "start_ns": first,
                "end_ns": last,
            },
        )
        seen["samples"] += len(piece)
        seen["start_ns"], seen["end_ns"] = min(seen["start_ns"], first), max(seen["end_ns"], last)
        if sum(len(each) for each in self._waiting[key]) >= SHARD:
            self._flush(key)

    def close(self) -> None:
        """Write what waits."""
        for key in list(self._waiting):
            self._flush(key)

    def _flush(self, key: tuple[str, object]) -> None:
        part, pieces = key[0], self._waiting.pop(key)
        path = self._out / part / f"{len(self.files[part]):05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        by_name: dict[str, list[Trajectory]] = {}
        for piece in pieces:
            by_name.setdefault(piece.track, []).append(piece)
        self._write(path, [joined(each) for each in by_name.values()], "parquet")
        self.files[part].append(f"{part}/{path.name}")


def _ends(piece: Trajectory) -> tuple[float, float]:
    return float(piece.times.min()), float(piece.times.max())


def _pieces(
    files: Iterable[tuple[Path, str]], options: ReadOptions, entries: dict[tuple[Path, str], Entry]
) -> Iterator[tuple[Entry, Trajectory]]:
    for path, name in files:
        for piece in _read(path, replace(options, format=name)):
            yield entries[path, piece.track], piece


def _read(path: Path, options: ReadOptions) -> Iterator[Trajectory]:
    """Tracks of a file, mended; or, of a file too large for memory, pieces of them as they are."""
    found = find_format(Source(path), options)
    if not streams(path, found):
        tracks = (mend(track).trajectory for track in read(path, options))
        yield from (track for track in tracks if len(track))
        return
    assert found.stream is not None
    for pieces in found.stream(Source(path), options, CHUNK):
        yield from (replace(piece, source=str(path), format=found.name) for piece in pieces if len(piece))


def _write_plan(
    out: Path, split: Split, shards: _Shards, entries: dict[tuple[Path, str], Entry], dropped: int
) -> dict[str, Any]:
    parts = {
        part: {
            "files": shards.files[part],
            "samples": sum(track["samples"] for track in shards.tracks[part].values()),
            "tracks": [{"name": name, **track} for name, track in shards.tracks[part].items()],
        }
        for part in PARTS
        if shards.files[part]
    }
    plan: dict[str, Any] = {
        "by": split.by,
        "fractions": list(split.fractions),
        "seed": split.seed,
        "embargo_s": split.embargo,
        "samples": sum(entry.samples for entry in entries.values()),
        "dropped_by_embargo": dropped,
        "parts": parts,
    }
    text = json.dumps(plan, indent=2, allow_nan=False) + "\n"
    (out / "split.json").write_text(text, encoding="utf-8")
    return plan
