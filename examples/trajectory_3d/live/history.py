"""What a run has reported so far, for any number of readers in other threads."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from typing import Any

from m.training import encode_json

MOST_EVENTS = 2000  # of one kind


@dataclass(frozen=True)
class Event:
    """One report.

    Attributes:
        number: rises by one from event to event of a history, from 1.
        kind: such as ``step``.
        data: JSON, numbers that are not finite as null.
    """

    number: int
    kind: str
    data: str


class _Series:
    """Events of one kind: all of them, or evenly thinned out once there are too many, and the newest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stride = 1
        self._count = 0
        self._kept: list[tuple[int, Event]] = []  # place among all events of the kind, event

    def add(self, event: Event) -> None:
        if self._kept and self._kept[-1][0] % self._stride:
            self._kept.pop()  # was there only because it was the newest
        self._kept.append((self._count, event))
        self._count += 1
        if len(self._kept) > self._most:
            self._stride *= 2
            newest = self._kept[-1]
            self._kept = [each for each in self._kept if each[0] % self._stride == 0 or each is newest]

    def after(self, number: int) -> list[Event]:
        newer = []
        for _, event in reversed(self._kept):
            if event.number <= number:
                break
            newer.append(event)
        return newer


class History:
    """Events in the order they came. Adding never waits for readers; memory is bounded.

    Of each kind at most so many events are kept: beyond that every second one is left out, then every
    second of the rest, and so on, so that what is kept spans the run evenly. The newest is always there.

    Args:
        most: events kept of each kind, at least 2.
        most_of: the same for single kinds.
    """

    def __init__(self, *, most: int = MOST_EVENTS, most_of: dict[str, int] | None = None) -> None:
        self.token = secrets.token_hex(4)
        self._limits = (most, dict(most_of or {}))
        self._series: dict[str, _Series] = {}
        self._number = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._closed

    def add(self, kind: str, payload: dict[str, Any]) -> None:
        """Append an event and wake the readers.

        Raises:
            RuntimeError: the history is closed.
        """
        data = encode_json(payload)
        with self._changed:
            if self._closed:
                raise RuntimeError("this history is closed; nothing can be added")
            self._number += 1
            most, most_of = self._limits
            series = self._series.setdefault(kind, _Series(most_of.get(kind, most)))
            series.add(Event(self._number, kind, data))
            self._changed.notify_all()

    def has(self, kind: str) -> bool:
        """Whether there has been an event of a kind."""
        with self._changed:
            return kind in self._series

    def close(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after(self, number: int, timeout: float = 0.0) -> list[Event]:
        """Events that are kept and newer than a number, oldest first.

        Args:
            number: of the last event known; 0 for none.
            timeout: seconds to wait for the first of them; a close ends the wait.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._number <= number and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            newer = [event for series in self._series.values() for event in series.after(number)]
        return sorted(newer, key=lambda event: event.number)
