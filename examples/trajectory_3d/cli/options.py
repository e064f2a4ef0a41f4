"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from m.config import ConfigError

if TYPE_CHECKING:
    import torch


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        default="auto",
        help="auto (CUDA when there is one, else CPU), cpu, cuda, cuda:1, mps (default: auto)",
    )


def resolve_device(name: str) -> torch.device:
    """The device that ``--device`` means.

    Raises:
        ConfigError: no such device here.
    """
    import torch  # noqa: PLC0415  (seconds; only once the command really runs)

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {name} cannot be used here: {reason}; try --device auto") from error
    return device


def read_overrides(tokens: Sequence[str]) -> list[str]:
    """Normalise ``key=value``, ``--key=value`` and ``--key value`` to ``key=value``.

    Raises:
        ConfigError: a token that is none of these.
    """
    overrides: list[str] = []
    waiting: str | None = None
    for token in tokens:
        if waiting is not None:
            overrides.append(f"{waiting}={token}")
            waiting = None
        elif "=" in token.lstrip("-"):
            overrides.append(token.lstrip("-"))
        elif token.startswith("--") and "." in token:
            waiting = token.lstrip("-")
        else:
            raise ConfigError(f"unknown argument '{token}'; overrides look like training.max_steps=100")
    if waiting is not None:
        raise ConfigError(f"override --{waiting} has no value")
    return overrides
