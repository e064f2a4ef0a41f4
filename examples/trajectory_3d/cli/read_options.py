"""Options that say of recordings what their files do not say; shared by all commands that read files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from m.config import ConfigError

if TYPE_CHECKING:
    from examples.trajectory_3d.recordings.options import ReadOptions

_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


def add_read_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `ReadOptions`."""
    group = parser.add_argument_group(
        "reading", "what the files do not say of themselves; by default it is told by their content"
    )
    group.add_argument("--format", metavar="NAME", help="format of the files (default: told by content)")
    group.add_argument("--time", metavar="COLUMN", help="column of the stamps: name, or number from 1")
    group.add_argument("--position", metavar="X,Y,Z", help="columns of the coordinates, one or more")
    group.add_argument("--extra", metavar="A,B", help="further columns to keep, such as velocities")
    group.add_argument("--track", metavar="COLUMN", help="column that says who moved")
    group.add_argument(
        "--separator", metavar="CHAR", help="between cells; also tab, space, comma, semicolon in words"
    )
    group.add_argument(
        "--header", action=argparse.BooleanOptionalAction, help="whether the first line names the columns"
    )
    group.add_argument("--rate", type=float, metavar="HZ", help="samples a second, for files without times")
    group.add_argument("--unit", metavar="UNIT", help="of the position: m, km, mm, ft, ...")
    group.add_argument("--time-unit", metavar="UNIT", help="of the stamps: s, ms, us, ns, min, h, day")
    group.add_argument("--frame", metavar="FRAME", help="axes of the position: enu, ned, y-up, ...")
    group.add_argument(
        "--geodetic",
        action=argparse.BooleanOptionalAction,
        help="whether --position is latitude, longitude and altitude",
    )


def read_options(arguments: argparse.Namespace) -> ReadOptions:
    """What the options of `add_read_options` say.

    Raises:
        ConfigError: an unknown unit, a rate that is none, or an empty list of columns.
    """
    from examples.trajectory_3d.recordings.options import ReadOptions  # noqa: PLC0415  (NumPy)

    separator = arguments.separator
    try:
        return ReadOptions(
            format=arguments.format,
            time=arguments.time,
            position=None if arguments.position is None else _columns("--position", arguments.position),
            extra=() if arguments.extra is None else _columns("--extra", arguments.extra),
            track=arguments.track,
            separator=None if separator is None else _SEPARATORS.get(separator, separator),
            header=arguments.header,
            rate=arguments.rate,
            unit=arguments.unit,
            time_unit=arguments.time_unit,
            frame=arguments.frame,
            geodetic=arguments.geodetic,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _columns(option: str, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ConfigError(f"{option} takes columns with commas between, got {text!r}")
    return names
