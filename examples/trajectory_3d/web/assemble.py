"""A page put together from a template, styles, scripts and data, so that a browser needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any


def assemble(template: str, pieces: Mapping[str, str]) -> str:
    """Put pieces into a template's places, ``{{name}}``, each once and from top to bottom.

    A piece may hold braces itself: what has been put in is not searched again.

    Args:
        template: with a place for each piece.
        pieces: name -> text, in the order of their places.

    Raises:
        ValueError: the template has no place for a piece, or not in that order.
    """
    done, rest = "", template
    for name, text in pieces.items():
        head, marker, rest = rest.partition("{{" + name + "}}")
        if not marker:
            raise ValueError(f"the page's template lacks a place for {name}")
        done += head + text
    return done + rest


def inline_json(payload: Any) -> str:
    """JSON that may stand in a script element: no end tag or comment can begin inside a string.

    Raises:
        ValueError: a number that is not finite.
    """
    text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def page_part(package: str, name: str) -> str:
    """Text of a file that lies in a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def shared_style() -> str:
    """The style sheet of all pages."""
    return page_part(__package__, "page.css")


def shared_script() -> str:
    """The script that defines ``Plots``, which the scripts of all pages draw with."""
    return page_part(__package__, "plots.js")


@cache
def plotly_script() -> str:
    """Plotly's own script, as shipped with its package."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  (five megabytes that only a page needs)

    text: str = get_plotlyjs()
    return text
