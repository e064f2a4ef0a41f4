"""How long calls take."""

from __future__ import annotations

import time
from collections.abc import Callable


def call_seconds(work: Callable[[], object], calls: int) -> list[float]:
    """Wall seconds of each of some calls, one after the other; whoever wants to warm up calls before."""
    found = []
    for _ in range(calls):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return found
