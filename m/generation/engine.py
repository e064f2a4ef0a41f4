"""Continuous batching: requests join and leave between the model's steps, and share them in between.

The engine is synchronous and belongs to one thread; `m.generation.worker` feeds it from others. Routing
is dropless and attention is masked by position, so no row depends on those it happens to share a step
with: a result is that of the request alone, to the rounding of differently shaped products.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from m.attention.cache import KVCache
from m.generation.job import Job, Reading
from m.generation.lane import Lane
from m.moe.anchor import compute_anchor, join_anchors
from m.moe.forecast import inference, points_fed_back, token_spacing
from m.moe.model import MoESequenceRegressor
from m.routing.record import LayerRouting, RoutingRecord

LEAST_CAPACITY = 32  # slots of a cache; others are this times a power of two, so that lanes can share one
DEFAULT_MOST_ROWS = 256  # in one forward pass


@dataclass
class EngineCounts:
    """What an engine has done so far.

    Attributes:
        steps: forward passes.
        rows: sequences in them, summed.
        finished: jobs.
        expert_tokens: tokens that each expert served while contexts were read, ``[layers, E]``.
    """

    steps: int = 0
    rows: int = 0
    finished: int = 0
    expert_tokens: Tensor | None = None

    def count(self, rows: int, load: Tensor | None = None) -> None:
        """Add one forward pass."""
        self.steps += 1
        self.rows += rows
        if load is not None:
            self.expert_tokens = load if self.expert_tokens is None else self.expert_tokens + load


@dataclass
class _Running:
    """Lanes whose caches have one capacity, and those caches as one, in the lanes' order."""

    lanes: list[tuple[Job, Lane]] = field(default_factory=list)
    cache: KVCache | None = None


