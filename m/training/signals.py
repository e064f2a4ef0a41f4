"""Ctrl-C and SIGTERM end a run cleanly: the first is noted and obeyed after the step, the second aborts."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptGuard:
    """Context that turns the first SIGINT or SIGTERM into a flag, and the second into KeyboardInterrupt.

    The handlers found on entry are put back on exit. Python delivers signals to the main thread only, so
    in any other thread the guard installs nothing and its flag stays False.

    Args:
        second_aborts: whether the second one does so; else it says what the first said.
    """

    def __init__(self, *, second_aborts: bool = True) -> None:
        self._second_aborts = second_aborts
        self._received: str | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._process = os.getpid()

    @property
    def requested(self) -> bool:
        """Whether a signal asked to stop."""
        return self._received is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            # None stands for a handler that was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            self._handle_in_child(number)
            return
        name = signal.Signals(number).name
        if self._received is not None and self._second_aborts:
            raise KeyboardInterrupt(f"{name} after {self._received}: aborted without saving")
        self._received = name

    def _handle_in_child(self, number: int) -> None:
        # Forked data workers inherit this handler. Ctrl-C reaches the whole process group: the parent
        # decides, so workers stay up. SIGTERM is how the parent ends a worker: obey it.
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
