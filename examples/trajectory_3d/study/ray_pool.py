"""The same jobs on a Ray cluster, whose machines share the study's folder, or on a Ray started here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.trajectory_3d.study.board import Board
from examples.trajectory_3d.study.devices import usable_cores
from examples.trajectory_3d.study.folder import Outcome, StudyFolder
from examples.trajectory_3d.study.stop_signals import StopSignals
from m.ray_cluster import connect, reason_of

if TYPE_CHECKING:
    import ray

_POLL_SECONDS = 0.2


class Desk:
    """An actor at which workers report and ask, and the driver reads and answers.

    So that decisions are made, and written down, in one place.
    """

    def __init__(self) -> None:
        self._questions: dict[tuple[str, int], tuple[float, asyncio.Future[bool]]] = {}
        self._begun: list[tuple[str, str]] = []

    async def begin(self, name: str, place: str) -> None:
        """Note that a worker begins a job, or begins it again."""
        self._begun.append((name, place))

    async def ask(self, name: str, step: int, value: float) -> bool:
        """Report an evaluation and wait for the answer, whether to go on."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._questions[name, step] = (value, future)
        return await future

    async def news(self) -> tuple[list[tuple[str, str]], list[tuple[str, int, float]]]:
        """Jobs begun since the last call, and all questions without an answer."""
        begun, self._begun = self._begun, []
        return begun, [(name, step, value) for (name, step), (value, _) in self._questions.items()]

    async def answer(self, name: str, step: int, goes_on: bool) -> None:
        """Answer a question."""
        _, future = self._questions.pop((name, step))
        if not future.done():
            future.set_result(goes_on)


def do_job(path: str, name: str, device: str, threads: int, desk: Any) -> dict[str, Any]:
    """Do a job in a Ray worker; returns the fields of an `Outcome`, or only ``refused`` or ``stopped``."""
    import ray  # noqa: PLC0415

    from examples.trajectory_3d.study.trial_run import (  # noqa: PLC0415
        LASTING_ERRORS,
        InterruptedTrialError,
        run_job,
    )

    folder = StudyFolder(Path(path))
    ray.get(desk.begin.remote(name, f"process {os.getpid()} on {platform.node()}"))

    def judge(step: int, value: float) -> bool:
        return bool(ray.get(desk.ask.remote(name, step, value)))

    with _printing_to(folder.log(name)):
        try:
            return asdict(run_job(folder, name, device=device, threads=threads, judge=judge))
        except InterruptedTrialError as interrupt:
            return {"stopped": str(interrupt)}
        except LASTING_ERRORS as error:
            return {"refused": f"{type(error).__name__}: {error}"}
        except Exception:  # whatever it is belongs in the trial's log too; Ray is told it all the same
            traceback.print_exc()
            raise


@contextlib.contextmanager
def _printing_to(log: Path) -> Iterator[None]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        yield


class RayPool:
    """Runs jobs as Ray tasks; Ray starts them again when their workers die, and they resume.

    Args:
        board: of the study.
        address: of a cluster, as `m.ray_cluster.connect` takes it.
        parallel: jobs at once; None leaves it to the cluster.
        threads: cores of each.
        device: kind of device.
        retries: how often a job is started again after its worker died.
    """

    def __init__(
        self, board: Board, *, address: str, parallel: int | None, threads: int, device: str, retries: int
    ) -> None:
        self._board = board
        self._address = address
        self._parallel = parallel
        self._threads = threads
        self._device = device
        self._retries = retries
        self._running: dict[ray.ObjectRef[dict[str, Any]], str] = {}
        self._starts: Counter[str] = Counter()

    def run(self, names: list[str]) -> bool:
        """Do the jobs; returns whether all of them were ended, and not by a signal from outside.

        Raises:
            ConfigError: Ray is not installed, or there is no cluster at the address.
        """
        ray = connect(self._address, cores=self._cores())
        try:
            desk = ray.remote(num_cpus=0)(Desk).remote()
            # Each job in a process of its own, whose peak memory and processor time are the job's.
            task = ray.remote(max_calls=1, max_retries=self._retries, retry_exceptions=True)(do_job)
            return self._work(ray, task, desk, deque(names))
        finally:
            ray.shutdown()

    def _cores(self) -> int:
        return max(usable_cores(), self._threads * (self._parallel or 1))

    def _work(self, ray: Any, task: Any, desk: Any, waiting: deque[str]) -> bool:
        with StopSignals() as stop:
            while self._running or (waiting and not stop.count):
                while (
                    waiting and not stop.count and len(self._running) < (self._parallel or len(waiting) + 1)
                ):
                    self._start(task, desk, waiting.popleft())
                ready, _ = ray.wait(list(self._running), timeout=_POLL_SECONDS)
                self._answer(ray, desk)
                if stop.take():
                    self._board.note("stopping: trainings save where they are (once more to stop at once)")
                    for reference in self._running:
                        ray.cancel(reference, force=stop.count > 1, recursive=False)
                for reference in ready:
                    self._conclude(ray, reference, stopping=stop.count > 0)
            return not stop.count

    def _start(self, task: Any, desk: Any, name: str) -> None:
        threads = self._board.threads(name, self._threads)
        reference = task.options(
            name=name, num_cpus=self._threads, num_gpus=1 if self._device == "cuda" else 0
        ).remote(str(self._board.folder.path.absolute()), name, self._device, threads, desk)
        self._running[reference] = name

    def _answer(self, ray: Any, desk: Any) -> None:
        begun, questions = ray.get(desk.news.remote())
        for name, place in begun:
            self._starts[name] += 1
            again = " again, from its checkpoint" if self._starts[name] > 1 else ""
            self._board.note(f"{name}: started{again} ({place})")
        for name, step, value in questions:
            ray.get(desk.answer.remote(name, step, self._board.judge(name, step, value)))

    def _conclude(self, ray: Any, reference: Any, *, stopping: bool) -> None:
        name = self._running.pop(reference)
        restarts = max(0, self._starts[name] - 1)
        try:
            result = ray.get(reference)
        except ray.exceptions.TaskCancelledError:
            result = {"stopped": "cancelled"}
        except ray.exceptions.RayError as error:
            result = {"died": reason_of(error)}
        if "status" in result:
            self._board.conclude(Outcome(**result), restarts)
        elif stopping:
            self._board.note(f"{name}: stopped, {'saved' if 'stopped' in result else 'resumable'}")
        else:
            tries = f" (tried {restarts + 1} times)" if restarts else ""
            self._board.fail(name, next(iter(result.values())) + tries, restarts)
