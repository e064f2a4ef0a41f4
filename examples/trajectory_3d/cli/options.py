"""Options that several commands share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from m.config import ConfigError

if TYPE_CHECKING:
    import torch

# key=value | --key.sub=value | --key.sub; keys without a dot are told from options by having no dashes
_OVERRIDE = re.compile(
    r"(?:(?P<bare>\w+(?:\.\w+)*)=|--(?P<dashed>\w+(?:\.\w+)+)(?:=|$))(?P<value>.*)", re.DOTALL
)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (CUDA when there is one, else CPU), cpu, cuda, cuda:1 (default: auto)",
    )


def resolve_device(name: str) -> torch.device:
    """The device that ``--device`` means.

    Raises:
        ConfigError: no such device here.
    """
    from m.device import choose_device  # noqa: PLC0415  (torch: seconds; only once the command really runs)

    try:
        return choose_device(name)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error


def parse_with_overrides(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line whose arguments and configuration overrides stand in any order.

    Args:
        parser: knows the command's own arguments.
        argv: tokens; None for those of the process.

    Returns:
        The parsed arguments, and the overrides as ``key=value``.

    Raises:
        ConfigError: an override without value, or a token that is nothing the command knows.
    """
    own, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
    arguments, unknown = parser.parse_known_intermixed_args(own)
    if unknown:
        raise ConfigError(f"unknown argument '{unknown[0]}'; overrides look like training.max_steps=100")
    return arguments, overrides


def split_overrides(tokens: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take ``key=value``, ``--key.sub=value`` and ``--key.sub value`` out of a command line.

    Returns:
        The other tokens, and the overrides as ``key=value``.

    Raises:
        ConfigError: ``--key.sub`` at the end, without a value.
    """
    own: list[str] = []
    overrides: list[str] = []
    rest = iter(tokens)
    for token in rest:
        spelled = _OVERRIDE.fullmatch(token)
        if spelled is None:
            own.append(token)
            continue
        value: str | None = spelled["value"]
        if "=" not in token:
            value = next(rest, None)
            if value is None:
                raise ConfigError(f"override {token} has no value")
        overrides.append(f"{spelled['bare'] or spelled['dashed']}={value}")
    return own, overrides
