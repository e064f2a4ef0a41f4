"""Pictures for the documentation: small files, with what they show in computed words."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

WIDTH = 1360  # pixels; wider pictures are made smaller
_MOVING = (".gif",)


@dataclass(frozen=True)
class Exhibit:
    """One picture of the gallery.

    Attributes:
        picture: file to show.
        alt: what it is, in a few words.
        caption: sentences below it, each computed from what is shown or true of every such picture.
    """

    picture: Path
    alt: str
    caption: Sequence[str]


@dataclass(frozen=True)
class Room:
    """A section of the gallery.

    Attributes:
        title: heading.
        command: that makes these pictures for anyone.
        exhibits: in the order to show them.
    """

    title: str
    command: str
    exhibits: Sequence[Exhibit]


def write_page(rooms: Sequence[Room], intro: str, page: Path, images: Path) -> list[Path]:
    """Write the gallery as Markdown, and its pictures, made small.

    Args:
        rooms: sections.
        intro: first paragraph.
        page: Markdown file to write.
        images: folder of the pictures, below the page's own; those of an earlier gallery are removed.

    Returns:
        The written files, the page last.
    """
    if images.exists():
        shutil.rmtree(images)
    images.mkdir(parents=True)
    lines = ["# Gallery", "", intro, ""]
    written = []
    for room in rooms:
        lines += [f"## {room.title}", "", "```bash", room.command, "```", ""]
        for exhibit in room.exhibits:
            written.append(shrink(exhibit.picture, images / exhibit.picture.name))
            link = written[-1].relative_to(page.parent).as_posix()
            lines += [f"![{exhibit.alt}]({link})", "", " ".join(exhibit.caption), ""]
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    return [*written, page]


def shrink(source: Path, target: Path) -> Path:
    """Write a picture at most `WIDTH` pixels wide; a moving one as it is.

    Its colours stay: with few of them, small gains in a table of gains and losses took those of losses.
    """
    if source.suffix in _MOVING:
        shutil.copyfile(source, target)
        return target
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    if picture.width > WIDTH:
        height = round(picture.height * WIDTH / picture.width)
        picture = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
    picture.save(target, optimize=True)
    return target
