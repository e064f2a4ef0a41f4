"""Whether a launcher started this process. Imports no torch: every training asks."""

from __future__ import annotations

import os

_SET_BY_LAUNCHERS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def started_together() -> bool:
    """Whether this process is one of several, or of one, that a launcher such as ``torchrun`` started."""
    return all(name in os.environ for name in _SET_BY_LAUNCHERS)
