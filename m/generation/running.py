"""Lanes that take their steps together, and their caches as one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import torch

from m.attention.cache import KVCache
from m.generation.lane import Lane

if TYPE_CHECKING:
    from m.generation.job import Job


class RunningLanes:
    """Lanes whose caches have one capacity.

    Who joined and who left since the last step is settled once, when the next one needs the cache: however
    many they are, what the others have read is copied once.
    """

    def __init__(self) -> None:
        self._lanes: list[tuple[Job, Lane]] = []
        self._cache: KVCache | None = None
        self._cached: list[Lane] = []  # whose rows the cache holds, in their order

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[tuple[Job, Lane]]:
        return iter(self._lanes)

    @property
    def rows(self) -> int:
        """Paths in one step."""
        return sum(len(lane) for _, lane in self._lanes)

    def add(self, job: Job, lane: Lane) -> None:
        """Let a lane join; its cache becomes part of the common one."""
        self._lanes.append((job, lane))

    def remove(self, gone: Lane) -> None:
        """Let a lane leave."""
        self._lanes = [(job, lane) for job, lane in self._lanes if lane is not gone]

    def drop(self, jobs: Collection[int]) -> None:
        """Let all lanes of jobs leave, which are named by their `id`."""
        self._lanes = [(job, lane) for job, lane in self._lanes if id(job) not in jobs]

    def cache(self) -> KVCache:
        """The cache of all lanes, rows in their order.

        Raises:
            RuntimeError: there are no lanes.
        """
        lanes = [lane for _, lane in self._lanes]
        if len(lanes) != len(self._cached) or any(
            a is not b for a, b in zip(lanes, self._cached, strict=True)
        ):
            self._settle(lanes)
        if self._cache is None:
            raise RuntimeError("no lane is running, so there is no cache")
        return self._cache

    def _settle(self, lanes: list[Lane]) -> None:
        staying = {id(lane) for lane in lanes}
        parts = []
        if self._cache is not None:
            stays = [
                torch.full((len(lane),), id(lane) in staying, device=self._cache.points.device)
                for lane in self._cached
            ]
            rows = torch.cat(stays).nonzero()[:, 0]
            if len(rows):
                parts.append(self._cache if len(rows) == len(self._cache.points) else self._cache.take(rows))
        for lane in lanes:
            if lane.cache is not None:  # joined since the last step
                parts.append(lane.cache)
                lane.cache = None
        self._cache = None if not parts else parts[0] if len(parts) == 1 else KVCache.joined(parts)
        self._cached = lanes
