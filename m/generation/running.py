"""Lanes that take their steps together, and what they go on from as one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import torch

from m.attention.cache import KVCache
from m.generation.lane import Lane
from m.moe.window import Window

if TYPE_CHECKING:
    from m.generation.job import Job


class RunningLanes:
    """Lanes that go on from their last points, or from caches of one capacity.

    Who joined and who left since the last step is settled once, when the next one begins: however many they
    are, what the others hold is copied once.
    """

    def __init__(self) -> None:
        self._lanes: list[tuple[Job, Lane]] = []
        self._held: KVCache | Window | None = None
        self._holders: list[Lane] = []  # whose rows that is, in their order

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[tuple[Job, Lane]]:
        return iter(self._lanes)

    @property
    def rows(self) -> int:
        """Paths in one step."""
        return sum(len(lane) for _, lane in self._lanes)

    def add(self, job: Job, lane: Lane) -> None:
        """Let a lane join; what it holds becomes part of the common."""
        self._lanes.append((job, lane))

    def remove(self, gone: Lane) -> None:
        """Let a lane leave."""
        self._lanes = [(job, lane) for job, lane in self._lanes if lane is not gone]

    def drop(self, jobs: Collection[int]) -> None:
        """Let all lanes of jobs leave, which are named by their `id`."""
        self._lanes = [(job, lane) for job, lane in self._lanes if id(job) not in jobs]

    def lanes(self) -> list[Lane]:
        """All of them, in the order of their rows."""
        return [lane for _, lane in self._lanes]

    def held(self) -> KVCache | Window:
        """What all lanes go on from, rows in their order.

        Raises:
            RuntimeError: there are no lanes.
        """
        lanes = self.lanes()
        if len(lanes) != len(self._holders) or any(
            a is not b for a, b in zip(lanes, self._holders, strict=True)
        ):
            self._settle(lanes)
        if self._held is None:
            raise RuntimeError("no lane is running, so there is nothing to go on from")
        return self._held

    def keep(self, window: Window) -> None:
        """Let the lanes go on from these last points."""
        self._held = window

    def _settle(self, lanes: list[Lane]) -> None:
        staying = {id(lane) for lane in lanes}
        parts: list[KVCache | Window] = []
        if self._held is not None:
            device = self._held.points.device
            stays = [torch.full((len(lane),), id(lane) in staying, device=device) for lane in self._holders]
            rows = torch.cat(stays).nonzero()[:, 0]
            if len(rows):
                parts.append(self._held if len(rows) == len(self._held.points) else self._held.take(rows))
        for lane in lanes:
            if lane.held is not None:  # joined since the last step
                parts.append(lane.held)
                lane.held = None
        self._held = _joined(parts)
        self._holders = lanes


def _joined(parts: list[KVCache | Window]) -> KVCache | Window | None:
    """Parts of one kind as one."""
    if len(parts) < 2:
        return parts[0] if parts else None
    caches = [part for part in parts if isinstance(part, KVCache)]
    return KVCache.joined(caches) if caches else Window.joined([p for p in parts if isinstance(p, Window)])
