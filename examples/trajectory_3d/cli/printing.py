"""Printing that fits a terminal, and is plain in a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

PIPED_WIDTH = 1000  # wide enough that nothing wraps


def show(content: RenderableType) -> None:
    """Print fitted to the terminal; into a pipe plain and unwrapped."""
    from rich.console import Console  # noqa: PLC0415

    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH, color_system=None)
    if console.is_terminal:
        console.print(content, highlight=False)
        return
    with console.capture() as captured:
        console.print(content, highlight=False)
    for line in captured.get().splitlines():
        print(line.rstrip())


def print_json(content: dict[str, Any]) -> None:
    """Print as JSON, which has no NaN."""
    import json  # noqa: PLC0415

    print(json.dumps(content, indent=2, allow_nan=False))
