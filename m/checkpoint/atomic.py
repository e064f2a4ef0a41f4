"""Write a file so that a reader, or a crash at any moment, sees the old content or the new, never half."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on a clean exit it takes the place of ``path``.

    The content is flushed to disk (``fsync``) before the rename and the folder after it, so that a
    power cut cannot leave the new name on old or missing bytes. When the block raises, the temporary
    file is removed and ``path`` keeps what it held. Missing parent folders are created.

    Raises:
        OSError: from the file system, unchanged.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Same folder: a rename is only atomic within one file system.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _sync(temporary, os.O_RDWR)
        os.replace(temporary, target)  # noqa: PTH105  (the documented atomic primitive, and the seam tests break)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write UTF-8 text with `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; systems that cannot open a folder (Windows) have no such call."""
    if hasattr(os, "O_DIRECTORY"):
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)
