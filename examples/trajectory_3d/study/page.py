"""``comparison_report.html``: the study as one page that holds its data and scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examples.trajectory_3d.study.words import claims, interval_notes
from examples.trajectory_3d.web.assemble import (
    assemble,
    inline_json,
    page_part,
    plotly_script,
    shared_script,
    shared_style,
)


def render_page(content: Mapping[str, Any]) -> str:
    """The page as text; what it shows is described in `summary.summarise`."""
    payload = {**content, "claims": claims(content), "notes": interval_notes(content)}
    pieces = {
        "style": shared_style(),
        "plotly": plotly_script(),
        "data": inline_json(payload),
        "plots": shared_script(),
        "script": page_part(__package__, "study.js"),
    }
    return assemble(page_part(__package__, "study.html"), pieces)
