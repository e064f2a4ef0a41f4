"""Sessions: pushed piece by piece, a path is forecast as if it had been sent whole."""

import asyncio
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import CAUSAL_ROUTERS, MODELS, small_model

from m import load
from m.generation import Engine, EngineWorker, Job
from m.generation.errors import TooManySessionsError, UnknownSessionError
from m.generation.prefix import PrefixCache
from m.generation.session import SessionPush, SessionStore

HOLD = 1000


def walk(length, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((length, 3)).cumsum(axis=-2) * 0.1 + 1e3 * rng.standard_normal(3)


def push(engine, points, horizon, session, **options):
    job = Job.read(engine.model, points, horizon, session=session, **options)
    engine.submit(job)
    for _ in range(200):
        if job in engine.step():
            if job.failure is not None:
                raise job.failure
            return job.result()
    raise AssertionError("the job did not end")


def assert_whole(result, model, pushed, horizon, **options):
    """Equal to one forecast of all points that the session says it was made from."""
    state = result.session
    whole = model.forecast(
        pushed[-state.context_points :], horizon, anchor_points=state.anchor_points, **options
    )
    close = {"rtol": 0, "atol": 1e-5 * (np.ptp(whole.mean) + 1)}
    np.testing.assert_allclose(result.mean, whole.mean, **close)
    np.testing.assert_allclose(result.points, whole.points, **close)
    if whole.samples is not None:
        np.testing.assert_allclose(result.samples, whole.samples, **close)
    for ours, theirs in zip(result.routing.layers, whole.routing.layers, strict=True):
        assert torch.equal(ours.experts[ours.valid], theirs.experts[theirs.valid])


@pytest.mark.parametrize("router", CAUSAL_ROUTERS)
@pytest.mark.parametrize("kind", MODELS)
def test_streamed_equals_whole(kind, router):
    model = small_model(router, **MODELS[kind])
    engine = Engine(model, prefixes=PrefixCache(10**8), sessions=SessionStore(most_drift=1e9))
    path = walk(50)
    cuts, horizons = [20, 21, 22, 25, 33, 34, 50], [3, 3, 9, 3, 9, 1, 9]
    done = 0
    for cut, horizon in zip(cuts, horizons, strict=True):
        wanted = {"temperature": 0.5, "num_samples": 2, "seed": cut}
        session = SessionPush("a", start=done == 0, hold_points=HOLD)
        result = push(engine, path[done:cut], horizon, session, **wanted)
        assert result.session.points == result.session.context_points == cut
        assert result.session.anchor_points == 20
        assert not result.session.reanchored
        assert result.reused_points == done
        assert_whole(result, model, path[:cut], horizon, **wanted)
        done = cut


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    horizons=st.lists(st.integers(1, 14), min_size=6, max_size=6),
    hold=st.sampled_from([0, 5, HOLD]),
    kind=st.sampled_from(sorted(MODELS)),
)
def test_any_pushes_equal_the_whole(sizes, horizons, hold, kind):
    model = small_model(**MODELS[kind])
    engine = Engine(model, sessions=SessionStore(most_points=30, most_drift=3.0))
    path, done = walk(sum(sizes), 7), 0
    for size, horizon in zip(sizes, horizons, strict=False):
        session = SessionPush("a", start=done == 0, hold_points=hold)
        result = push(engine, path[done : done + size], horizon, session)
        done += size
        assert result.session.points == done
        assert result.session.context_points <= 30 or size > 30
        assert_whole(result, model, path[:done], horizon)


def test_by_default_each_push_is_as_good_as_the_whole_context():
    model = small_model()
    engine = Engine(model)
    path = walk(40)
    push(engine, path[:30], 5, SessionPush("a", start=True))
    result = push(engine, path[30:33], 5, SessionPush("a"))
    assert result.session.reanchored
    np.testing.assert_array_equal(result.mean, model.forecast(path[:33], 5).mean)


def test_a_path_that_leaves_its_anchor_takes_a_new_one():
    model = small_model()
    engine = Engine(model, sessions=SessionStore(most_drift=4.0))
    still = 0.1 * np.random.default_rng(0).standard_normal((20, 3))
    gone = still[-1] + np.arange(1, 11)[:, None] * np.array([0.5, 0.0, 0.0])
    push(engine, still, 3, SessionPush("a", start=True, hold_points=HOLD))
    anchored = []
    for n in range(10):
        result = push(engine, gone[n : n + 1], 3, SessionPush("a"))
        anchored.append(result.session.reanchored)
        assert_whole(result, model, np.concatenate([still, gone[: n + 1]]), 3)
    assert any(anchored)
    assert not anchored[0]
    assert engine.sessions.reanchored == sum(anchored)


