"""Continuous batching: requests join and leave between the model's steps, and share them in between.

The engine is synchronous and belongs to one thread; `m.generation.worker` feeds it from others. Routing
is dropless and attention is masked by position, so no row depends on those it happens to share a step
with: a result is that of the request alone, to the rounding of differently shaped products.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from m.generation.errors import OF_ONE_REQUEST
from m.generation.job import Job, Reading
from m.generation.lane import Lane
from m.generation.running import RunningLanes
from m.moe.anchor import compute_anchor, join_anchors
from m.moe.forecast import cache_capacity, inference, points_fed_back, token_spacing
from m.moe.model import MoESequenceRegressor
from m.routing.record import LayerRouting, RoutingRecord

DEFAULT_MOST_ROWS = 256


@dataclass
class EngineCounts:
    """What an engine has done so far.

    Attributes:
        steps: forward passes.
        rows: sequences in them, summed.
        finished: jobs, those that failed not counted.
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


class Engine:
    """Serves jobs through one model.

    Args:
        model: in eval mode, on its device.
        most_rows: paths that roll on together, and contexts that are read together. Jobs join in the order
            they came, as soon as there is room for all their paths; one that wants more than there ever is
            runs without others. What needs no rolling on never waits for what does.
    """

    def __init__(self, model: MoESequenceRegressor, *, most_rows: int = DEFAULT_MOST_ROWS) -> None:
        if most_rows < 1:
            raise ValueError(f"most_rows must be at least 1, got {most_rows}")
        self.model = model
        self.counts = EngineCounts()
        self._most_rows = most_rows
        self._waiting: deque[Job] = deque()
        self._running: dict[int, RunningLanes] = {}  # by capacity of their caches; none is empty

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._waiting or self._running)

    def submit(self, job: Job) -> None:
        """Let a job join at one of the next steps.

        Raises:
            ValueError: it was read for another model, or has been submitted before.
        """
        job.take(self.model)
        self._waiting.append(job)

    def drop(self, jobs: Iterable[Job]) -> None:
        """Forget jobs, wherever they are."""
        gone = {id(job) for job in jobs}
        self._waiting = deque(job for job in self._waiting if id(job) not in gone)
        for running in self._running.values():
            running.drop(gone)
        self._tidy()

    def step(self) -> list[Job]:
        """Read the contexts of jobs that join, and roll every lane on by P points.

        An error in what belongs to one job ends that job alone: see `Job.failure`.

        Returns:
            The jobs that are finished now, or have failed.

        Raises:
            Exception: of a pass that jobs share; which of them is to blame is not known.
        """
        ended: list[Job] = []
        with inference(self.model):
            for group in self._groups():
                self._read(group, ended)
            for running in list(self._running.values()):
                self._advance(running, ended)
        self._tidy()
        self.counts.finished += sum(job.failure is None for job in ended)
        return ended

    def _tidy(self) -> None:
        self._running = {capacity: running for capacity, running in self._running.items() if len(running)}

    def _fail(self, job: Job, error: Exception, ended: list[Job]) -> None:
        """End one job with its error."""
        job.failure = error
        self.drop([job])
        ended.append(job)

    @contextmanager
    def _alone(self, job: Job, ended: list[Job]) -> Iterator[None]:
        """Work for one job: an error ends it and no other, and when it is finished it has ended too."""
        try:
            yield
        except OF_ONE_REQUEST as error:
            self._fail(job, error, ended)
        else:
            if job.finished:
                ended.append(job)

    # ---- reading contexts ----

    def _groups(self) -> Iterator[list[Job]]:
        """Waiting jobs that can be read in one pass: of like length, and of like need for a cache."""
        groups: dict[tuple[int, bool], list[Job]] = {}
        for job in self._admitted():
            groups.setdefault((self._capacity(job), self._rolls(job)), []).append(job)
        yield from groups.values()

    def _admitted(self) -> list[Job]:
        """Take out the waiting jobs that there is room for, in their order."""
        running = sum(lanes.rows for lanes in self._running.values())
        reading, blocked = 0, False
        admitted: list[Job] = []
        staying: deque[Job] = deque()
        for job in self._waiting:
            wanted = job.paths if self._rolls(job) else 0  # others take no part in later steps
            blocked |= bool(wanted and running and running + wanted > self._most_rows)
            full = reading > 0 and reading + job.rows > self._most_rows
            if full or (wanted and blocked):
                staying.append(job)
                continue
            running += wanted
            reading += job.rows
            admitted.append(job)
        self._waiting = staying
        return admitted

    def _rolls(self, job: Job) -> bool:
        """Whether own predictions will be fed back."""
        return points_fed_back(self.model.config, job.request.horizon) > 0

    def _capacity(self, job: Job) -> int:
        """Slots of the cache that the job's paths need; without rolling on, its length in like steps."""
        return cache_capacity(self.model.config, job.request.points.shape[1], job.request.horizon)

    def _read(self, jobs: Sequence[Job], ended: list[Job]) -> None:
        """One forward pass over the contexts of jobs; what needs no other is finished at once."""
        try:
            readings = self._readings(jobs)
        except OF_ONE_REQUEST as error:
            if len(jobs) == 1:
                self._fail(jobs[0], error, ended)
                return
            for job in jobs:
                self._read([job], ended)
            return
        for job, reading in zip(jobs, readings, strict=True):
            job.model_steps += 1
            with self._alone(job, ended):
                for lane in job.begin(reading):
                    self._start(job, lane)

    def _readings(self, jobs: Sequence[Job]) -> list[Reading]:
        """What the model makes of the jobs' contexts."""
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
        readings = []
        for job, mine in zip(jobs, torch.split(rows, [job.rows for job in jobs]), strict=True):
            longest = int(((job.request.lengths - 1) // every).max()) + 1
            readings.append(
                Reading(
                    anchor.take(mine),
                    known.at((mine,)),
                    None if cache is None else cache.take(mine),
                    _select(output.routing, mine, longest),
                )
            )
        return readings

    def _start(self, job: Job, lane: Lane | None) -> None:
        """Run a lane's first step, and the lanes after it as long as they are done with theirs."""
        while lane is not None:
            lane.emit()
            if not lane.done:
                if lane.cache is None:
                    raise RuntimeError("a lane that rolls on needs a cache")
                self._running.setdefault(lane.cache.capacity, RunningLanes()).add(job, lane)
                return
            lane = job.accept(lane)

    # ---- rolling on ----

    def _advance(self, running: RunningLanes, ended: list[Job]) -> None:
        """One forward pass over lanes; those that are done make room."""
        self._forward(running)
        for job, lane in list(running):
            if job.failure is not None:
                continue
            job.model_steps += 1
            with self._alone(job, ended):
                lane.emit()
                if lane.done:
                    running.remove(lane)
                    self._start(job, job.accept(lane))

    def _forward(self, running: RunningLanes) -> None:
        """Feed each lane's last block back."""
        config = self.model.config
        every = token_spacing(config, config.head.prediction_steps + 1)
        ahead = torch.arange(config.head.prediction_steps, device=self.model.device)
        grid = ahead[every - 1 :: every]  # of the P new points, those that become tokens
        lanes = [lane for _, lane in running]
        position = torch.cat([lane.position for lane in lanes])
        output = self.model(
            torch.cat([lane.last_block for lane in lanes]),
            anchor=join_anchors([lane.anchor for lane in lanes]),
            positions=position[:, None] + ahead,
            tokens=position[:, None] + grid,
            cache=running.cache(),
        )
        self.counts.count(len(position))
        rows = torch.arange(len(position), device=self.model.device)
        known = output.distribution.at((rows, torch.full_like(rows, len(grid) - 1)))
        for lane, mine in zip(lanes, torch.split(rows, [len(lane) for lane in lanes]), strict=True):
            lane.advance(known.at((mine,)))


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
