"""Continuous batching: whoever shares a step with whom, each gets the forecast it would get alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import CAUSAL_ROUTERS, MODELS, small_model

from m.attention.cache import KVCache
from m.generation import Engine, Job


def model_of(kind, router="topk"):
    return small_model(router, **MODELS[kind])


def walk(length, seed, batch=None):
    rng = np.random.default_rng(seed)
    shape = (length, 3) if batch is None else (batch, length, 3)
    return rng.standard_normal(shape).cumsum(axis=-2) + 1e3 * rng.standard_normal(3)


def drive(engine, jobs, joins=None):
    """Submit each job before the step it joins at, and run until nothing is left."""
    joins = joins or [0] * len(jobs)
    finished, step = [], 0
    while engine.busy or any(join >= step for join in joins):
        for job, join in zip(jobs, joins, strict=True):
            if join == step:
                engine.submit(job)
        finished += engine.step()
        step += 1
        assert step < 1000
    return finished


def assert_as_alone(model, job, wish):
    alone = model.forecast(
        wish["context"],
        wish["horizon"],
        temperature=wish.get("temperature", 0.0),
        num_samples=wish.get("num_samples"),
        lengths=wish.get("lengths"),
        seed=wish.get("seed"),
    )
    result = job.result()
    size = np.abs(alone.mean - alone.mean.mean()).max() + 1.0
    close = {"rtol": 0, "atol": 1e-5 * size}
    np.testing.assert_allclose(result.mean, alone.mean, **close)
    np.testing.assert_allclose(result.points, alone.points, **close)
    if alone.samples is None:
        assert result.samples is None
    else:
        np.testing.assert_allclose(result.samples, alone.samples, **close)
    for level, values in result.quantiles.items():
        np.testing.assert_allclose(values, alone.quantile(level), **close)
    assert set(result.quantiles) == set(wish.get("quantiles", ()))
    for ours, theirs in zip(result.routing.layers, alone.routing.layers, strict=True):
        assert torch.equal(ours.valid, theirs.valid)
        assert torch.equal(ours.experts[ours.valid], theirs.experts[theirs.valid])
        torch.testing.assert_close(ours.weights, theirs.weights, rtol=1e-4, atol=1e-5)


def read(model, wish):
    rest = {key: value for key, value in wish.items() if key not in ("context", "horizon")}
    return Job.read(model, wish["context"], wish["horizon"], **rest)


WISHES = [
    {"context": walk(9, 0), "horizon": 3},
    {"context": walk(40, 1), "horizon": 11, "quantiles": (0.1, 0.5)},
    {"context": walk(23, 2), "horizon": 30, "temperature": 0.7, "seed": 4},
    {"context": walk(12, 3, batch=3), "horizon": 9, "num_samples": 5, "seed": 1, "lengths": [12, 3, 7]},
    {"context": walk(1, 4), "horizon": 5, "quantiles": (0.9,)},
    {"context": walk(30, 5), "horizon": 4, "temperature": 1.0, "num_samples": 3, "seed": 9},
    {"context": np.ones((10, 3)), "horizon": 8},
]


@pytest.mark.parametrize("router", CAUSAL_ROUTERS)
@pytest.mark.parametrize("kind", MODELS)
def test_requests_that_share_steps_get_their_own_forecasts(kind, router):
    model = model_of(kind, router)
    jobs = [read(model, wish) for wish in WISHES]
    finished = drive(Engine(model), jobs, joins=[0, 0, 1, 1, 2, 4, 4])
    assert {id(job) for job in finished} == {id(job) for job in jobs}
    for job, wish in zip(jobs, WISHES, strict=True):
        assert_as_alone(model, job, wish)


wishes = st.fixed_dictionaries(
    {
        "context": st.builds(walk, st.integers(1, 50), st.integers(0, 99), st.sampled_from([None, 1, 2])),
        "horizon": st.integers(1, 20),
    },
    optional={
        "temperature": st.sampled_from([0.5, 1.0]),
        "num_samples": st.integers(1, 4),
        "quantiles": st.sampled_from([(0.25,), (0.05, 0.95)]),
    },
)


@settings(max_examples=25, deadline=None)
@given(
    asked=st.lists(st.tuples(wishes, st.integers(0, 6)), min_size=1, max_size=6),
    most_rows=st.sampled_from([1, 7, 256]),
)
def test_whoever_joins_when_nothing_changes_for_anybody(asked, most_rows):
    model = model_of("strided")
    jobs = [read(model, wish | {"seed": 3}) for wish, _ in asked]
    finished = drive(Engine(model, most_rows=most_rows), jobs, joins=[join for _, join in asked])
    assert len(finished) == len(jobs)
    for job, (wish, _) in zip(jobs, asked, strict=True):
        assert_as_alone(model, job, wish | {"seed": 3})


@pytest.mark.parametrize("kind", ["points", "fresh"])
def test_many_paths_are_drawn_in_pieces_as_a_forecast_draws_them(monkeypatch, kind):
    model = model_of(kind)
    row = model.allocate_cache(1, 64).bytes_per_row()
    wish = {"context": walk(20, 0), "horizon": 30, "num_samples": 9, "seed": 2, "quantiles": (0.3,)}
    monkeypatch.setattr("m.moe.forecast._CACHE_BUDGET", 4 * row)
    monkeypatch.setattr("m.moe.forecast._MOST_TOKENS", 60)
    other = {"context": walk(30, 1), "horizon": 18}
    longer = {"context": walk(31, 3), "horizon": 31, "num_samples": 9, "seed": 2}
    jobs = [read(model, wish), read(model, other), read(model, longer)]
    drive(Engine(model), jobs, joins=[0, 3, 0])
    assert_as_alone(model, jobs[2], longer)
    assert_as_alone(model, jobs[0], wish)
    assert_as_alone(model, jobs[1], other)


@pytest.mark.parametrize(("length", "horizon"), [(1, 5), (20, 30), (60, 70), (90, 200)])
def test_a_lone_forecast_has_a_cache_of_the_same_size(length, horizon):
    """So that products of few digits round alike, and paths are drawn in the same pieces."""
    model = small_model(dtype=torch.bfloat16)
    wish = {"context": walk(length, 0), "horizon": horizon, "num_samples": 2, "seed": 1}
    job = read(model, wish)
    drive(Engine(model), [job])
    alone = model.forecast(wish["context"], horizon, num_samples=2, seed=1)
    np.testing.assert_array_equal(job.result().mean, alone.mean)
    np.testing.assert_array_equal(job.result().samples, alone.samples)


def test_steps_are_shared():
    model = model_of("points")
    jobs = [Job.read(model, walk(20, seed), 12) for seed in range(8)]
    engine = Engine(model)
    drive(engine, jobs)
    assert engine.counts.steps == 3  # contexts once, then two blocks of 4 fed back
    assert engine.counts.rows == 24
    assert engine.counts.finished == 8
    tokens = engine.counts.expert_tokens
    assert tokens.shape == (2, 4)
    assert tokens.sum(1).tolist() == [8 * 20 * 2] * 2
    assert [job.model_steps for job in jobs] == [3] * 8


def test_a_late_request_joins_those_that_run():
    model = model_of("points")
    early, late = Job.read(model, walk(20, 0), 40), Job.read(model, walk(20, 1), 8)
    engine = Engine(model)
    engine.submit(early)
    for _ in range(3):
        assert engine.step() == []
    engine.submit(late)
    assert engine.step() == [late]  # reads, and takes its second block with the early one's
    assert not early.finished


def test_too_many_paths_wait_in_their_order_and_a_giant_is_served_alone():
    model = model_of("points")
    wishes = [{"context": walk(8, n), "horizon": 12, "num_samples": 6, "seed": n} for n in range(4)]
    giant = {"context": walk(8, 9), "horizon": 12, "num_samples": 30, "seed": 0}
    asked = [*wishes[:2], giant, *wishes[2:]]
    jobs = [read(model, wish) for wish in asked]
    engine = Engine(model, most_rows=16)
    finished = drive(engine, jobs)
    assert finished == jobs
    for job, wish in zip(jobs, asked, strict=True):
        assert_as_alone(model, job, wish)


def test_dropped_jobs_leave_and_the_rest_goes_on():
    model = model_of("points")
    wishes = [{"context": walk(20, n), "horizon": 24, "num_samples": 2, "seed": n} for n in range(4)]
    jobs = [read(model, wish) for wish in wishes]
    engine = Engine(model)
    for job in jobs[:3]:
        engine.submit(job)
    engine.step()
    engine.submit(jobs[3])
    engine.drop([jobs[1], jobs[3]])
    finished = drive(engine, [])
    assert finished == [jobs[0], jobs[2]]
    for number in (0, 2):
        assert_as_alone(model, jobs[number], wishes[number])
    assert not engine.busy


@pytest.mark.parametrize("joined", [0, 1, 3])
def test_the_last_of_a_size_can_be_dropped_while_others_run(joined):
    model = model_of("points")
    gone, stays = Job.read(model, walk(12, 0), 18), Job.read(model, walk(60, 1), 40)
    engine = Engine(model)
    engine.submit(gone)
    engine.submit(stays)
    for _ in range(joined):
        engine.step()
    engine.drop([gone])
    assert drive(engine, []) == [stays]
    assert_as_alone(model, stays, {"context": walk(60, 1), "horizon": 40})


def test_joining_and_leaving_copy_a_cache_once_a_step(monkeypatch):
    model = model_of("points")
    joined = []
    whole = KVCache.joined.__func__
    monkeypatch.setattr(
        KVCache, "joined", classmethod(lambda cls, parts: joined.append(1) or whole(cls, parts))
    )
    engine = Engine(model)
    drive(engine, [Job.read(model, walk(20, seed), 12) for seed in range(30)], joins=[0] * 20 + [1] * 10)
    assert engine.counts.steps >= 4
    assert len(joined) <= engine.counts.steps


def test_an_error_of_one_request_is_its_own(monkeypatch):
    model = model_of("points")
    wishes = [{"context": walk(9, seed), "horizon": 10} for seed in range(3)]
    jobs = [read(model, wish) for wish in wishes]
    plain = Job.begin

    def begin(job, reading):
        if job is jobs[1]:
            raise MemoryError("too many paths")
        return plain(job, reading)

    monkeypatch.setattr(Job, "begin", begin)
    ended = drive(Engine(model), jobs)
    assert len(ended) == 3
    assert isinstance(jobs[1].failure, MemoryError)
    for number in (0, 2):
        assert jobs[number].failure is None
        assert_as_alone(model, jobs[number], wishes[number])


def test_a_request_that_cannot_be_held_takes_nobody_along():
    model = model_of("points")
    giant, modest = Job.read(model, walk(9, 0), 10**12), Job.read(model, walk(9, 1), 10)
    ended = drive(Engine(model), [giant, modest])
    assert giant in ended
    assert giant.failure is not None
    assert modest.failure is None
    assert_as_alone(model, modest, {"context": walk(9, 1), "horizon": 10})


@pytest.mark.parametrize("kind", ["points", "fresh"])
def test_an_error_while_rolling_on_ends_those_in_the_pass_and_no_others(kind, monkeypatch):
    model = model_of(kind)
    engine = Engine(model)
    jobs = [Job.read(model, walk(9, seed), 10) for seed in range(2)]
    for job in jobs:
        engine.submit(job)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_forward", lambda running: 1 // 0)
        assert engine.step() == jobs
    assert [type(job.failure) for job in jobs] == [ZeroDivisionError] * 2
    assert not engine.busy
    wish = {"context": walk(9, 2), "horizon": 10}
    later = read(model, wish)
    assert drive(engine, [later]) == [later]
    assert_as_alone(model, later, wish)
    assert engine.counts.finished == 1


def test_counts_of_experts_go_on_beyond_what_single_precision_counts():
    model = model_of("points")
    engine = Engine(model)
    drive(engine, [Job.read(model, walk(9, 0), 3)])
    engine.counts.expert_tokens += 2**24
    before = engine.counts.expert_tokens.sum().item()
    for seed in range(3):
        drive(engine, [Job.read(model, walk(1, seed), 3)])
    assert engine.counts.expert_tokens.sum().item() == before + 3 * 2 * 2  # top 2 of each of 2 layers


def test_what_needs_no_rolling_on_passes_what_waits_for_room():
    model = model_of("points")
    runs = Job.read(model, walk(9, 0), 400, num_samples=7, seed=0)
    waits = Job.read(model, walk(9, 1), 8, num_samples=7, seed=0)
    short = Job.read(model, walk(9, 2), 4)
    engine = Engine(model, most_rows=8)
    for job in (runs, waits, short):
        engine.submit(job)
    assert engine.step() == [short]
    assert waits.started is None


def test_a_job_is_served_once_and_by_its_own_model():
    model = model_of("points")
    job = Job.read(model, walk(9, 0), 8)
    engine = Engine(model)
    engine.submit(job)
    with pytest.raises(ValueError, match="served once"):
        engine.submit(job)
    with pytest.raises(ValueError, match="another model"):
        Engine(model_of("points")).submit(Job.read(model, walk(9, 0), 8))


def test_results_have_a_batch_axis_when_the_context_had_one():
    model = model_of("points")
    jobs = [Job.read(model, walk(9, 0, batch=2), 6, num_samples=3), Job.read(model, walk(9, 0), 6)]
    drive(Engine(model), jobs)
    assert jobs[0].result().mean.shape == (2, 6, 3)
    assert jobs[0].result().samples.shape == (2, 3, 6, 3)
    assert jobs[1].result().mean.shape == (6, 3)


def test_wrong_requests_are_refused_before_they_reach_the_engine():
    model = model_of("points")
    with pytest.raises(ValueError, match="quantile level"):
        Job.read(model, walk(9, 0), 4, quantiles=(0.5, 1.0))
    with pytest.raises(ValueError, match="horizon"):
        Job.read(model, walk(9, 0), 0)
    with pytest.raises(ValueError, match="not finite"):
        Job.read(model, np.full((3, 3), np.nan), 4)
    for seed in (2**64, -(2**63) - 1, 1.5):
        with pytest.raises(ValueError, match="seed"):
            Job.read(model, walk(9, 0), 4, seed=seed)
    for name in ("horizon", "num_samples"):
        with pytest.raises(ValueError, match=name):
            Job.read(model, walk(9, 0), **({"horizon": 4} | {name: 2.5}))
    with pytest.raises(ValueError, match="most_rows"):
        Engine(model, most_rows=0)
    job = Job.read(model, walk(9, 0), 8)
    with pytest.raises(RuntimeError, match="not known yet"):
        job.result()


def test_a_device_that_can_do_nothing_more_ends_the_engine(monkeypatch):
    model = model_of("fresh")
    engine = Engine(model)
    engine.submit(Job.read(model, walk(9, 0), 3))

    def broken(*_):
        raise torch.AcceleratorError("device-side assert")

    monkeypatch.setattr(engine.reader, "read", broken)
    with pytest.raises(torch.AcceleratorError):
        engine.step()
