"""SIGINT and SIGTERM while a pool of workers is at work: counted, and left to the pool to obey."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Counts SIGINT and SIGTERM while in force, in place of what they else do. For the main thread."""

    def __init__(self) -> None:
        self.count = 0
        self._taken = 0
        self._previous: dict[signal.Signals, Any] = {}

    def take(self) -> bool:
        """Whether there was one since the last call."""
        new, self._taken = self.count > self._taken, self.count
        return new

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
