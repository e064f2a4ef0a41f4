"""Continuous batching: requests join and leave between the model's steps, and share them in between.

The engine is synchronous and belongs to one thread; `m.generation.worker` feeds it from others. Routing
is dropless and attention is masked by position, so no row depends on those it happens to share a step
with: a result is that of the request alone, to the rounding of differently shaped products.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from m.attention.cache import KVCache
from m.generation.counts import EngineCounts
from m.generation.errors import OF_ONE_REQUEST
from m.generation.job import Job
from m.generation.lane import Lane
from m.generation.past import Past
from m.generation.prefix import PrefixCache
from m.generation.reading import Reader, Reading, Row
from m.generation.running import RunningLanes
from m.generation.session import Continuation, SessionStore
from m.moe.anchor import Anchor, join_anchors
from m.moe.forecast import feed_back, inference, read_window
from m.moe.model import MoESequenceRegressor
from m.moe.spacing import rolls_on, rounded_capacity
from m.moe.window import Window

DEFAULT_MOST_ROWS = 256


@dataclass(frozen=True)
class _Task:
    """A job, the contexts to be read for it, and how they continue its session."""

    job: Job
    rows: list[Row]
    continuation: Continuation | None = None


def _continued(what: Continuation, *, keep: bool) -> Row:
    """What a session has to read."""
    points, context = torch.from_numpy(what.points), torch.from_numpy(what.context)
    past = what.past if isinstance(what.past, Past) else None
    return Row(points, context, what.anchored, past, keep=keep, shared=False)


def _kind(held: KVCache | Window) -> tuple[str, int]:
    """Lanes of one kind go on together: caches of one capacity, windows of like width."""
    if isinstance(held, KVCache):
        return "cache", held.capacity
    return "window", rounded_capacity(int(held.most.max()))


class Engine:
    """Serves jobs through one model.

    Args:
        model: in eval mode, on its device.
        most_rows: paths that roll on together, and contexts that are read together. Jobs join in the order
            they came, as soon as there is room for all their paths; one that wants more than there ever is
            runs without others. What needs no rolling on never waits for what does.
        prefixes: contexts read before, to be found again; None to remember none.
        sessions: those that are open; by default a store of its own.
    """

    def __init__(
        self,
        model: MoESequenceRegressor,
        *,
        most_rows: int = DEFAULT_MOST_ROWS,
        prefixes: PrefixCache | None = None,
        sessions: SessionStore | None = None,
    ) -> None:
        if most_rows < 1:
            raise ValueError(f"most_rows must be at least 1, got {most_rows}")
        self.model = model
        self.reader = Reader(model, prefixes)
        self.sessions = sessions if sessions is not None else SessionStore()  # an empty one is false
        self.counts = EngineCounts()
        self._most_rows = most_rows
        self._waiting: deque[Job] = deque()
        self._running: dict[tuple[str, int], RunningLanes] = {}  # by `_kind`; none is empty

    @property
    def prefixes(self) -> PrefixCache | None:
        """Contexts read before."""
        return self.reader.prefixes

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

        An error in what belongs to one job ends that job alone: see `Job.failure`. One in a pass by which
        lanes roll on ends all jobs in it: which of them is to blame is not known.

        Returns:
            The jobs that are finished now, or have failed.

        Raises:
            Exception: what no request can bring about, see `OF_ONE_REQUEST`.
        """
        ended: list[Job] = []
        with inference(self.model):
            for group in self._groups(ended):
                self._read(group, ended)
            for running in list(self._running.values()):
                self._advance(running, ended)
        self._tidy()
        self.counts.finished += sum(job.failure is None for job in ended)
        return ended

    def _tidy(self) -> None:
        self._running = {capacity: running for capacity, running in self._running.items() if len(running)}

    def _fail(self, job: Job, error: Exception, ended: list[Job]) -> None:
        """End one job with its error.

        Raises:
            torch.AcceleratorError: that is what it was; the device can do nothing more.
        """
        if isinstance(error, torch.AcceleratorError):
            raise error
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

    def _groups(self, ended: list[Job]) -> Iterator[list[_Task]]:
        """Waiting jobs that can be read in one pass: of like length, and of like need for a cache."""
        groups: dict[tuple[int, bool], list[_Task]] = {}
        beginning = 0
        for job in self._admitted():
            job.admitted = time.monotonic()
            try:
                task = self._task(job, beginning)
            except OF_ONE_REQUEST as error:
                self._fail(job, error, ended)
                continue
            beginning += job.session is not None and job.session.start and job.session.id not in self.sessions
            capacity = self.reader.capacity(task.rows, job.request.horizon)
            groups.setdefault((capacity, self._rolls(job)), []).append(task)
        yield from groups.values()

    def _task(self, job: Job, beginning: int) -> _Task:
        """What has to be read for a job; so many sessions begin in the same step already."""
        request, push = job.request, job.session
        if push is None:
            points = torch.from_numpy(request.points)
            parts = zip(points, request.lengths.tolist(), request.anchored.tolist(), strict=True)
            return _Task(job, [Row.whole(path[:length], anchored) for path, length, anchored in parts])
        what = self.sessions.continuation(
            push, request.points[0], int(request.anchored[0]), beginning=beginning
        )
        keep = not push.end and self.sessions.may_continue(what)
        return _Task(job, [_continued(what, keep=keep)], what)

    def _admitted(self) -> list[Job]:
        """Take out the waiting jobs that there is room for, in their order."""
        running = sum(lanes.rows for lanes in self._running.values())
        reading, blocked = 0, False
        pushed: set[str] = set()  # sessions with a push that is to be read first
        admitted: list[Job] = []
        staying: deque[Job] = deque()
        for job in self._waiting:
            wanted = job.paths if self._rolls(job) else 0  # others take no part in later steps
            blocked |= bool(wanted and running and running + wanted > self._most_rows)
            full = reading > 0 and reading + job.rows > self._most_rows
            name = None if job.session is None else job.session.id
            if full or (wanted and blocked) or name in pushed:
                staying.append(job)
            else:
                running += wanted
                reading += job.rows
                admitted.append(job)
            if name is not None:
                pushed.add(name)
        self._waiting = staying
        return admitted

    def _rolls(self, job: Job) -> bool:
        """Whether its forecast goes on from its own points."""
        return rolls_on(self.model.config, job.request.horizon)

    def _read(self, tasks: Sequence[_Task], ended: list[Job]) -> None:
        """Read the contexts of jobs; what needs no rolling on is finished at once."""
        unread = dict(enumerate(tasks))
        try:
            for done in self.reader.read([task.rows for task in tasks], tasks[0].job.request.horizon):
                load = None if done.load is None else done.load.cpu().numpy()
                self.counts.count(done.rows, load, read=done.read, reused=done.reused)
                for number, reading in zip(done.numbers, done.readings, strict=True):
                    self._begin(unread.pop(number), reading, ended)
        except OF_ONE_REQUEST as error:
            if len(unread) == 1:
                self._fail(next(iter(unread.values())).job, error, ended)
                return
            for task in unread.values():
                self._read([task], ended)

    def _begin(self, task: _Task, reading: Reading, ended: list[Job]) -> None:
        """Let a job go on from what was read, and remember it for its session."""
        job = task.job
        job.model_steps += 1
        with self._alone(job, ended):
            if job.session is not None and task.continuation is not None:
                past = reading.pasts[0]
                job.session_state = self.sessions.commit(job.session, task.continuation, past)
            for lane in job.begin(reading):
                self._start(job, lane)

    def _start(self, job: Job, lane: Lane | None) -> None:
        """Run a lane's first step, and the lanes after it as long as they are done with theirs."""
        while lane is not None:
            lane.emit()
            job.announce(lane)
            if not lane.done:
                if lane.held is None:
                    raise RuntimeError("a lane that rolls on needs something to go on from")
                alike = _kind(lane.held)
                self._running.setdefault(alike, RunningLanes()).add(job, lane)
                return
            lane = job.accept(lane)

    # ---- rolling on ----

    def _advance(self, running: RunningLanes, ended: list[Job]) -> None:
        """One forward pass over lanes; those that are done make room."""
        try:
            self._forward(running)
        except OF_ONE_REQUEST as error:
            for job in {id(job): job for job, _ in running}.values():
                self._fail(job, error, ended)
            return
        for job, lane in list(running):
            if job.failure is not None:
                continue
            job.model_steps += 1
            with self._alone(job, ended):
                lane.emit()
                job.announce(lane)
                if lane.done:
                    running.remove(lane)
                    self._start(job, job.accept(lane))

    def _forward(self, running: RunningLanes) -> None:
        """Go on from each lane's last block."""
        lanes, held = running.lanes(), running.held()
        block = torch.cat([lane.last_block for lane in lanes])
        anchors: Sequence[Anchor]
        rows = torch.split(torch.arange(len(block), device=block.device), [len(lane) for lane in lanes])
        if isinstance(held, Window):
            window = held.append(block)
            anchor, known = read_window(self.model, window)
            running.keep(window)
            anchors = [anchor.take(mine) for mine in rows]
        else:
            anchors = [lane.anchor for lane in lanes]
            position = torch.cat([lane.position for lane in lanes])
            known = feed_back(self.model, block, join_anchors(anchors), position, held)
        self.counts.count(len(block))
        for lane, mine, own in zip(lanes, rows, anchors, strict=True):
            lane.advance(known.at((mine,)), own)
