"""Continuous batching for exported models: requests join and leave between readings, and share them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

from m.generation.counts import EngineCounts
from m.generation.errors import OF_ONE_REQUEST
from m.generation.session import SessionStore
from m.runtime.job import ExportedJob
from m.runtime.model import ExportedModel
from m.runtime.rows import Rows

DEFAULT_MOST_ROWS = 256


class ExportedEngine:
    """Serves jobs through one exported model.

    Where a graph takes a key-value cache, paths that roll on and sessions that hold their anchor are read
    from where their past ends. Other graphs remember nothing: all is read anew, by a new anchor, and
    `SessionPush.hold_points` changes nothing.

    Args:
        model: to read with.
        most_rows: sequences that share a reading.
        sessions: those that are open; by default a store of its own.
    """

    def __init__(
        self,
        model: ExportedModel,
        *,
        most_rows: int = DEFAULT_MOST_ROWS,
        sessions: SessionStore | None = None,
    ) -> None:
        if most_rows < 1:
            raise ValueError(f"most_rows must be at least 1, got {most_rows}")
        self.model = model
        self.sessions = sessions if sessions is not None else SessionStore()  # an empty one is false
        self.counts = EngineCounts()
        self._most_rows = most_rows
        self._waiting: deque[ExportedJob] = deque()
        self._running: deque[ExportedJob] = deque()
        self._shared: list[ExportedJob] = []  # of the present step

    @property
    def prefixes(self) -> None:
        """Nothing is remembered of contexts."""
        return None

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._waiting or self._running)

    def submit(self, job: ExportedJob) -> None:
        """Let a job join at the next step."""
        self._waiting.append(job)

    def drop(self, jobs: Iterable[ExportedJob]) -> None:
        """Forget jobs, wherever they are."""
        gone = {id(job) for job in jobs}
        self._waiting = deque(job for job in self._waiting if id(job) not in gone)
        self._running = deque(job for job in self._running if id(job) not in gone)

    def step(self) -> list[ExportedJob]:
        """One reading, of as many rows as fit.

        Returns:
            The jobs that are finished now, or have failed.
        """
        ended: list[ExportedJob] = []
        self._admit(ended)
        for share in self._shares():
            self._read(share, ended)
        self._running.extend(job for job in self._shared if job.left and job.failure is None)
        self.counts.finished += sum(job.failure is None for job in ended)
        return ended

    def _admit(self, ended: list[ExportedJob]) -> None:
        """Let waiting jobs join; of one session, one at a time, in their order."""
        busy = {job.session.id for job in self._running if job.session is not None}
        staying: deque[ExportedJob] = deque()
        for job in self._waiting:
            name = None if job.session is None else job.session.id
            if name is not None and name in busy:
                staying.append(job)
                continue
            job.admitted = time.monotonic()
            try:
                job.begin(self.model, self.sessions)
            except OF_ONE_REQUEST as error:
                self._end(job, error, ended)
                continue
            self._running.append(job)
            if name is not None:
                busy.add(name)
        self._waiting = staying

    def _shares(self) -> Iterator[list[tuple[ExportedJob, Rows]]]:
        """Rows to be read in this step, in groups of like length, and whose they are.

        Jobs take turns: those that were served go to the end of the line.
        """
        groups: dict[tuple[int, ...], list[tuple[ExportedJob, Rows]]] = {}
        self._shared = []
        room = self._most_rows
        while self._running and room > 0:
            job = self._running.popleft()
            rows = job.next_rows(room)
            room -= len(rows.lengths)
            self._shared.append(job)
            groups.setdefault(rows.size_class, []).append((job, rows))
        yield from groups.values()

    def _read(self, share: list[tuple[ExportedJob, Rows]], ended: list[ExportedJob]) -> None:
        """Read rows together; an error ends the jobs they belong to, found out one by one."""
        first = share[0][1]
        together = type(first).join([rows for _, rows in share])
        try:
            block = self.model.read(together)
        except OF_ONE_REQUEST as error:
            if len(share) == 1:
                self._end(share[0][0], error, ended)
                return
            for one in share:
                self._read([one], ended)
            return
        read = sum(int(rows.unread.sum()) for job, rows in share if job.routing is None)
        self.counts.count(len(together.lengths), read=read)
        at = 0
        for job, rows in share:
            part = block.rows(slice(at, at + len(rows.lengths)))
            at += len(rows.lengths)
            reading = job.routing is None
            try:
                job.supply(part, self.sessions)
            except OF_ONE_REQUEST as error:
                self._end(job, error, ended)
                continue
            load = job.routing.load() if reading and job.routing is not None else None
            if load is not None:
                self.counts.serve(load)
            if not job.left:
                ended.append(job)

    @staticmethod
    def _end(job: ExportedJob, error: Exception, ended: list[ExportedJob]) -> None:
        job.failure = error
        ended.append(job)
