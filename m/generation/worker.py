"""One thread that owns the engine; requests come from any thread or event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from m.generation.errors import (
    OF_ONE_REQUEST,
    DeadlineExceededError,
    EngineStoppedError,
    QueueFullError,
)
from m.generation.forecast_job import ForecastJob
from m.generation.interface import ForecastEngine
from m.generation.result import GenerationResult

Errand = Callable[[ForecastEngine], None]

DEFAULT_MOST_WAITING = 1024
_IDLE_SECONDS = 1.0  # between looks at whether to stop, when nothing comes


@dataclass(eq=False)
class Ticket:
    """A job on its way through a worker.

    Attributes:
        job: what is asked for.
        deadline: on the clock of `time.monotonic`; None for none.
        future: of the result; cancelling it takes the job out at the next step.
        submitted: when; seconds of that clock.
        ended: when its result was known.
    """

    job: ForecastJob
    deadline: float | None
    future: Future[GenerationResult] = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def queue_seconds(self) -> float:
        """Waited until the engine took it up; so far, while it waits."""
        return self._until(self.job.admitted)

    @property
    def first_step_seconds(self) -> float:
        """Until its contexts had been read, and with them the first P points were known."""
        return self._until(self.job.started)

    @property
    def seconds(self) -> float:
        """Until its result was known."""
        return self._until(self.ended)

    def _until(self, moment: float | None) -> float:
        return (moment if moment is not None else time.monotonic()) - self.submitted


class EngineWorker:
    """Runs an engine in a thread of its own.

    Args:
        engine: not used by anybody else from now on.
        most_waiting: jobs that may wait or run at once; further ones are refused at once, not kept waiting.
    """

    def __init__(self, engine: ForecastEngine, *, most_waiting: int = DEFAULT_MOST_WAITING) -> None:
        if most_waiting < 1:
            raise ValueError(f"most_waiting must be at least 1, got {most_waiting}")
        self.engine = engine
        self._most = most_waiting
        # None: look at the state
        self._inbox: queue.SimpleQueue[Ticket | Errand | None] = queue.SimpleQueue()
        self._open: dict[int, Ticket] = {}  # by job, those in the engine; of the worker's thread alone
        self._lock = threading.Lock()
        self._count = 0  # tickets that the worker still holds
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
        """Jobs that wait or run; one that was cancelled counts until the next step."""
        return self._count

    def submit(self, job: ForecastJob, *, timeout: float | None = None) -> Ticket:
        """Hand in a job.

        Args:
            job: read for the engine's model.
            timeout: seconds until the answer is of no use.

        Raises:
            ValueError: the job was read for another model, or has been handed in before.
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
        return ticket

    def call(self, errand: Errand) -> None:
        """Let the worker's thread do something small with its engine, between two steps."""
        self._inbox.put(errand)

    async def run(self, job: ForecastJob, *, timeout: float | None = None) -> GenerationResult:
        """Hand in a job and wait for its result; cancelling the wait takes the job out.

        Raises:
            DeadlineExceededError: no result within ``timeout`` seconds.
            EngineStoppedError, QueueFullError, ValueError: see `submit`.
        """
        return await self.wait(self.submit(job, timeout=timeout))

    @staticmethod
    async def wait(ticket: Ticket) -> GenerationResult:
        """Wait for the result of a job that was handed in; cancelling the wait takes the job out.

        Raises:
            DeadlineExceededError: no result by its deadline.
            EngineStoppedError: the worker was closed, or has failed.
        """
        remaining = None if ticket.deadline is None else ticket.deadline - time.monotonic()
        try:
            async with asyncio.timeout(remaining):
                return await asyncio.wrap_future(ticket.future)
        except TimeoutError as error:
            if isinstance(error, DeadlineExceededError):
                raise
            raise _too_late(ticket) from None

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
            self._abandoning |= not drain
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:  # which can be, in a callback of a future
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
        if not self.engine.busy:
            self.engine.sessions.forget_idle()  # a turn is at most a second away
        self._take_in(wait=not self.engine.busy and not self._closing)
        self._drop_lost()
        if self._abandoning or (self._closing and not self.engine.busy and self._inbox.empty()):
            return False
        for job in self.engine.step() if self.engine.busy else ():
            self._answer(self._open[id(job)])
        return True

    def _answer(self, ticket: Ticket) -> None:
        """Settle a job that has ended, whatever its end."""
        try:
            failure, result = ticket.job.failure, None
            if failure is None:
                result = ticket.job.result()
        except OF_ONE_REQUEST as error:
            failure = error
        ticket.ended = time.monotonic()
        self._release(ticket)  # first: who has the answer may ask again at once
        with suppress(InvalidStateError):  # cancelled meanwhile
            if result is None:
                ticket.future.set_exception(failure)
            else:
                ticket.future.set_result(result)

    def _release(self, ticket: Ticket) -> None:
        """Forget a ticket."""
        self._open.pop(id(ticket.job), None)
        with self._lock:
            self._count -= 1

    def _take_in(self, *, wait: bool) -> None:
        with suppress(queue.Empty):
            ticket = self._inbox.get(timeout=_IDLE_SECONDS) if wait else self._inbox.get_nowait()
            while True:
                self._do(ticket)
                ticket = self._inbox.get_nowait()

    def _do(self, what: Ticket | Errand | None) -> None:
        """Take up what came in."""
        if isinstance(what, Ticket):
            self._admit(what)
        elif what is not None:
            what(self.engine)

    def _admit(self, ticket: Ticket) -> None:
        try:
            self.engine.submit(ticket.job)
        except ValueError as error:
            with suppress(InvalidStateError):
                ticket.future.set_exception(error)
            with self._lock:
                self._count -= 1
            return
        self._open[id(ticket.job)] = ticket

    def _drop_lost(self) -> None:
        """Take out jobs that nobody waits for any more."""
        now = time.monotonic()
        late = [t for t in self._open.values() if t.deadline is not None and now > t.deadline]
        lost = [*late, *(t for t in self._open.values() if t.future.done() and t not in late)]
        if not lost:
            return
        self.engine.drop(ticket.job for ticket in lost)
        for ticket in lost:
            self._release(ticket)
            with suppress(InvalidStateError):  # cancelled
                ticket.future.set_exception(_too_late(ticket))

    def _refuse_rest(self) -> None:
        """Tell everybody who still waits."""
        with self._lock:
            self._closing = True
            rest = list(self._open.values())
            with suppress(queue.Empty):
                while True:
                    ticket = self._inbox.get_nowait()
                    if isinstance(ticket, Ticket):
                        rest.append(ticket)
            self._count = 0
        self._open.clear()
        for ticket in rest:
            reason = f"its worker failed: {self._failure!r}" if self._failure else "it was closed"
            with suppress(InvalidStateError):
                ticket.future.set_exception(EngineStoppedError(f"the engine stopped: {reason}"))


def _too_late(ticket: Ticket) -> DeadlineExceededError:
    waited = time.monotonic() - ticket.submitted
    return DeadlineExceededError(f"no forecast by the deadline; gave up after {waited:.3g} s")
