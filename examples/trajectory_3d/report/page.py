"""The page itself: template, style, scripts and the data, in one file."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from examples.trajectory_3d.web.assemble import (
    assemble,
    inline_json,
    page_part,
    plotly_script,
    shared_script,
    shared_style,
)
from m.checkpoint import write_text_atomic

REPORT = "report.html"


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
    pieces = {
        "title": html.escape(str(payload["title"])),
        "style": shared_style(),
        "plotly": plotly_script(),
        "data": inline_json(payload),
        "plots": shared_script(),
        "script": page_part(__package__, "report.js"),
    }
    return assemble(page_part(__package__, "report.html"), pieces)
