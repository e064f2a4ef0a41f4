"""Which files the paths of a configuration mean, and what they are called in reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.trajectory_3d.evaluation_set import MIXED
from examples.trajectory_3d.motions.registry import motion_names
from examples.trajectory_3d.recorded.parts import PARTS, Part
from examples.trajectory_3d.recordings.beside import is_beside
from examples.trajectory_3d.recordings.inspecting import readable
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.run_folder import file_part
from m.config import ConfigError

_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class FoundFile:
    """A recording.

    Attributes:
        path: of the file.
        format: name of its format.
    """

    path: Path
    format: str


def find_files(paths: Sequence[str], options: ReadOptions) -> tuple[list[FoundFile], list[str]]:
    """The recordings that paths mean, each once, in the order of the paths and by name within a folder.

    A file that is named must be one. Of a folder, files and those of its folders count if their content fits
    a format; hidden ones, pictures, documents, programs and what lies beside data under names such as README
    and LICENSE do not.

    Args:
        paths: files, folders, or patterns such as ``data/**/*.csv``.
        options: with the format, if it is known.

    Returns:
        The files, and notes in words of what was left out.

    Raises:
        ConfigError: a path that does not exist or is no recording, or nothing but such.
    """
    named: list[Path] = []
    for path in paths:
        matches = sorted(_expand(path))
        if not matches:
            raise ConfigError(f"dataset.paths: {path}: no such file or folder")
        named += matches
    known, unread = readable(named, options)
    bad = next((each for each in unread if each.failed), None)
    if bad is not None:
        raise ConfigError(f"dataset.paths: {bad.reason}")
    asked = {path.resolve() for path in named}
    kept = [FoundFile(path, name) for path, name in known if path.resolve() in asked or not is_beside(path)]
    if not kept:
        raise ConfigError(f"dataset.paths: no recording of a known format in {', '.join(paths)}")
    others = [str(each.path) for each in unread if not is_beside(each.path)]
    if not others:
        return kept, []
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return kept, [f"of no known format, and left out: {', '.join(others[:3])}{more}"]


def _expand(path: str) -> Iterator[Path]:
    plain = Path(path).expanduser()
    if plain.exists():
        yield plain
    elif _PATTERN.search(path):
        yield from Path(plain.anchor or ".").glob(str(plain.relative_to(plain.anchor)))


def given_parts(files: Sequence[Path]) -> list[Part]:
    """The part of each file by the folders that hold it.

    Raises:
        ConfigError: a file in none of the folders.
    """
    parts: list[Part] = []
    for path in files:
        folders = [parent.name for parent in path.resolve().parents]
        part = next((known for folder in folders for known in PARTS if folder == known), None)
        if part is None:
            raise ConfigError(
                f"dataset.split.by is folder, but {path} lies in none called {', '.join(PARTS)}; "
                "trajectory-3d-data split makes them, or set dataset.split.by to time or track"
            )
        parts.append(part)
    return parts


def file_names(files: Sequence[Path]) -> list[str]:
    """Names of files in reports, all different: the stem, with the folder's name where stems agree."""
    stems = [_stem(path) for path in files]
    lengthened = [
        f"{path.resolve().parent.name}_{stem}" if stems.count(stem) > 1 else stem
        for path, stem in zip(files, stems, strict=True)
    ]
    return unique_names(lengthened)


def folder_names(files: Sequence[Path]) -> list[str]:
    """Names of the files' folders in reports; files of one folder have one name, others never."""
    folders = {path.resolve().parent: None for path in files}
    names = dict(zip(folders, unique_names([folder.name for folder in folders]), strict=True))
    return [names[path.resolve().parent] for path in files]


def unique_names(names: Iterable[str]) -> list[str]:
    """Names that can be parts of file names, that differ, and that no synthetic motion has."""
    taken = {MIXED, "grid", *motion_names()}  # grid: see `demo.draw_median_forecasts`
    result = []
    for name in names:
        plain = file_part(name)
        free, number = plain if plain not in taken else f"{plain}_file", 1
        while free in taken:
            number += 1
            free = f"{plain}_{number}"
        taken.add(free)
        result.append(free)
    return result


def _stem(path: Path) -> str:
    return path.with_suffix("").stem if path.suffix.lower() == ".gz" else path.stem
