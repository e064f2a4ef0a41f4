"""Contexts read before: a hit gives what a miss gives, and only what is the same is found."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import CAUSAL_ROUTERS, MODELS, small_model

from m.generation import Engine, Job
from m.generation.prefix import Grid, PrefixCache, chain_of

PLENTY = 10**8


def walk(length, seed, batch=None):
    rng = np.random.default_rng(seed)
    shape = (length, 3) if batch is None else (batch, length, 3)
    return rng.standard_normal(shape).cumsum(axis=-2) + 1e3 * rng.standard_normal(3)


def ask(engine, context, horizon, **options):
    job = Job.read(engine.model, context, horizon, **options)
    engine.submit(job)
    for _ in range(200):
        if job in engine.step():
            return job.result()
    raise AssertionError("the job did not end")


def assert_like(result, model, context, horizon, **options):
    levels = options.pop("quantiles", ())
    alone = model.forecast(context, horizon, **options)
    close = {"rtol": 0, "atol": 1e-5 * (np.ptp(alone.mean) + 1)}
    np.testing.assert_allclose(result.mean, alone.mean, **close)
    np.testing.assert_allclose(result.points, alone.points, **close)
    if alone.samples is not None:
        np.testing.assert_allclose(result.samples, alone.samples, **close)
    for level in levels:
        np.testing.assert_allclose(result.quantiles[level], alone.quantile(level), **close)
    for ours, theirs in zip(result.routing.layers, alone.routing.layers, strict=True):
        assert torch.equal(ours.valid, theirs.valid)
        assert torch.equal(ours.experts[ours.valid], theirs.experts[theirs.valid])
        torch.testing.assert_close(
            ours.weights[ours.valid], theirs.weights[theirs.valid], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("router", CAUSAL_ROUTERS)
@pytest.mark.parametrize("kind", MODELS)
def test_a_hit_gives_what_a_miss_gives(kind, router):
    model = small_model(router, **MODELS[kind])
    engine = Engine(model, prefixes=PrefixCache(PLENTY))
    context = walk(60, 1)
    for horizon in (3, 11):  # without rolling on, and with: two grids of tokens in strided models
        missed = ask(engine, context, horizon)
        hit = ask(engine, context, horizon, num_samples=3, seed=5, quantiles=(0.2,))
        block = Grid.of(60, 1).block
        assert hit.reused_points >= 60 - 2 * block
        assert_like(missed, model, context, horizon)
        assert_like(hit, model, context, horizon, num_samples=3, seed=5, quantiles=(0.2,))


def test_a_whole_context_that_ends_with_a_block_is_found_but_for_its_last_point():
    model = small_model()
    engine = Engine(model, prefixes=PrefixCache(PLENTY))
    context = walk(32, 0)
    assert ask(engine, context, 9).reused_points == 0
    again = ask(engine, context, 9)
    assert again.reused_points == 31
    assert_like(again, model, context, 9)
    assert engine.counts.points_reused == 31
    assert engine.counts.hit_rate == pytest.approx(31 / 64)


def test_contexts_of_one_anchor_share_their_beginning():
    model = small_model()
    engine = Engine(model, prefixes=PrefixCache(PLENTY))
    context = walk(70, 3)
    ask(engine, context[:48], 9, anchor_points=40)
    longer = ask(engine, context, 9, anchor_points=40)
    assert longer.reused_points == 48
    assert_like(longer, model, context, 9, anchor_points=40)
    changed = context.copy()
    changed[20] += 1e-3  # in the second block
    other = ask(engine, changed, 9, anchor_points=8)
    assert other.reused_points == 0  # by another anchor all points look different
    kept = ask(engine, changed, 9, anchor_points=40)
    assert kept.reused_points in (0, 16)
    assert_like(kept, model, changed, 9, anchor_points=40)


def test_another_path_or_another_model_finds_nothing():
    model, other = small_model(), small_model(seed=1)
    prefixes = PrefixCache(PLENTY)
    engine = Engine(model, prefixes=prefixes)
    context = walk(40, 0)
    ask(engine, context, 6)
    assert ask(engine, walk(40, 1), 6).reused_points == 0
    shared = Engine(other, prefixes=prefixes)  # the same blocks, but salted with other weights
    result = ask(shared, context, 6)
    assert result.reused_points == 0
    assert_like(result, other, context, 6)


def test_hits_and_misses_share_a_batch():
    model = small_model(**MODELS["turned"])
    engine = Engine(model, prefixes=PrefixCache(PLENTY))
    known = walk(50, 0, batch=2)
    ask(engine, known, 9)
    mixed = np.concatenate([known, walk(50, 9, batch=2)])
    jobs = [Job.read(model, mixed, 9), Job.read(model, walk(50, 4), 9), Job.read(model, known[1], 9)]
    for job in jobs:
        engine.submit(job)
    ended = []
    while len(ended) < 3:
        ended += engine.step()
    assert jobs[0].result().reused_points > 0
    assert jobs[1].result().reused_points == 0
    for job, context in zip(jobs, (mixed, walk(50, 4), known[1]), strict=True):
        assert_like(job.result(), model, context, 9)


def test_memory_is_bounded_and_the_oldest_go_first():
    model = small_model()
    measure = PrefixCache(PLENTY)
    engine = Engine(model, prefixes=measure)
    ask(engine, walk(32, 0), 6)
    block = measure.bytes // 2
    prefixes = PrefixCache(5 * block)  # room for two contexts of two blocks
    engine = Engine(model, prefixes=prefixes)
    paths = [walk(32, seed) for seed in range(3)]
    ask(engine, paths[0], 6)
    ask(engine, paths[1], 6)
    ask(engine, paths[0], 6)  # used again: now the second is the oldest
    ask(engine, paths[2], 6)
    assert prefixes.bytes <= 5 * block
    assert len(prefixes) == 5  # a later block goes before the one it continues
    assert ask(engine, paths[0], 6).reused_points == 31
    assert ask(engine, paths[1], 6).reused_points == 16
    tiny = Engine(model, prefixes=PrefixCache(1))
    assert_like(ask(tiny, paths[0], 6), model, paths[0], 6)
    assert tiny.reader.prefixes.bytes == 0


@given(length=st.integers(1, 60), every=st.sampled_from([1, 3, 4, 8, 16, 64]), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_chain_changes_from_the_first_changed_block_on(length, every, data):
    grid = Grid.of(length, every)
    points = torch.arange(length * 3, dtype=torch.float32).view(length, 3)
    chain = chain_of(b"salt", points, grid)
    assert len(chain) == length // grid.block
    assert grid.block % every == 0
    assert chain_of(b"other", points, grid) != chain or not chain
    where = data.draw(st.integers(0, length - 1))
    changed = points.clone()
    changed[where, 1] = torch.nextafter(changed[where, 1], torch.tensor(1e9))  # by one bit
    other = chain_of(b"salt", changed, grid)
    same = [a == b for a, b in zip(chain, other, strict=True)]
    assert same == [n < where // grid.block for n in range(len(chain))]


@given(length=st.integers(1, 200), every=st.integers(1, 70))
def test_a_grid_ends_with_the_last_point(length, every):
    grid = Grid.of(length, every)
    positions = grid.positions(0, length).tolist()
    assert positions == sorted(range(length - 1, -1, -every))
    middle = length // 2
    assert grid.positions(0, middle).tolist() + grid.positions(middle, length).tolist() == positions


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="most_bytes"):
        PrefixCache(0)