def test_a_long_session_keeps_its_last_points_only():
    model = small_model()
    engine = Engine(model, sessions=SessionStore(most_points=16, most_drift=1e9))
    path = walk(60)
    push(engine, path[:10], 3, SessionPush("a", start=True, hold_points=HOLD))
    lengths = []
    for n in range(10, 60):
        result = push(engine, path[n : n + 1], 3, SessionPush("a"))
        lengths.append(result.session.context_points)
        assert_whole(result, model, path[: n + 1], 3)
    assert max(lengths) == 16
    assert lengths[5:15] == [16, *range(8, 17)]  # it begins anew from its last half


def test_sessions_share_steps_and_stay_apart():
    model = small_model(**MODELS["strided"])
    engine = Engine(model)
    paths = {name: walk(40, seed) for seed, name in enumerate("abc")}
    at = {"a": 17, "b": 20, "c": 31}
    jobs = [
        Job.read(model, paths[n][: at[n]], 5, session=SessionPush(n, start=True, hold_points=HOLD))
        for n in at
    ]
    for job in jobs:
        engine.submit(job)
    while engine.busy:
        engine.step()
    pushes = []
    for _ in range(3):  # of every session several wait at once: each is read in its turn
        for name, before in list(at.items()):
            job = Job.read(model, paths[name][before][None], 9, session=SessionPush(name))
            pushes.append((name, before, job))
            engine.submit(job)
            at[name] += 1
    pushes.append(("plain", 12, Job.read(model, walk(12, 9), 9)))
    engine.submit(pushes[-1][2])
    ended = []
    while len(ended) < len(pushes):
        ended += engine.step()
    for name, before, job in pushes[:-1]:
        result = job.result()
        assert result.session.points == before + 1
        assert_whole(result, model, paths[name][: before + 1], 9)
    np.testing.assert_allclose(pushes[-1][2].result().mean, model.forecast(walk(12, 9), 9).mean, atol=1e-3)


def test_a_session_must_be_started_and_can_end():
    model = small_model()
    engine = Engine(model)
    with pytest.raises(UnknownSessionError, match="'a' is open"):
        push(engine, walk(1), 3, SessionPush("a"))
    push(engine, walk(12)[:9], 3, SessionPush("a", start=True, hold_points=5))
    ended = push(engine, walk(12)[9:], 3, SessionPush("a", end=True))
    assert ended.session.ended
    assert_whole(ended, model, walk(12), 3)
    assert "a" not in engine.sessions
    with pytest.raises(UnknownSessionError):
        push(engine, walk(1), 3, SessionPush("a"))


def test_starting_again_forgets_what_was():
    model = small_model()
    engine = Engine(model)
    push(engine, walk(9), 3, SessionPush("a", start=True))
    again = push(engine, walk(11, 5), 3, SessionPush("a", start=True))
    assert again.session.points == 11
    np.testing.assert_array_equal(again.mean, model.forecast(walk(11, 5), 3).mean)


def test_sessions_are_bounded_and_those_at_rest_make_room():
    now = [0.0]
    model = small_model()
    engine = Engine(model, sessions=SessionStore(most=2, idle_seconds=10.0, clock=lambda: now[0]))
    push(engine, walk(9), 3, SessionPush("a", start=True))
    now[0] = 5.0
    push(engine, walk(9), 3, SessionPush("b", start=True))
    with pytest.raises(TooManySessionsError, match="2 sessions"):
        push(engine, walk(9), 3, SessionPush("c", start=True))
    push(engine, walk(9), 3, SessionPush("b", start=True))  # its own place is free
    now[0] = 11.0
    push(engine, walk(9), 3, SessionPush("c", start=True))
    assert "a" not in engine.sessions
    with pytest.raises(UnknownSessionError):
        push(engine, walk(1), 3, SessionPush("a"))
    jobs = [Job.read(model, walk(9), 3, session=SessionPush(n, start=True)) for n in "xyz"]
    for job in jobs:
        engine.submit(job)
    now[0] = 30.0
    while engine.busy:
        engine.step()
    assert [type(job.failure) for job in jobs] == [type(None), type(None), TooManySessionsError]


def test_beginning_anew_takes_no_place_from_others():
    model = small_model()
    engine = Engine(model, sessions=SessionStore(most=2))
    push(engine, walk(9), 3, SessionPush("a", start=True))
    jobs = [Job.read(model, walk(9), 3, session=SessionPush(name, start=True)) for name in "ab"]
    for job in jobs:
        engine.submit(job)
    while engine.busy:
        engine.step()
    assert [job.failure for job in jobs] == [None, None]


