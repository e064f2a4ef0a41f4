"""The worker: one thread owns the model; nobody is lost, kept waiting for nothing, or told nothing."""

import asyncio
import threading
import time

import numpy as np
import pytest
from reference import small_model

from m.generation import (
    DeadlineExceededError,
    Engine,
    EngineStoppedError,
    EngineWorker,
    Job,
    QueueFullError,
)


@pytest.fixture(scope="module")
def model():
    return small_model()


def walk(length, seed):
    return np.random.default_rng(seed).standard_normal((length, 3)).cumsum(axis=0)


def job_of(model, seed, horizon=10):
    return Job.read(model, walk(12, seed), horizon)


class Gate(Engine):
    """An engine whose steps wait to be let through; each step says that it begins."""

    def __init__(self, model):
        super().__init__(model)
        self.passes = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def step(self):
        self.begun.release()
        assert self.passes.acquire(timeout=30)
        return super().step()

    def open_wide(self):
        for _ in range(1000):
            self.passes.release()


@pytest.fixture
def gated(model):
    """A worker whose first step waits, with one job in it."""
    worker = EngineWorker(Gate(model), most_waiting=3)
    first = worker.submit(job_of(model, 0))
    assert worker.engine.begun.acquire(timeout=30)
    yield worker, first
    worker.engine.open_wide()
    worker.close(drain=False)


def test_answers_to_many_threads_are_their_own(model):
    worker = EngineWorker(Engine(model))
    found = {}

    def ask(seed):
        horizon = 1 + seed % 13
        found[seed] = worker.submit(job_of(model, seed, horizon)).future.result(timeout=60)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert worker.close()
    assert len(found) == 24
    for seed, result in found.items():
        alone = model.forecast(walk(12, seed), 1 + seed % 13)
        np.testing.assert_allclose(result.mean, alone.mean, rtol=1e-5, atol=1e-5)
    assert worker.engine.counts.finished == 24


def test_an_event_loop_is_never_held_up(model):
    worker = EngineWorker(Gate(model))

    async def ask():
        waiting = [asyncio.create_task(worker.run(job_of(model, seed))) for seed in range(4)]
        ticks = 0
        while worker.engine.passes._value == 0 and ticks < 20:  # the model waits; the loop does not
            await asyncio.sleep(0.001)
            ticks += 1
        worker.engine.open_wide()
        results = await asyncio.gather(*waiting)
        return ticks, results

    ticks, results = asyncio.run(ask())
    assert ticks == 20
    assert [result.mean.shape for result in results] == [(10, 3)] * 4
    assert worker.close()


def test_a_full_queue_refuses_at_once(gated, model):
    worker, first = gated
    others = [worker.submit(job_of(model, seed)) for seed in (1, 2)]
    assert worker.waiting == 3
    with pytest.raises(QueueFullError, match="3 requests wait"):
        worker.submit(job_of(model, 3))
    worker.engine.open_wide()
    for ticket in (first, *others):
        ticket.future.result(timeout=30)
    worker.submit(job_of(model, 3)).future.result(timeout=30)  # there is room again


def test_a_deadline_ends_the_wait_and_frees_the_engine(gated, model):
    worker, first = gated
    late = worker.submit(job_of(model, 1), timeout=0.01)
    time.sleep(0.05)
    worker.engine.open_wide()
    with pytest.raises(DeadlineExceededError, match="by the deadline"):
        late.future.result(timeout=30)
    assert first.future.result(timeout=30).mean.shape == (10, 3)
    assert worker.engine.counts.finished == 1


def test_a_cancelled_request_is_taken_out(gated, model):
    worker, first = gated
    gone = worker.submit(job_of(model, 1))
    assert gone.future.cancel()
    assert worker.waiting == 1
    worker.engine.open_wide()
    first.future.result(timeout=30)
    worker.submit(job_of(model, 2)).future.result(timeout=30)
    assert worker.engine.counts.finished == 2
    assert not worker.engine.busy


def test_cancelling_the_wait_cancels_the_request(gated, model):
    worker, first = gated

    async def give_up():
        task = asyncio.create_task(worker.run(job_of(model, 1)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert worker.waiting == 1
    worker.engine.open_wide()
    first.future.result(timeout=30)
    worker.close()
    assert worker.engine.counts.finished == 1


def test_closing_answers_those_who_are_in(gated, model):
    worker, first = gated
    second = worker.submit(job_of(model, 1))
    closing = threading.Thread(target=worker.close)
    closing.start()
    while worker.alive:
        time.sleep(0.001)
    with pytest.raises(EngineStoppedError, match="closing"):
        worker.submit(job_of(model, 2))
    worker.engine.open_wide()
    assert first.future.result(timeout=30).mean.shape == (10, 3)
    assert second.future.result(timeout=30).mean.shape == (10, 3)
    closing.join(timeout=30)
    assert not closing.is_alive()


def test_closing_at_once_tells_those_who_wait(gated, model):
    worker, _ = gated
    second = worker.submit(job_of(model, 1))
    closing = threading.Thread(target=worker.close, kwargs={"drain": False})
    closing.start()
    while worker.alive:
        time.sleep(0.001)
    worker.engine.open_wide()
    with pytest.raises(EngineStoppedError, match="was closed"):
        second.future.result(timeout=30)
    closing.join(timeout=30)
    assert worker.waiting == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failing_model_is_told_to_everybody(gated, model, monkeypatch):
    worker, first = gated
    second = worker.submit(job_of(model, 1))

    def fail(jobs, finished):
        raise MemoryError("no room")

    monkeypatch.setattr(worker.engine, "_read", fail)
    worker.engine.open_wide()
    for ticket in (first, second):
        with pytest.raises(EngineStoppedError, match="no room"):
            ticket.future.result(timeout=30)
    worker._thread.join(timeout=30)
    assert not worker.alive
    assert isinstance(worker.failure, MemoryError)
    with pytest.raises(EngineStoppedError, match="failed"):
        worker.submit(job_of(model, 2))


def test_waiting_is_measured(gated):
    worker, first = gated
    time.sleep(0.02)
    assert 0 <= first.queue_seconds < 30
    with pytest.raises(ValueError, match="most_waiting"):
        EngineWorker(worker.engine, most_waiting=0)
