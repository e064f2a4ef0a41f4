"""The page itself: template, style, script, plotly's script and the data, in one file."""

from __future__ import annotations

import html
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from m.checkpoint import write_text_atomic

REPORT = "report.html"
_PARTS = ("report.css", "report.js")


def write_report(payload: dict[str, Any], path: Path) -> Path:
    """Write a page that opens from the disk and needs no network.

    Args:
        payload: as `report_payload` makes it; must be finite numbers throughout.
        path: of the page; its folder must exist.

    Raises:
        ValueError: a number that is not finite.
    """
    write_text_atomic(path, render(payload))
    return path


def render(payload: dict[str, Any]) -> str:
    """The page as text."""
    style, script = (_part(name) for name in _PARTS)
    pieces = {
        "title": html.escape(str(payload["title"])),
        "style": style,
        "plotly": _plotly(),
        "data": _inline_json(payload),
        "script": script,
    }
    page = _part("report.html")
    for name, text in pieces.items():
        head, marker, tail = page.partition("{{" + name + "}}")
        if not marker:
            raise ValueError(f"the page's template lacks a place for {name}")
        page = head + text + tail
    return page


def _inline_json(payload: dict[str, Any]) -> str:
    """JSON that may stand in a script element: no end tag or comment can begin inside a string."""
    text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  (five megabytes that only a report needs)

    text: str = get_plotlyjs()
    return text