def test_a_session_opened_with_too_many_points_remembers_the_last_ones():
    model = small_model()
    engine = Engine(model, sessions=SessionStore(most_points=16, most_drift=1e9))
    path = walk(60)
    opened = push(engine, path[:50], 3, SessionPush("a", start=True, hold_points=HOLD))
    assert opened.session.context_points == 50
    assert_whole(opened, model, path[:50], 3)
    held = engine.sessions._sessions["a"]
    assert held.past is None  # nothing could go on from it
    assert len(held.context) == 16
    result = push(engine, path[50:51], 3, SessionPush("a"))
    assert result.session.reanchored
    assert result.session.points == 51
    assert_whole(result, model, path[:51], 3)


def test_sessions_at_rest_are_forgotten_without_anybody_asking():
    model, now = small_model(), [0.0]
    worker = EngineWorker(Engine(model, sessions=SessionStore(idle_seconds=10.0, clock=lambda: now[0])))
    try:
        job = Job.read(model, walk(9), 3, session=SessionPush("a", start=True))
        worker.submit(job).future.result(20)
        assert len(worker.engine.sessions) == 1
        now[0] = 11.0
        deadline = time.monotonic() + 20
        while len(worker.engine.sessions):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        worker.close()


def test_a_push_that_cannot_be_read_leaves_the_session_as_it_was(monkeypatch):
    model = small_model()
    engine = Engine(model)
    path = walk(30)
    push(engine, path[:20], 3, SessionPush("a", start=True, hold_points=HOLD))
    forward = type(model).forward

    def broken(self, *args, **kwargs):
        forward(self, *args, **kwargs)  # what it writes must not be the session's
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(type(model), "forward", broken)
    with pytest.raises(RuntimeError, match="not enough memory"):
        push(engine, path[20:21] + 5.0, 3, SessionPush("a"))
    monkeypatch.undo()
    result = push(engine, path[20:22], 3, SessionPush("a"))
    assert result.session.points == 22
    assert_whole(result, model, path[:22], 3)


def test_what_a_session_cannot_take_is_refused():
    model = small_model()
    for context, options in ((walk(8).reshape(2, 4, 3), {}), (walk(8)[None], {"lengths": [5]})):
        with pytest.raises(ValueError, match="a session has one path"):
            Job.read(model, context, 3, session=SessionPush("a", start=True), **options)
    with pytest.raises(ValueError, match="one context alone"):
        Job.read(model, walk(8).reshape(2, 4, 3), 3, on_block=print)
    for wrong in ({"most": 0}, {"most_points": 1}, {"idle_seconds": 0.0}, {"most_drift": 0.0}):
        with pytest.raises(ValueError, match="most|idle"):
            SessionStore(**wrong)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_blocks_are_told_as_they_come(temperature):
    model = small_model()
    engine = Engine(model)
    told = []

    def tell(first, block):
        told.append((first, block, engine.counts.steps))

    job = Job.read(model, walk(20), 10, temperature=temperature, seed=3, num_samples=2, on_block=tell)
    engine.submit(job)
    while job not in engine.step():
        pass
    assert [(first, len(block)) for first, block, _ in told] == [(0, 4), (4, 4), (8, 2)]
    assert [steps for *_, steps in told] == [1, 2, 3]  # each as soon as it is known
    np.testing.assert_array_equal(np.concatenate([block for _, block, _ in told]), job.result().points)


def test_pushes_in_flight_on_the_shipped_model():
    """The real model, through the worker, from an event loop: streamed equals whole, hold or not."""
    model = load("trajectory-3d")
    times = np.arange(120) * 0.02
    path = np.stack([2 * np.cos(3 * times), 2 * np.sin(3 * times), 0.5 * times], -1) + 100.0

    async def stream(worker, name, hold):
        found = []
        for n in range(64, 120, 4):
            new = path[:64] if n == 64 else path[n - 4 : n]
            session = SessionPush(name, start=n == 64, hold_points=hold)
            found.append((n, await worker.run(Job.read(model, new, 40, session=session))))
        return found

    async def run():
        worker = EngineWorker(Engine(model))
        try:
            return await asyncio.gather(*(stream(worker, f"{hold}", hold) for hold in (0, 10, HOLD)))
        finally:
            worker.close()

    for found in asyncio.run(run()):
        for n, result in found:
            assert_whole(result, model, path[:n], 40)
