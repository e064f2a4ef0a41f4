"""The page's files, as they lie in this package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

_TYPES = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)


@dataclass(frozen=True)
class PageFile:
    """What is sent for a file.

    Attributes:
        content: its bytes.
        media_type: what they are.
        tag: changes with them, so that a browser need not fetch again what it has.
    """

    content: bytes
    media_type: str
    tag: str


@cache
def page_files() -> MappingProxyType[str, PageFile]:
    """Name -> file. Only these are served, so no name leads out of the folder."""
    folder = resources.files(__package__).joinpath("static")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        media_type = _TYPES.get(file.name[file.name.rfind(".") :])
        if media_type is not None:
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            found[file.name] = PageFile(content, media_type, tag)
    return MappingProxyType(found)
