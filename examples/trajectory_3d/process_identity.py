"""Which process a run belongs to, and whether it still runs: told from a later one with the same number."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> dict[str, Any]:
    """Number, host, boot of the host and start of this process; what cannot be known is None."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": _boot(),
        "started": _start(os.getpid()),
    }


def is_alive(process: Mapping[str, Any]) -> bool | None:
    """Whether the process that `this_process` described still runs.

    Returns:
        None when this host cannot tell: it ran on another, or the description is none.
    """
    pid, started = process.get("pid"), process.get("started")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        return None
    if process.get("host") != socket.gethostname():
        return None
    if process.get("boot") != _boot():
        return False  # the host was started anew since
    if started is not None and _start(os.getpid()) is not None:
        return bool(_start(pid) == started)
    return _exists(pid)


def _exists(pid: int) -> bool | None:
    if os.name != "posix":
        return None  # signal 0 would end the process there
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _start(pid: int) -> int | None:
    """Clock ticks from boot to the start of a process, None when it is gone or ended and unburied."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()  # the name before it may hold spaces
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _boot() -> str | None:
    try:
        return _BOOT.read_text(encoding="utf-8").strip()
    except OSError:
        return None
