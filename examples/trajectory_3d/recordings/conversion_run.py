"""Convert files: which file becomes which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from examples.trajectory_3d.recordings.converting import Conversion, convert_tracks, file_names, name_by_file
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.inspecting import Unread, readable
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import read
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.writers import find_output_format
from m.config import ConfigError

Write: TypeAlias = Callable[[Path, Sequence[Trajectory], str | None], object]
Done: TypeAlias = Callable[[Path, int, int], None]


def convert_files(
    paths: Sequence[Path],
    options: ReadOptions,
    conversion: Conversion,
    *,
    to: str | None,
    out: Path | None,
    force: bool,
    write: Write,
    done: Done,
) -> list[Unread]:
    """Convert files and those in folders; a file that cannot be read does not stop the others.

    Args:
        paths: of files and folders.
        options: what the files do not say of themselves.
        conversion: what becomes of their tracks.
        to: format; None for that of the suffix of `out`.
        out: a file for all tracks; or a folder (one that is there, or a name without suffix) for a file each;
            or None for files beside those read.
        force: write over files that are there.
        write: writes tracks into a file, by its suffix or a named format.
        done: called with each file written, and how many tracks and samples it has.

    Returns:
        The files that were not read.

    Raises:
        ConfigError: neither format nor file is given, or a file would be written over the one read.
        FileExistsError: a file is there, and `force` is not.
    """
    suffix = _suffix(to, out)
    found, unread = readable(paths, options)
    if out is not None and out.suffix and not out.is_dir():
        tracks, failed = _read_all(found, options, conversion)
        if tracks:
            _write(
                out,
                name_by_file(tracks) if len(found) > 1 else tracks,
                to,
                found,
                force=force,
                write=write,
                done=done,
            )
        return [*unread, *failed]
    for (path, name), stem in zip(found, file_names([path for path, _ in found]), strict=True):
        target = (path.parent if out is None else out) / f"{stem}{suffix}"
        tracks, failed = _read_all([(path, name)], options, conversion)
        unread += failed
        if tracks:
            _write(target, tracks, to, [(path, name)], force=force, write=write, done=done)
    return unread


def _suffix(to: str | None, out: Path | None) -> str:
    """Suffix of the files to write.

    Raises:
        ConfigError: neither a format nor a file whose suffix says one, or an unknown one.
    """
    if to is None and (out is None or not out.suffix or out.is_dir()):
        raise ConfigError("say which format with --to, or name a file with a suffix with --out")
    try:
        return find_output_format(out or Path("file"), to).suffixes[0]
    except RecordingError as error:
        expected = f"; expected {error.expected}" if error.expected else ""
        raise ConfigError(f"{error.problem}{expected}") from error


def _read_all(
    found: Sequence[tuple[Path, str]], options: ReadOptions, conversion: Conversion
) -> tuple[list[Trajectory], list[Unread]]:
    tracks: list[Trajectory] = []
    failed = []
    for path, name in found:
        try:
            made = convert_tracks(read(path, replace(options, format=name)), conversion)
            if not made:
                raise RecordingError(path, "nothing is left of its tracks once they are mended")
            tracks += made
        except (RecordingError, OSError) as error:
            failed.append(Unread(path, str(error), failed=True))
    return tracks, failed


def _write(
    path: Path,
    tracks: Sequence[Trajectory],
    to: str | None,
    sources: Sequence[tuple[Path, str]],
    *,
    force: bool,
    write: Write,
    done: Done,
) -> None:
    if any(path.exists() and path.samefile(source) for source, _ in sources):
        raise ConfigError(f"{path} is the file that is read; write to another")
    if path.exists() and not force:
        raise FileExistsError(f"{path} is there already; --force writes over it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, tracks, to)
    done(path, len(tracks), sum(len(track) for track in tracks))
