"""Opening the recordings of a configuration, once for all that ask in a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.recorded.files import (
    FoundFile,
    file_names,
    find_files,
    folder_names,
    given_parts,
    unique_names,
)
from examples.trajectory_3d.recorded.memory import memory_store
from examples.trajectory_3d.recorded.parts import Part
from examples.trajectory_3d.recorded.row_groups import is_parquet, samples_in
from examples.trajectory_3d.recorded.shards import ShardStore, open_shards
from examples.trajectory_3d.recorded.store import WindowStore
from examples.trajectory_3d.recorded.tracks import (
    ReadFile,
    dimension_notes,
    set_unit,
    uniform_track,
    unit_factor,
)
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.registry import read
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings_config import RecordingsConfig
from m.config import ConfigError

MOST_IN_MEMORY = 20_000_000  # samples; with their windows they take about a gigabyte


def open_recordings(config: DatasetConfig) -> WindowStore:
    """The windows of a configuration's recordings.

    Validation, test and training of a process share one opened set, as long as the files stay the same.

    Raises:
        ConfigError: no recordings in the configuration or in its paths, or one that cannot be read: the
            message says file, line and column of its first fault.
    """
    recordings = config.recordings
    if recordings is None:
        raise ConfigError("dataset.source is motions, so there are no recordings to open")
    try:
        files, notes = find_files(recordings.paths, recordings.read)
        stamps = tuple((str(each.path), each.format, *_state(each.path)) for each in files)
        return _opened(recordings, stamps, tuple(notes), config.source == "mixed")
    except (RecordingError, OSError) as error:
        raise ConfigError(f"dataset.paths: {error}") from error


def windows_or_refuse(store: WindowStore, part: Part, config: DatasetConfig) -> WindowStore:
    """The set, if a part has any windows.

    Raises:
        ConfigError: it has none; says what to do.
    """
    if store.facts.count(part):
        return store
    share = dict(zip(("train", "validation", "test"), config.split.fractions, strict=True))[part]
    raise ConfigError(
        f"the {part} part of dataset.paths holds no window of {config.window_length} points that moves: it "
        f"takes pieces without gaps of so many points inside {share:.0%} of the samples. Shorten "
        "dataset.sequence_length or dataset.prediction_length, enlarge its share in dataset.split.fractions, "
        "set dataset.split.by to track where tracks are short, or raise dataset.longest_gap"
    )


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=2)
def _opened(
    config: RecordingsConfig,
    stamps: tuple[tuple[str, str, int, int], ...],
    notes: tuple[str, ...],
    metres: bool,
) -> WindowStore:
    files = [FoundFile(Path(path), name) for path, name, _, _ in stamps]
    if _streams(config, files):
        return _opened_shards(config, files, notes, metres)
    tracks = [read(each.path, replace(config.read, format=each.format)) for each in files]
    everything = [track for of_file in tracks for track in of_file]
    unit, remarks = set_unit([track.unit for track in everything], metres=metres)
    several = metres or len({track.unit for track in everything}) > 1
    groups, names = _grouped(config, [each.path for each in files], tracks)
    parts = given_parts([each.path for each in files]) if config.split.by == "folder" else [None] * len(files)
    read_files = []
    for of_file, of_groups, part in zip(tracks, groups, parts, strict=True):
        clock = min(track.start_ns for track in of_file)
        made = [
            uniform_track(
                track,
                config,
                group=group,
                factor=unit_factor(track.unit, unit, several=several),
                clock_ns=clock,
            )
            for track, group in zip(of_file, of_groups, strict=True)
        ]
        read_files.append(ReadFile(tuple(made), part))
    remarks = [*notes, *remarks, *dimension_notes(everything)]
    return memory_store(config, read_files, names, unit, remarks)


def _streams(config: RecordingsConfig, files: Sequence[FoundFile]) -> bool:
    """Whether windows are to be read as they are needed.

    Raises:
        ConfigError: that is asked for, and a file is no Parquet.
    """
    if config.stream is False:
        return False
    other = next((each.path for each in files if not is_parquet(each.path)), None)
    if config.stream is None:
        return other is None and sum(samples_in(each.path) for each in files) > MOST_IN_MEMORY
    if other is not None:
        raise ConfigError(
            f"dataset.stream reads Parquet, and {other} is none; trajectory-3d-data convert writes it"
        )
    return True


def _grouped(
    config: RecordingsConfig, paths: Sequence[Path], tracks: Sequence[Sequence[Trajectory]]
) -> tuple[list[list[int]], list[str]]:
    """Number of the group of each track of each file, and names of the groups."""
    of_files = folder_names(paths) if config.group_by == "folder" else file_names(paths)
    labels = [
        [track_group(config, track.track, name) for track in of_file]
        for name, of_file in zip(of_files, tracks, strict=True)
    ]
    raw = list(dict.fromkeys(label for of_file in labels for label in of_file))
    number = {label: place for place, label in enumerate(raw)}
    return [[number[label] for label in of_file] for of_file in labels], unique_names(raw)


def track_group(config: RecordingsConfig, track: str, file: str) -> str:
    """What a track is reported under.

    Args:
        config: whether by file, folder or track.
        track: its name.
        file: name of its file, or of the folder.
    """
    if config.group_by == "track":
        return track or file
    if config.group_by == "file" and config.split.by == "folder" and track:
        return track.partition("/")[0]  # ``trajectory-3d-data split`` puts the file's name before the track's
    return file


def _opened_shards(
    config: RecordingsConfig, files: Sequence[FoundFile], notes: Sequence[str], metres: bool
) -> ShardStore:
    paths = [each.path for each in files]
    of_files = folder_names(paths) if config.group_by == "folder" else file_names(paths)
    parts = given_parts(paths) if config.split.by == "folder" else [None] * len(files)
    return open_shards(
        config,
        paths,
        label=lambda file, track: track_group(config, track, of_files[file]),
        parts=parts,
        notes=notes,
        metres=metres,
    )
