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


def test_leaving_in_the_middle_of_a_roll_out_harms_nobody(model):
    worker = EngineWorker(Engine(model))
    long = worker.submit(Job.read(model, walk(12, 0), 3000))
    late = worker.submit(Job.read(model, walk(12, 1), 3000), timeout=0.2)
    while long.job.started is None or late.job.started is None:
        time.sleep(0.001)
    assert long.future.cancel()
    with pytest.raises(DeadlineExceededError):
        late.future.result(timeout=60)
    result = worker.submit(job_of(model, 2, horizon=9)).future.result(timeout=60)
    np.testing.assert_allclose(result.mean, model.forecast(walk(12, 2), 9).mean, rtol=1e-5, atol=1e-5)
    assert worker.alive
    assert worker.close()
    assert worker.waiting == 0


def test_an_answer_that_cannot_be_put_together_is_told_to_its_own_caller(model, monkeypatch):
    worker = EngineWorker(Engine(model))
    plain = Job.result
    bad = job_of(model, 0)

    def result(job):
        if job is bad:
            raise MemoryError("no room for the answer")
        return plain(job)

    monkeypatch.setattr(Job, "result", result)
    with pytest.raises(MemoryError, match="no room"):
        worker.submit(bad).future.result(timeout=60)
    assert worker.submit(job_of(model, 1)).future.result(timeout=60).mean.shape == (10, 3)
    assert worker.close()


def test_a_job_handed_in_twice_is_refused_and_the_first_is_answered(gated, model):
    worker, first = gated
    again = worker.submit(first.job)
    worker.engine.open_wide()
    with pytest.raises(ValueError, match="served once"):
        again.future.result(timeout=30)
    assert first.future.result(timeout=30).mean.shape == (10, 3)


def test_a_deadline_is_kept_also_in_the_middle_of_a_step(gated, model):
    worker, _ = gated  # whose step does not end

    async def ask():
        began = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            await worker.run(job_of(model, 1), timeout=0.05)
        return time.monotonic() - began

    assert asyncio.run(ask()) < 10


def test_cancelling_makes_no_room_for_more_than_there_is(gated, model):
    worker, _ = gated
    for seed in (1, 2):
        worker.submit(job_of(model, seed)).future.cancel()
    with pytest.raises(QueueFullError):
        worker.submit(job_of(model, 3))


def test_closing_at_once_stays_so(gated):
    worker, _ = gated
    assert not worker.close(drain=False, timeout=0)
    worker.engine.open_wide()
    assert worker.close(timeout=30)


def test_waiting_for_room_is_measured(model):
    engine = Engine(model, most_rows=2)
    worker = EngineWorker(engine)
    first = worker.submit(Job.read(model, walk(12, 0), 800, num_samples=1, seed=0))
    second = worker.submit(Job.read(model, walk(12, 1), 12))
    first.future.result(timeout=120)
    second.future.result(timeout=60)
    assert second.queue_seconds > 5 * first.queue_seconds
    worker.close()


def test_a_worker_needs_room_for_somebody(model):
    with pytest.raises(ValueError, match="most_waiting"):
        EngineWorker(Engine(model), most_waiting=0)
