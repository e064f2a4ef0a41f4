"""One thread that owns the engine; requests come from any thread or event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from m.generation.engine import Engine
from m.generation.errors import DeadlineExceededError, EngineStoppedError, QueueFullError
from m.generation.job import Job
from m.generation.result import GenerationResult

DEFAULT_MOST_WAITING = 1024
_IDLE_SECONDS = 1.0  # between looks at whether to stop, when nothing comes


@dataclass
class Ticket:
    """A job on its way through a worker.

    Attributes:
        job: what is asked for.
        deadline: on the clock of `time.monotonic`; None for none.
        future: of the result; cancelling it takes the job out at the next step.
        submitted, joined: when; seconds of that clock. ``joined`` is None while the job waits.
    """

    job: Job
    deadline: float | None
    future: Future[GenerationResult] = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)
    joined: float | None = None

    @property
    def queue_seconds(self) -> float:
        """Waited for the first step."""
        return (self.joined if self.joined is not None else time.monotonic()) - self.submitted


class EngineWorker:
    """Runs an engine in a thread of its own.

    Args:
        engine: not used by anybody else from now on.
        most_waiting: jobs that may wait or run at once; further ones are refused at once, not kept waiting.
    """

    def __init__(self, engine: Engine, *, most_waiting: int = DEFAULT_MOST_WAITING) -> None:
        if most_waiting < 1:
            raise ValueError(f"most_waiting must be at least 1, got {most_waiting}")
        self.engine = engine
        self._most = most_waiting
        self._inbox: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()  # None: look at the state
        self._open: dict[int, Ticket] = {}  # by job, those in the engine; of the worker's thread alone
        self._lock = threading.Lock()
        self._count = 0  # tickets that have no result yet
        self._closing = False
        self._abandoning = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="m-engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether requests can be answered."""
        return self._thread.is_alive() and not self._closing and self._failure is None

    @property
    def failure(self) -> BaseException | None:
        """What ended the worker's thread, if anything did."""
        return self._failure

    @property
    def waiting(self) -> int:
        """Jobs without a result yet."""
        return self._count

    def submit(self, job: Job, *, timeout: float | None = None) -> Ticket:
        """Hand in a job.

        Args:
            job: read for the engine's model.
            timeout: seconds until the answer is of no use.

        Raises:
            EngineStoppedError: the worker is closed, or has failed.
            QueueFullError: too many jobs wait.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        ticket = Ticket(job, deadline)
        with self._lock:
            if not self.alive:
                reason = f"its worker failed: {self._failure!r}" if self._failure else "it is closing"
                raise EngineStoppedError(f"the engine takes no requests: {reason}")
            if self._count >= self._most:
                raise QueueFullError(f"{self._count} requests wait already, as many as may; try again later")
            self._count += 1
            self._inbox.put(ticket)
        ticket.future.add_done_callback(self._forget)
        return ticket

    async def run(self, job: Job, *, timeout: float | None = None) -> GenerationResult:
        """Hand in a job and wait for its result; cancelling the wait takes the job out.

        Raises:
            DeadlineExceededError: no result within ``timeout`` seconds.
            EngineStoppedError, QueueFullError: see `submit`.
        """
        return await asyncio.wrap_future(self.submit(job, timeout=timeout).future)

    def close(self, *, drain: bool = True, timeout: float = 30.0) -> bool:
        """Take no more jobs, and end the thread.

        Args:
            drain: answer those that are in first; without, they get `EngineStoppedError`.
            timeout: seconds to wait for that.

        Returns:
            Whether the thread has ended.
        """
        with self._lock:
            self._closing = True
            self._abandoning = not drain
        self._inbox.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- the worker's thread ----

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:  # whatever it is, those who wait must be told
            self._failure = error
            raise
        finally:
            self._refuse_rest()

    def _turn(self) -> bool:
        """Take in what came, do one step, answer what is done; False when there is nothing more to do."""
        self._take_in(wait=not self.engine.busy and not self._closing)
        self._drop_lost()
        if self._abandoning or (self._closing and not self.engine.busy and self._inbox.empty()):
            return False
        for job in self.engine.step() if self.engine.busy else ():
            ticket = self._open.pop(id(job))
            with suppress(InvalidStateError):  # cancelled meanwhile
                ticket.future.set_result(job.result())
        return True

    def _take_in(self, *, wait: bool) -> None:
        with suppress(queue.Empty):
            ticket = self._inbox.get(timeout=_IDLE_SECONDS) if wait else self._inbox.get_nowait()
            while True:
                if ticket is not None:
                    ticket.joined = time.monotonic()
                    self._open[id(ticket.job)] = ticket
                    self.engine.submit(ticket.job)
                ticket = self._inbox.get_nowait()

    def _drop_lost(self) -> None:
        """Take out jobs that nobody waits for any more."""
        now = time.monotonic()
        lost = []
        for ticket in self._open.values():
            if ticket.deadline is not None and now > ticket.deadline:
                waited = now - ticket.submitted
                with suppress(InvalidStateError):
                    ticket.future.set_exception(
                        DeadlineExceededError(f"no forecast by the deadline; gave up after {waited:.3g} s")
                    )
            if ticket.future.done():
                lost.append(ticket.job)
        if lost:
            self.engine.drop(lost)
            for job in lost:
                del self._open[id(job)]

    def _refuse_rest(self) -> None:
        """Tell everybody who still waits."""
        with self._lock:
            self._closing = True
            rest = list(self._open.values())
            with suppress(queue.Empty):
                while True:
                    ticket = self._inbox.get_nowait()
                    if ticket is not None:
                        rest.append(ticket)
        for ticket in rest:
            reason = f"its worker failed: {self._failure!r}" if self._failure else "it was closed"
            with suppress(InvalidStateError):
                ticket.future.set_exception(EngineStoppedError(f"the engine stopped: {reason}"))

    def _forget(self, future: Future[GenerationResult]) -> None:
        del future
        with self._lock:
            self._count -= 1
