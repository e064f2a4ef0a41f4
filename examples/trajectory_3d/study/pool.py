"""Worker processes on this machine: several jobs at once, restarted when they die, stopped when asked."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from typing import IO, Any

from examples.trajectory_3d.study.board import Board
from examples.trajectory_3d.study.devices import worker_command, worker_environment
from examples.trajectory_3d.study.folder import Outcome
from examples.trajectory_3d.study.stop_signals import StopSignals
from examples.trajectory_3d.study.worker import EXIT_DONE, EXIT_INTERRUPTED, EXIT_REFUSED, GO, STOP

_POLL_SECONDS = 0.2
_PIPE_BYTES = 65536


class Worker:
    """A worker process that is on a job.

    Args:
        board: of the study.
        name: of the job.
        restarts: how often a worker has died on it.
        slot: place among the workers at once.
        device: kind of device.
        threads: that it may use.
        gpu: that it may use; None for none.
    """

    def __init__(
        self, board: Board, name: str, restarts: int, *, slot: int, device: str, threads: int, gpu: str | None
    ) -> None:
        self.name = name
        self.restarts = restarts
        self.slot = slot
        self.outcome: Outcome | None = None
        self.reason = ""
        self._board = board
        self._text = b""
        log = board.folder.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = worker_command(str(board.folder.path), name, device, str(threads))
        with log.open("ab") as file:
            # A session of its own: Ctrl-C in a terminal reaches the parent alone, which passes it on once.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=worker_environment(threads, gpu),
                start_new_session=True,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.inbox: IO[bytes] = self.process.stdout
        self._outbox: IO[bytes] = self.process.stdin
        # Processes that the worker began may hold its end open after it died; nothing may wait for them.
        os.set_blocking(self.inbox.fileno(), False)

    def listen(self) -> bool:
        """Read what has arrived and answer it; False when that was nothing."""
        try:
            arrived = os.read(self.inbox.fileno(), _PIPE_BYTES)
        except BlockingIOError:
            return False
        self._text += arrived
        *lines, self._text = self._text.split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(arrived)

    def close(self) -> None:
        """Give the pipes back."""
        for pipe in (self.inbox, self._outbox):
            with contextlib.suppress(OSError):
                pipe.close()

    def _take(self, message: dict[str, Any]) -> None:
        kind = message.pop("kind")
        if kind == "evaluation":
            goes_on = self._board.judge(self.name, message["step"], message["value"])
            with contextlib.suppress(OSError):  # it died meanwhile; that is seen elsewhere
                self._outbox.write(f"{GO if goes_on else STOP}\n".encode())
                self._outbox.flush()
        elif kind == "outcome":
            self.outcome = Outcome(**message)
        else:
            self.reason = message["reason"]


class LocalPool:
    """Runs jobs in worker processes.

    Args:
        board: of the study.
        parallel: workers at once.
        threads: cores of each.
        device: kind of device.
        gpus: shared out round robin; empty for none.
        retries: how often a job is started again after its worker died.
    """

    def __init__(
        self, board: Board, *, parallel: int, threads: int, device: str, gpus: list[str], retries: int
    ) -> None:
        self._board = board
        self._parallel = parallel
        self._threads = threads
        self._device = device
        self._gpus = gpus
        self._retries = retries
        self._selector = selectors.DefaultSelector()
        self._workers: list[Worker] = []

    def run(self, names: list[str]) -> bool:
        """Do the jobs; returns whether all of them were ended, and not by a signal from outside."""
        waiting = deque((name, 0) for name in names)
        with StopSignals() as stop:
            try:
                while self._workers or (waiting and not stop.count):
                    while waiting and len(self._workers) < self._parallel and not stop.count:
                        self._start(*waiting.popleft())
                    self._listen()
                    self._pass_on(stop)
                    for worker in [each for each in self._workers if each.process.poll() is not None]:
                        again = self._conclude(worker, stopping=stop.count > 0)
                        if again:
                            waiting.appendleft((worker.name, worker.restarts + 1))
            finally:
                for worker in self._workers:  # an error of this process: they are not left behind
                    worker.process.kill()
                    worker.process.wait()
                self._selector.close()
            return not stop.count

    def _start(self, name: str, restarts: int) -> None:
        slot = min(set(range(self._parallel)) - {worker.slot for worker in self._workers})
        worker = Worker(
            self._board,
            name,
            restarts,
            slot=slot,
            device=self._device,
            threads=self._board.threads(name, self._threads),
            gpu=self._gpus[slot % len(self._gpus)] if self._gpus else None,
        )
        self._board.note(f"{name}: started (process {worker.process.pid})")
        self._workers.append(worker)
        self._selector.register(worker.inbox, selectors.EVENT_READ, worker)

    def _listen(self) -> None:
        open_pipes = bool(self._selector.get_map())
        for key, _ in self._selector.select(_POLL_SECONDS) if open_pipes else ():
            if not key.data.listen():
                self._selector.unregister(key.fileobj)
        if not open_pipes:
            time.sleep(_POLL_SECONDS)  # all have closed their ends, and are about to exit

    def _pass_on(self, stop: StopSignals) -> None:
        """Ask the workers to save and end; at the second signal end them as they are."""
        asked = stop.take()
        if asked:
            self._board.note(
                "stopping: trainings save where they are (once more to stop at once)"
                if stop.count == 1
                else "stopping at once: trainings go on from their last checkpoints"
            )
            for worker in self._workers:
                worker.process.send_signal(signal.SIGTERM if stop.count == 1 else signal.SIGKILL)

    def _conclude(self, worker: Worker, *, stopping: bool) -> bool:
        """Note how a worker ended; returns whether its job is to be started again."""
        while worker.listen():
            pass
        if worker.inbox.fileno() in self._selector.get_map():
            self._selector.unregister(worker.inbox)
        worker.close()
        self._workers.remove(worker)
        code = worker.process.returncode
        if code == EXIT_DONE and worker.outcome is not None:
            self._board.conclude(worker.outcome, worker.restarts)
            return False
        if stopping:
            self._board.note(
                f"{worker.name}: stopped, {'saved' if code == EXIT_INTERRUPTED else 'resumable'}"
            )
            return False
        reason = worker.reason or _ending(code)
        if code == EXIT_REFUSED or worker.restarts >= self._retries:
            tries = f" (tried {worker.restarts + 1} times)" if worker.restarts else ""
            self._board.fail(worker.name, reason + tries, worker.restarts)
            return False
        self._board.note(f"{worker.name}: {reason}; starting it again from its checkpoint")
        return True


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"its worker ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    out_of_memory = ", as when memory runs out" if -code == signal.SIGKILL else ""
    return f"its worker was killed by {name}{out_of_memory}"
