"""Processes of a Ray that a test started, told by a variable of the environment that all of them inherit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

MARK = "TEST_OF_RAY"


def marked(value: str) -> dict[int, str]:
    """Command lines of the processes that have `MARK` set so, by number; zombies and this one left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            inside = f"{MARK}={value}\0".encode() in (entry / "environ").read_bytes() + b"\0"
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if inside and command:
            found[int(entry.name)] = command
    return found


def wait_for(condition, seconds=120.0):
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def kill_all(value: str) -> None:
    """End all that is left of a Ray."""
    deadline = time.monotonic() + 20
    while (left := marked(value)) and time.monotonic() < deadline:
        for number in left:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
    assert not marked(value)
