"""The live page's text: template, style and scripts; its data comes as events."""

from __future__ import annotations

from functools import cache

from examples.trajectory_3d.web.assemble import assemble, page_part, shared_script, shared_style


@cache
def render() -> str:
    """The page, the same for every run."""
    pieces = {
        "style": shared_style(),
        "plots": shared_script(),
        "script": page_part(__package__, "live.js"),
    }
    return assemble(page_part(__package__, "live.html"), pieces)
