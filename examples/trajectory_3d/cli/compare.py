"""``trajectory-3d-compare``: models beside each other. Its ``demo`` is that of ``trajectory-3d-demo``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from examples.trajectory_3d.cli import demo
from examples.trajectory_3d.cli.entry import run


def parser() -> argparse.ArgumentParser:
    """The command's arguments; what a subcommand does is its default ``work``."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-compare",
        description="Show what models forecast.",
        allow_abbrev=False,
    )
    commands = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    shown = commands.add_parser(
        "demo", help="pictures and animations of forecasts", description=demo.DESCRIPTION, allow_abbrev=False
    )
    demo.add_arguments(shown)
    shown.set_defaults(work=demo.draw)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    return run(lambda: arguments.work(arguments))
