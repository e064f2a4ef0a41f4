"""Which files are to be predicted: those that were named, and the recordings in folders that were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from examples.trajectory_3d.recordings.beside import is_beside
from examples.trajectory_3d.recordings.inspecting import readable
from examples.trajectory_3d.recordings.options import ReadOptions
from m.config import ConfigError


def files_to_predict(
    paths: Sequence[Path], options: ReadOptions, *, not_these: Sequence[Path | None] = ()
) -> list[str]:
    """Files by their paths, each once, in the order of the paths and by name within a folder.

    A file that is named stays, whatever is in it: the work tells what is wrong with it. Of a folder and the
    folders in it, files of known formats count, and hidden ones and what lies beside recordings do not.

    Args:
        paths: files and folders.
        options: with the format, if it is known.
        not_these: files and folders that are no input although they lie in one.

    Raises:
        ConfigError: a folder without a recording.
    """
    outputs = [each.resolve() for each in not_these if each is not None]
    found: list[str] = []
    for path in paths:
        if not path.is_dir():
            found.append(str(path))
            continue
        inside = [
            str(file)
            for file, _ in readable([path], options)[0]
            if not is_beside(file) and not _in_any(file.resolve(), outputs)
        ]
        if not inside:
            raise ConfigError(f"{path}: no recording of a known format in this folder")
        found += inside
    return list(dict.fromkeys(found))


def _in_any(file: Path, places: Sequence[Path]) -> bool:
    return any(file == place or place in file.parents for place in places)
