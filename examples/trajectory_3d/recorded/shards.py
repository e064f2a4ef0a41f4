"""A set of recordings that stays on disk: windows of Parquet shards, shuffled, in bounded memory.

Windows lie inside a row group, so that any row group can be read on its own. Opening the set reads every row
group once or twice and keeps, of each, only how many windows of each part and group it holds.

An epoch puts the row groups in random order. So many in a row as hold about a million samples, two at least,
are a pool, whose windows come in random order before those of the next pool. Which row groups, pool and
window stand at a place of the stream follows from sums of counts, so resuming reads the pool at that place
and nothing before it. Worker processes take turns in making blocks; each reads a pool once, for its share of
the pool's blocks.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.recorded.cutting import evenly, gather, spread
from examples.trajectory_3d.recorded.files import unique_names
from examples.trajectory_3d.recorded.parts import PARTS, Moments, Part, cut_moments, share_out
from examples.trajectory_3d.recorded.piece_starts import starts_by_part
from examples.trajectory_3d.recorded.rates import common_step, rate_notes, rounded
from examples.trajectory_3d.recorded.row_groups import Shard, open_shard, read_stamps, read_tracks
from examples.trajectory_3d.recorded.store import RecordedWindows, SetFacts, epoch_order, epoch_places
from examples.trajectory_3d.recorded.tracks import set_unit, uniform_track, unit_factor
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS
from examples.trajectory_3d.recordings_config import RecordingsConfig

Label: TypeAlias = Callable[[int, str], str]  # number of a file and name of a track -> name of its group

_POOL_SAMPLES = 1_000_000
_LEAST_IN_POOL = 2  # row groups
_TIMES_KEPT = 256  # of each row group, for the moments at which a file is cut


@dataclass(frozen=True)
class Cut:
    """How the tracks of shards become windows of parts and groups.

    Attributes:
        config: lengths, stride, rate.
        shards: the files.
        factors: of each file's positions.
        clocks: where each file's clock begins, nanoseconds.
        moments: at which each file is cut, seconds on its clock.
        whole: (file, track) -> part that all of it belongs to; empty where files are cut by time.
        groups: (file, track) -> number of its group.
    """

    config: RecordingsConfig
    shards: tuple[Shard, ...]
    factors: tuple[float, ...]
    clocks: tuple[int, ...]
    moments: tuple[Moments, ...]
    whole: Mapping[tuple[int, str], Part]
    groups: Mapping[tuple[int, str], int]


@dataclass(frozen=True)
class Loaded:
    """A row group in memory.

    Attributes:
        points: of all its pieces, ``[N, 3]``.
        starts: part -> first points of windows, ``[K]``.
        groups: part -> groups of these windows, ``[K]``.
        steps: seconds between points -> windows of that rate.
    """

    points: Float64Array
    starts: Mapping[Part, IntArray]
    groups: Mapping[Part, IntArray]
    steps: Mapping[float, int]


class ShardStore:
    """Windows of shards, read as they are needed.

    Args:
        cut: how windows are made.
        places: file and number of each row group.
        counts: part -> windows in each row group and group, ``[row groups, groups]``.
        facts: what is known of the set.
    """

    def __init__(
        self,
        cut: Cut,
        places: Sequence[tuple[int, int]],
        counts: Mapping[Part, Mapping[int, IntArray]],
        facts: SetFacts,
    ) -> None:
        self._cut = cut
        self._places = list(places)
        self._counts = counts
        self._facts = facts
        self._totals = {
            part: np.array([counts[part][n].sum() if n in counts[part] else 0 for n in range(len(places))])
            for part in PARTS
        }
        samples = [cut.shards[file].rows[number] for file, number in places]
        self._pool = max(_LEAST_IN_POOL, round(_POOL_SAMPLES / max(1.0, float(np.mean(samples)))))
        self._held: OrderedDict[int, Loaded] = OrderedDict()

    @property
    def facts(self) -> SetFacts:
        """See `WindowStore`."""
        return self._facts

    def shuffled(self, part: Part, seed: int, first: int, count: int) -> RecordedWindows:
        """See `WindowStore`."""
        made = []
        for epoch, places in epoch_places(self._facts.count(part), first, count):
            order = epoch_order(np.arange(len(self._places)), len(self._places), seed, part, epoch, 0)
            pools = [order[begin : begin + self._pool] for begin in range(0, len(order), self._pool)]
            sizes = np.array([self._totals[part][pool].sum() for pool in pools])
            ends = np.cumsum(sizes)
            homes = np.searchsorted(ends, places, side="right")
            for home in np.unique(homes).tolist():
                inside = places[homes == home] - (ends[home] - sizes[home])
                numbers = epoch_order(inside, int(sizes[home]), seed, part, epoch, 1 + home)
                made.append(self._of_pool(part, pools[home], numbers))
        return RecordedWindows.joined(made)

    def spread(self, part: Part, most: int) -> RecordedWindows:
        """See `WindowStore`; reads the row groups that hold a chosen window, one after the other."""
        available = self._facts.windows[part]
        given = evenly(available, most)
        chosen: dict[int, list[tuple[int, IntArray]]] = {}  # row group -> group, places among its windows
        for group, wanted in enumerate(given.tolist()):
            if wanted:
                places = spread(int(available[group]), wanted)
                before = 0
                for number, counts in self._counts[part].items():
                    inside = places[(places >= before) & (places < before + counts[group])] - before
                    before += int(counts[group])
                    if len(inside):
                        chosen.setdefault(number, []).append((group, inside))
        made = []
        for number, picks in chosen.items():
            loaded = self._load(number)
            for group, inside in picks:
                rows = np.flatnonzero(loaded.groups[part] == group)[inside]
                made.append(self._windows(loaded, part, rows))
        joined = RecordedWindows.joined(made)
        order = np.argsort(joined.groups, kind="stable")  # as sets in memory give them
        return RecordedWindows(joined.points[order], joined.groups[order])

    def _of_pool(self, part: Part, pool: IntArray, numbers: IntArray) -> RecordedWindows:
        """Windows of a pool, numbered through its row groups."""
        sizes = self._totals[part][pool]
        ends = np.cumsum(sizes)
        homes = np.searchsorted(ends, numbers, side="right")
        points = np.empty((len(numbers), self._cut.config.length, 3))
        groups = np.empty(len(numbers), dtype=np.int64)
        for place in np.unique(homes).tolist():
            rows = np.flatnonzero(homes == place)
            found = self._windows(
                self._load(int(pool[place])), part, numbers[rows] - (ends[place] - sizes[place])
            )
            points[rows], groups[rows] = found.points, found.groups
        return RecordedWindows(points, groups)

    def _windows(self, loaded: Loaded, part: Part, rows: IntArray) -> RecordedWindows:
        config = self._cut.config
        starts = loaded.starts[part][rows]
        return RecordedWindows(
            gather(loaded.points, starts, config.length, config.observed), loaded.groups[part][rows]
        )

    def _load(self, number: int) -> Loaded:
        """A row group, one of the few that were used last."""
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        file, place = self._places[number]
        loaded = load_row_group(self._cut, file, place)
        if any(len(loaded.starts[part]) != self._totals[part][number] for part in PARTS):
            shard = self._cut.shards[file]
            raise RecordingError(
                shard.path, "changed since it was opened", expected="files that stay as they are"
            )
        self._held[number] = loaded
        while len(self._held) > self._pool:
            self._held.popitem(last=False)
        return loaded


def open_shards(
    config: RecordingsConfig,
    paths: Sequence[Path],
    *,
    label: Label,
    parts: Sequence[Part | None],
    notes: Sequence[str],
    metres: bool,
) -> ShardStore:
    """Read shards through once, and remember where windows are.

    Args:
        config: how they are cut.
        paths: of the files.
        label: what a track is reported under.
        parts: that whole files belong to; None where it is not given.
        notes: what a reader of results should know.
        metres: whether synthetic motion stands beside them.

    Raises:
        RecordingError: a file that cannot be read as a shard.
    """
    shards = tuple(open_shard(path, config.read) for path in paths)
    units = [shard.unit for shard in shards]
    unit, remarks = set_unit(units, metres=metres)
    several = metres or len(set(units)) > 1
    factors = tuple(unit_factor(shard.unit, unit, several=several) for shard in shards)
    cut, names = _surveyed(config, shards, label, parts, factors)
    places = [(file, number) for file, shard in enumerate(shards) for number in range(len(shard.rows))]
    counts: dict[Part, dict[int, IntArray]] = {part: {} for part in PARTS}
    steps: dict[float, int] = {}
    for row_group, (file, number) in enumerate(places):
        loaded = load_row_group(cut, file, number)
        for part in PARTS:
            if len(loaded.groups[part]):
                counts[part][row_group] = np.bincount(loaded.groups[part], minlength=len(names))
        for step, count in loaded.steps.items():
            steps[step] = steps.get(step, 0) + count
    none = np.zeros(len(names), dtype=np.int64)
    facts = SetFacts(
        groups=tuple(unique_names(names)),
        unit=unit,
        step=common_step(steps),
        notes=(*notes, *remarks, *rate_notes(steps)),
        fingerprint=_fingerprint(shards, counts),
        windows={part: sum(counts[part].values(), none) for part in PARTS},
    )
    return ShardStore(cut, places, counts, facts)


def load_row_group(cut: Cut, file: int, number: int) -> Loaded:
    """Read a row group and cut it into windows."""
    config = cut.config
    pieces: list[Float64Array] = []
    starts: dict[Part, list[IntArray]] = {part: [] for part in PARTS}
    groups: dict[Part, list[IntArray]] = {part: [] for part in PARTS}
    steps: dict[float, int] = {}
    offset = 0
    for trajectory in read_tracks(cut.shards[file], number):
        key = (file, trajectory.track)
        track = uniform_track(
            trajectory, config, group=cut.groups[key], factor=cut.factors[file], clock_ns=cut.clocks[file]
        )
        for piece in track.pieces:
            cuts = starts_by_part(piece, config, cut.whole.get(key), cut.moments[file])
            for part, found in cuts.items():
                starts[part].append(offset + found)
                groups[part].append(np.full(len(found), track.group, dtype=np.int64))
                step = rounded(piece.step)
                steps[step] = steps.get(step, 0) + len(found)
            pieces.append(piece.points)
            offset += len(piece.points)
    empty = np.zeros(0, dtype=np.int64)
    return Loaded(
        np.concatenate(pieces) if pieces else np.zeros((0, 3)),
        {part: np.concatenate([empty, *starts[part]]) for part in PARTS},
        {part: np.concatenate([empty, *groups[part]]) for part in PARTS},
        steps,
    )


def _surveyed(
    config: RecordingsConfig,
    shards: tuple[Shard, ...],
    label: Label,
    parts: Sequence[Part | None],
    factors: tuple[float, ...],
) -> tuple[Cut, list[str]]:
    """How windows are made, and names of the groups, from stamps and tracks of all shards."""
    clocks, moments = [], []
    samples: dict[tuple[int, str], int] = {}
    for file, shard in enumerate(shards):
        clock: int | None = None
        kept: list[tuple[Float64Array, Float64Array]] = []
        for number in range(len(shard.rows)):
            stamps, tracks = read_stamps(shard, number)
            for name, count in tracks.items():
                samples[file, name] = samples.get((file, name), 0) + count
            if len(stamps):
                clock = int(stamps[0]) if clock is None else clock
                kept.append(_some_times(stamps, clock))
        clocks.append(clock or 0)
        times, counts = (
            (np.concatenate(each) for each in zip(*kept, strict=True)) if kept else (np.zeros(1),) * 2
        )
        moments.append(cut_moments(times, counts, config.split.fractions))
    keys = list(samples)
    if config.split.by == "track":
        whole = dict(
            zip(keys, share_out(list(samples.items()), config.split.fractions, config.seed), strict=True)
        )
    else:
        whole = {key: part for key in keys if (part := parts[key[0]]) is not None}
    labels = {key: label(*key) for key in keys}
    names = list(dict.fromkeys(labels.values()))
    number_of = {name: number for number, name in enumerate(names)}
    groups = {key: number_of[name] for key, name in labels.items()}
    return Cut(config, shards, factors, tuple(clocks), tuple(moments), whole, groups), names


def _some_times(stamps: IntArray, clock: int) -> tuple[Float64Array, Float64Array]:
    """Some of a row group's times, seconds on the file's clock, and how many samples each stands for."""
    ordered = np.sort(stamps)
    chosen = ordered[spread(len(ordered), _TIMES_KEPT)]
    times = (chosen - clock) / NANOSECONDS
    return times, np.full(len(chosen), len(stamps) / len(chosen))


def _fingerprint(shards: Sequence[Shard], counts: Mapping[Part, Mapping[int, IntArray]]) -> str:
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(f"{shard.path.name} {shard.path.stat().st_size} {shard.rows}".encode())
    for part in PARTS:
        for number, each in counts[part].items():
            digest.update(f"{part} {number} {each.tolist()}".encode())
    return digest.hexdigest()[:16]
