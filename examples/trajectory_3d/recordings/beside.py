"""What lies beside recordings in a folder, and is no recording."""

from __future__ import annotations

import re
from pathlib import Path

# Much of it is text or numbers too, and might be taken for a table.
_DOCUMENTS = (".md", ".rst", ".html", ".htm", ".pdf")
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".mp4", ".avi")
_PROGRAMS = (".py", ".ipynb", ".sh", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log", ".lock")
_PACKED = (".zip", ".tar", ".tgz", ".sha256", ".md5")
_BESIDE = frozenset((*_DOCUMENTS, *_PICTURES, *_PROGRAMS, *_PACKED))
_BESIDE_FILES = frozenset(("split.json",))  # of ``trajectory-3d-data split``
_BESIDE_NAMES = re.compile(
    r"(readme|licen[cs]e|copying|citation|changelog|notice|authors)(\..*)?", re.IGNORECASE
)


def is_beside(path: Path) -> bool:
    """Whether a file only lies beside recordings: pictures, documents, programs."""
    name = path.name
    return (
        path.suffix.lower() in _BESIDE or name in _BESIDE_FILES or _BESIDE_NAMES.fullmatch(name) is not None
    )