class Engine:
    """Serves jobs through one model.

    Args:
        model: in eval mode, on its device.
        most_rows: sequences in one forward pass. Jobs join in the order they came, as soon as there is room
            for all their paths; one that wants more than there ever is runs alone.
    """

    def __init__(self, model: MoESequenceRegressor, *, most_rows: int = DEFAULT_MOST_ROWS) -> None:
        if most_rows < 1:
            raise ValueError(f"most_rows must be at least 1, got {most_rows}")
        self.model = model
        self.counts = EngineCounts()
        self._most_rows = most_rows
        self._waiting: deque[Job] = deque()
        self._running: dict[int, _Running] = {}

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._waiting) or any(running.lanes for running in self._running.values())

    def submit(self, job: Job) -> None:
        """Let a job join at the next step."""
        self._waiting.append(job)

    def drop(self, jobs: Iterable[Job]) -> None:
        """Forget jobs, wherever they are."""
        gone = {id(job) for job in jobs}
        self._waiting = deque(job for job in self._waiting if id(job) not in gone)
        for running in self._running.values():
            self._keep(running, [id(job) not in gone for job, _ in running.lanes])

    def step(self) -> list[Job]:
        """Read the contexts of jobs that joined, and roll every lane on by P points.

        Returns:
            The jobs that are finished now.
        """
        finished: list[Job] = []
        with inference(self.model):
            for group in self._groups():
                self._read(group, finished)
            for capacity in list(self._running):
                self._advance(self._running[capacity], finished)
                if not self._running[capacity].lanes:
                    del self._running[capacity]
        self.counts.finished += len(finished)
        return finished

    # ---- reading contexts ----

    def _groups(self) -> Iterator[list[Job]]:
        """Waiting jobs that can be read in one pass: of like length, and of like need for a cache."""
        groups: dict[tuple[int, bool], list[Job]] = {}
        for job in self._admitted():
            key = self._capacity(job), self._rolls(job)
            group = groups.setdefault(key, [])
            if group and sum(each.rows for each in group) + job.rows > self._most_rows:
                yield groups.pop(key)
                group = groups.setdefault(key, [])
            group.append(job)
        yield from groups.values()

    def _admitted(self) -> Iterator[Job]:
        """Waiting jobs that there is room for, in their order."""
        rows = sum(len(lane) for running in self._running.values() for _, lane in running.lanes)
        while self._waiting:
            job = self._waiting[0]
            wanted = job.paths if self._rolls(job) else 0  # others take no part in later steps
            if rows and rows + wanted > self._most_rows:
                return
            rows += wanted
            yield self._waiting.popleft()

    def _rolls(self, job: Job) -> bool:
        """Whether own predictions will be fed back."""
        return points_fed_back(self.model.config, job.request.horizon) > 0

    def _capacity(self, job: Job) -> int:
        """Slots for the job's contexts and all that will be fed back, in steps of powers of two."""
        needed = job.request.points.shape[1] + points_fed_back(self.model.config, job.request.horizon)
        capacity = LEAST_CAPACITY
        while capacity < needed:
            capacity *= 2
        return capacity

    def _read(self, jobs: Sequence[Job], finished: list[Job]) -> None:
        """One forward pass over the contexts of jobs; what needs no other is finished at once."""
        model, config = self.model, self.model.config
        length = max(job.request.points.shape[1] for job in jobs)
        points = torch.cat([_padded(job.request.points, length) for job in jobs]).to(model.device)
        lengths = torch.cat([job.request.lengths for job in jobs]).to(model.device)
        every = token_spacing(config, jobs[0].request.horizon)
        cache = None
        if self._rolls(jobs[0]):
            cache = model.allocate_cache(len(points), self._capacity(jobs[0]))
        anchor = compute_anchor(points, lengths, config.anchor)
        tokens = model.token_positions(lengths, every=every)
        output = model(points, anchor=anchor, lengths=lengths, tokens=tokens, cache=cache)
        self.counts.count(len(points), output.routing.load())
        rows = torch.arange(len(points), device=model.device)
        known = output.distribution.at((rows, (lengths - 1) // every))
        first = 0
        for job in jobs:
            mine = rows[first : first + job.rows]
            longest = int(((job.request.lengths - 1) // every).max()) + 1
            reading = Reading(
                anchor.take(mine),
                known.at((mine,)),
                None if cache is None else cache.take(mine),
                _select(output.routing, mine, longest),
            )
            first += job.rows
            job.model_steps += 1
            for lane in job.begin(reading):
                self._start(job, lane, finished)

    def _start(self, job: Job, lane: Lane | None, finished: list[Job]) -> None:
        """Run a lane's first step, and those after it if they are done with that."""
        while lane is not None:
            lane.emit()
            if not lane.done:
                cache = lane.cache
                assert cache is not None
                running = self._running.setdefault(cache.capacity, _Running())
                joined = [cache] if running.cache is None else [running.cache, cache]
                running.cache = KVCache.joined(joined)
                running.lanes.append((job, lane))
                lane.cache = None  # now part of the running one
                return
            lane = job.accept(lane)
        if job.finished:
            finished.append(job)

    # ---- rolling on ----

    def _advance(self, running: _Running, finished: list[Job]) -> None:
        """One forward pass, or some, over lanes; those that are done make room."""
        self._forward(running)
        done = []
        for job, lane in running.lanes:
            job.model_steps += 1
            lane.emit()
            done.append(lane.done)
        leaving = [pair for pair, is_done in zip(running.lanes, done, strict=True) if is_done]
        self._keep(running, [not is_done for is_done in done])
        for job, lane in leaving:
            self._start(job, job.accept(lane), finished)

    def _forward(self, running: _Running) -> None:
        """Feed each lane's last block back."""
        config = self.model.config
        cache = running.cache
        assert cache is not None
        every = token_spacing(config, config.head.prediction_steps + 1)
        ahead = torch.arange(config.head.prediction_steps, device=self.model.device)
        grid = ahead[every - 1 :: every]  # of the P new points, those that become tokens
        blocks = torch.cat([lane.last_block for _, lane in running.lanes])
        position = torch.cat([lane.position for _, lane in running.lanes])
        anchor = join_anchors([lane.anchor for _, lane in running.lanes])
        output = self.model(
            blocks,
            anchor=anchor,
            positions=position[:, None] + ahead,
            tokens=position[:, None] + grid,
            cache=cache,
        )
        self.counts.count(len(blocks))
        rows = torch.arange(len(blocks), device=self.model.device)
        known = output.distribution.at((rows, torch.full_like(rows, len(grid) - 1)))
        first = 0
        for _, lane in running.lanes:
            lane.advance(known.at((rows[first : first + len(lane)],)))
            first += len(lane)

    @staticmethod
    def _keep(running: _Running, kept: Sequence[bool]) -> None:
        """Let some lanes leave, and their rows of the cache with them."""
        if all(kept):
            return
        rows = [
            torch.full((len(lane),), keep, dtype=torch.bool)
            for (_, lane), keep in zip(running.lanes, kept, strict=True)
        ]
        running.lanes = [pair for pair, keep in zip(running.lanes, kept, strict=True) if keep]
        if not running.lanes or running.cache is None:
            running.cache = None
            return
        running.cache = running.cache.take(torch.cat(rows).nonzero()[:, 0].to(running.cache.points.device))


def _padded(points: Tensor, length: int) -> Tensor:
    """Points ``[B, T, D]`` with zeros up to a length, which the model never looks at."""
    missing = length - points.shape[1]
    return points if missing == 0 else torch.nn.functional.pad(points, (0, 0, 0, missing))


def _select(routing: RoutingRecord, rows: Tensor, tokens: int) -> RoutingRecord:
    """Some sequences of a record, and their first tokens."""
    layers = [
        LayerRouting(
            layer.experts[rows, :tokens],
            layer.weights[rows, :tokens],
            layer.probabilities[rows, :tokens],
            layer.valid[rows, :tokens],
        )
        for layer in routing.layers
    ]
    return RoutingRecord(tuple(layers))
