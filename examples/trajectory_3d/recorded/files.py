"""Which files the paths of a configuration mean, and what they are called in reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from examples.trajectory_3d.evaluation_set import MIXED
from examples.trajectory_3d.motions.registry import motion_names
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import Match, formats
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.run_folder import file_part
from m.config import ConfigError

# What lies beside recordings in a folder, and is text or numbers too.
_BESIDE = frozenset(
    ".md .rst .html .htm .pdf .png .jpg .jpeg .gif .svg .webp .mp4 .avi .py .ipynb .sh .yaml .yml .toml "
    ".ini .cfg .log .lock .zip .tar .tgz .sha256 .md5".split()
)
_BESIDE_NAMES = re.compile(r"(readme|licen[cs]e|copying|citation|changelog|notice|authors)(\..*)?", re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]")


def find_files(paths: Sequence[str], options: ReadOptions) -> tuple[list[Path], list[str]]:
    """The recordings that paths mean, each once, in the order of the paths and by name within a folder.

    A file that is named is always one of them. Of a folder, files and those of its folders count if their
    content fits a format (that of the options, if they name one); hidden ones, pictures, documents, programs
    and what lies beside data under names such as README and LICENSE do not.

    Args:
        paths: files, folders, or patterns such as ``data/**/*.csv``.
        options: with the format, if it is known.

    Returns:
        The files, and notes in words of what folders hold besides.

    Raises:
        ConfigError: a path that does not exist, a pattern or a folder without recordings.
    """
    found: dict[Path, None] = {}
    notes: list[str] = []
    for path in paths:
        matches = sorted(_expand(path))
        if not matches:
            raise ConfigError(f"dataset.paths: {path}: no such file or folder")
        for match in matches:
            if match.is_dir():
                found |= dict.fromkeys(_in_folder(match, options, notes))
            else:
                found[match] = None
    unique = {path.resolve(): path for path in reversed(found)}
    return [path for path in found if unique[path.resolve()] == path], notes


def _expand(path: str) -> Iterator[Path]:
    plain = Path(path).expanduser()
    if plain.exists():
        yield plain
    elif _PATTERN.search(path):
        yield from Path(plain.anchor or ".").glob(str(plain.relative_to(plain.anchor)))


def _in_folder(folder: Path, options: ReadOptions, notes: list[str]) -> list[Path]:
    candidates = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    candidates = [
        path
        for path in candidates
        if path.suffix.lower() not in _BESIDE and not _BESIDE_NAMES.fullmatch(path.name)
    ]
    kept = [path for path in candidates if _may_be_recording(path, options)]
    if not kept:
        raise ConfigError(f"dataset.paths: {folder}: no recording of a known format in this folder")
    others = [path for path in candidates if path not in set(kept)]
    if others:
        shown = ", ".join(str(path.relative_to(folder)) for path in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        notes.append(f"{folder}: of no known format, and left out: {shown}{more}")
    return kept


def _may_be_recording(path: Path, options: ReadOptions) -> bool:
    source, known = Source(path), formats()
    try:
        if not source.head:
            raise RecordingError(path, "the file is empty", expected="a recording; remove it")
        if options.format in known:
            return known[options.format].sniff(source) != Match.NO
        return any(each.sniff(source) != Match.NO for each in known.values())
    except OSError as error:
        raise ConfigError(f"dataset.paths: {path}: cannot be read ({error.strerror})") from error


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
