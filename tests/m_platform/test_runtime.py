"""Forecasts of exported graphs equal the model's own, whatever shares a reading."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from exported import graph_of
from reference import MODELS, small_model
from serving import assert_close, walk

from m.generation.errors import OF_ONE_REQUEST
from m.generation.session import SessionPush, SessionStore
from m.moe.config import HeadConfig
from m.moe.seen import seen_points
from m.runtime.block import Block
from m.runtime.distribution import draw, quantile
from m.runtime.engine import ExportedEngine
from m.runtime.job import ExportedJob
from m.runtime.manifest import ExportedModelError, Manifest

KINDS = [*MODELS, "one token", "dense", "gaussian"]


def model_of(kind):
    extra = {
        "one token": MODELS["turned"] | {"attention": dataclasses.replace(_attention(), reach=1)},
        "dense": {"router": "dense"},
        "gaussian": {"head": HeadConfig(prediction_steps=4, distribution="gaussian")},
    }
    settings = dict(extra.get(kind) or MODELS.get(kind, {}))
    return small_model(settings.pop("router", "topk"), **settings)


def _attention():
    return small_model().config.attention


@pytest.fixture(scope="module", params=KINDS)
def pair(request):
    model = model_of(request.param)
    return model, graph_of(model)


def drive(engine, jobs):
    for job in jobs:
        engine.submit(job)
    ended = []
    for _ in range(1000):
        if not engine.busy:
            return ended
        ended += engine.step()
    raise AssertionError("the engine never came to an end")


def answer(exported, *args, most_rows=256, sessions=None, **options):
    engine = ExportedEngine(exported, most_rows=most_rows, sessions=sessions)
    job = ExportedJob.read(exported.manifest, *args, **options)
    assert drive(engine, [job]) == [job]
    assert job.failure is None
    return job.result()


@pytest.mark.parametrize("horizon", [3, 4, 11])
@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_a_forecast_is_that_of_the_model(pair, length, horizon):
    model, exported = pair
    context = walk(length, seed=length, batch=3)
    found, expected = answer(exported, context, horizon), model.forecast(context, horizon)
    assert_close(found.mean, expected.mean)
    assert found.points is found.mean


def test_contexts_of_several_lengths_in_pieces(pair):
    model, exported = pair
    context, lengths = walk(30, seed=2, batch=5), [30, 7, 1, 22, 13]
    expected = model.forecast(context, 9, lengths=lengths).mean
    context[1, 7:] = np.nan  # padding may hold anything
    for most_rows in (1, 2, 256):
        assert_close(answer(exported, context, 9, lengths=lengths, most_rows=most_rows).mean, expected)


def test_an_anchor_of_the_first_points_alone(pair):
    model, exported = pair
    context = walk(25, seed=3)
    expected = model.forecast(context, 10, anchor_points=12).mean
    assert_close(answer(exported, context, 10, anchor_points=12).mean, expected)


def test_quantiles_within_the_head_are_exact(pair):
    model, exported = pair
    context = walk(20, seed=4, batch=2)
    found, expected = answer(exported, context, 4, quantiles=(0.05, 0.5, 0.8)), model.forecast(context, 4)
    for level, values in found.quantiles.items():
        assert_close(values, expected.quantile(level))


def test_jobs_that_share_readings_are_answered_as_if_alone(pair):
    model, exported = pair
    contexts = [walk(length, seed=length) for length in (3, 17, 17, 33)]
    horizons = [4, 12, 1, 7]
    engine = ExportedEngine(exported, most_rows=3)
    jobs = [
        ExportedJob.read(exported.manifest, context, horizon)
        for context, horizon in zip(contexts, horizons, strict=True)
    ]
    assert len(drive(engine, jobs)) == 4
    for job, context, horizon in zip(jobs, contexts, horizons, strict=True):
        assert_close(job.result().mean, model.forecast(context, horizon).mean)
    assert engine.counts.finished == 4
    seen = seen_points(model.config) or 33  # what lies before them no forecast depends on
    assert engine.counts.points_read == sum(min(len(context), seen) for context in contexts)


def test_who_served_is_told(pair):
    model, exported = pair
    context = walk(26, seed=5, batch=2)
    found, expected = answer(exported, context, 3).routing, model.forecast(context, 3).routing
    assert len(found.layers) == len(expected.layers)
    for there, here in zip(found.layers, expected.layers, strict=True):
        np.testing.assert_array_equal(there.experts[:, -1], here.experts[:, -1])
        np.testing.assert_allclose(there.weights[:, -1], here.weights[:, -1], atol=1e-5)
        if not exported.manifest.one_token:
            np.testing.assert_array_equal(there.load, here.load)


def test_a_session_is_the_whole_path(pair):
    model, exported = pair
    path, sessions = walk(30, seed=6), SessionStore()
    answer(exported, path[:12], 4, sessions=sessions, session=SessionPush("a", start=True))
    for end in (13, 20, 30):
        start = {13: 12, 20: 13, 30: 20}[end]
        found = answer(exported, path[start:end], 6, sessions=sessions, session=SessionPush("a"))
        assert_close(found.mean, model.forecast(path[:end], 6).mean)
        assert (found.session.points, found.session.context_points) == (end, end)
        assert found.session.reanchored
    answer(exported, path[:1], 2, sessions=sessions, session=SessionPush("a", end=True))
    assert "a" not in sessions


def test_pushes_of_one_session_in_one_step_keep_their_order(pair):
    model, exported = pair
    path, engine = walk(16, seed=7), ExportedEngine(pair[1])
    pushes = [(path[:10], True), (path[10:13], False), (path[13:], False)]
    jobs = [
        ExportedJob.read(exported.manifest, points, 5, session=SessionPush("s", start=start))
        for points, start in pushes
    ]
    assert drive(engine, jobs) == jobs
    assert_close(jobs[-1].result().mean, model.forecast(path, 5).mean)


@pytest.fixture(scope="module", params=["points", "strided"])
def held(request):
    """Models that hold their anchor: tokens of one point, and of eight with four fed back."""
    model = model_of(request.param)
    return model, graph_of(model)


def spy(exported, monkeypatch):
    """Points that each reading is given, per row."""
    seen, whole = [], exported._run

    def run(inputs):
        seen.append(inputs["lengths"].tolist())
        return whole(inputs)

    monkeypatch.setattr(exported, "_run", run)
    return seen


def test_what_was_read_is_not_read_again(held, monkeypatch):
    model, exported = held
    context, expected = walk(21, seed=1, batch=2), model.forecast(walk(21, seed=1, batch=2), 12).mean
    seen = spy(exported, monkeypatch)
    assert_close(answer(exported, context, 12).mean, expected)
    assert seen == [[21, 21], [4, 4], [4, 4]]
    monkeypatch.setattr("m.runtime.held.MEMORY_BUDGET", 0)  # no room: all points, the same numbers
    seen.clear()
    assert_close(answer(exported, context, 12).mean, expected)
    assert seen == [[21, 21], [25, 25], [29, 29]]


def test_paths_go_on_from_the_memory_of_their_context(held, monkeypatch):
    model, exported = held
    seen = spy(exported, monkeypatch)
    options = {"num_samples": 6, "seed": 1, "temperature": 1e-9}  # so cold that every path is the centre
    found = answer(exported, walk(15, seed=2), 8, **options)
    assert_close(found.samples, np.repeat(model.forecast(walk(15, seed=2), 8).mean[None], 6, axis=0))
    assert seen == [[15], [4] * 8]  # the centre, the forecast path and six samples


def test_a_session_that_holds_its_anchor_reads_what_is_new(held, monkeypatch):
    model, exported = held
    path, sessions = walk(40, seed=3), SessionStore(most_drift=1e9)
    seen = spy(exported, monkeypatch)
    push = SessionPush("a", start=True, hold_points=20)
    answer(exported, path[:12], 8, sessions=sessions, session=push)
    for start, end in ((12, 16), (16, 24), (24, 29)):
        seen.clear()
        found = answer(exported, path[start:end], 8, sessions=sessions, session=SessionPush("a"))
        expected = model.forecast(path[:end], 8, anchor_points=12)
        assert_close(found.mean, expected.mean)
        for there, here in zip(found.routing.layers, expected.routing.layers, strict=True):
            np.testing.assert_array_equal(there.experts, here.experts)
        helps = (end - start) % exported.manifest.config.head.prediction_steps == 0 or (
            exported.manifest.config.stride == 1
        )
        assert seen[0] == [end - start if helps else end]  # off the grid of known tokens all is read
        assert found.reused_points == (start if helps else 0)
        assert not found.session.reanchored
    found = answer(exported, path[29:35], 8, sessions=sessions, session=SessionPush("a"))
    assert found.session.reanchored  # 23 points after its anchor, 20 were allowed
    assert_close(found.mean, model.forecast(path[:35], 8).mean)


def test_a_session_that_drifts_takes_a_new_anchor(held):
    model, exported = held
    path, sessions = walk(12, seed=4), SessionStore(most_drift=6.0)
    centre, scale = path[-1].copy(), np.sqrt(path.var(axis=0).mean())
    push = SessionPush("a", start=True, hold_points=99)
    answer(exported, path, 8, sessions=sessions, session=push)
    for far, anchored in ((5.9, 12), (6.1, 14)):
        new = centre + far * scale * np.ones((1, 3))
        path = np.concatenate([path, new])
        found = answer(exported, new, 8, sessions=sessions, session=SessionPush("a"))
        assert found.session.reanchored is (anchored == 14)
        assert_close(found.mean, model.forecast(path, 8, anchor_points=anchored).mean)


def test_samples_are_repeatable_and_of_the_model_s_distribution(pair):
    model, exported = pair
    context = walk(20, seed=8)
    options = {"num_samples": 3000, "seed": 1}
    first, second = answer(exported, context, 4, **options), answer(exported, context, 4, **options)
    np.testing.assert_array_equal(first.samples, second.samples)
    assert np.abs(first.samples - answer(exported, context, 4, num_samples=3000, seed=2).samples).max() > 0
    drawn = model.forecast(context, 4, **options).samples
    # In a direction across the axes, so that the orientation of the spread counts too.
    across = np.array([0.6, -0.64, 0.48])
    for step in range(4):
        there, here = first.samples[:, step] @ across, drawn[:, step] @ across
        assert scipy.stats.ks_2samp(there, here).pvalue > 1e-4
    jumps = [np.diff(paths, axis=1) @ across for paths in (first.samples, drawn)]
    assert scipy.stats.ks_2samp(jumps[0].ravel()[::7], jumps[1].ravel()[::7]).pvalue > 1e-4


def test_what_is_drawn_rolls_on(pair):
    model, exported = pair
    context = walk(20, seed=9)
    found = answer(exported, context, 10, num_samples=400, temperature=0.5, seed=3)
    expected = model.forecast(context, 10, num_samples=400, temperature=0.5, seed=3)
    spread = expected.samples.std(0)
    difference = found.samples.mean(0) - expected.samples.mean(0)
    assert (np.abs(difference) < 6 * spread * (2 / 400) ** 0.5 + 1e-6).all()
    assert found.points.shape == (10, 3)
    assert np.abs(found.points - found.mean).max() > 0


def test_points_are_told_as_they_come(pair):
    _, exported = pair
    told = []
    result = answer(
        exported, walk(15, seed=1), 10, on_block=lambda first, points: told.append((first, points))
    )
    assert [first for first, _ in told] == [0, 4, 8]
    np.testing.assert_array_equal(np.concatenate([points for _, points in told]), result.points)


def test_wrong_requests_are_refused_in_the_model_s_words(pair):
    model, exported = pair
    for wrong in ({"context": walk(4)[:, :2]}, {"horizon": 0}, {"temperature": -1.0}, {"lengths": [99]}):
        request = {"context": walk(9), "horizon": 3} | wrong
        with pytest.raises(ValueError, match=".") as there:
            ExportedJob.read(exported.manifest, **request)
        with pytest.raises(ValueError, match=".") as here:
            model.forecast(**request)
        assert str(there.value) == str(here.value)


def test_an_error_ends_the_job_it_belongs_to():
    model = small_model()
    exported = graph_of(model)
    whole = exported._run

    def run(inputs):
        if (inputs["points"] == 7.0).any():
            raise RuntimeError("planted")
        return whole(inputs)

    exported._run = run
    engine = ExportedEngine(exported)
    good, bad = (ExportedJob.read(exported.manifest, path, 6) for path in (walk(9), np.full((9, 3), 7.0)))
    assert set(drive(engine, [good, bad])) == {good, bad}
    assert isinstance(bad.failure, OF_ONE_REQUEST)
    assert_close(good.result().mean, model.forecast(walk(9), 6).mean)
    lost = ExportedJob.read(exported.manifest, walk(9), 3, session=SessionPush("unknown"))
    assert drive(engine, [lost]) == [lost]
    assert "no session" in str(lost.failure)


def test_dropped_jobs_are_forgotten():
    exported = graph_of(small_model())
    engine = ExportedEngine(exported, most_rows=2)
    jobs = [ExportedJob.read(exported.manifest, walk(9, batch=3), 20) for _ in range(2)]
    for job in jobs:
        engine.submit(job)
    engine.step()
    engine.drop(jobs)
    assert not engine.busy
    assert engine.step() == []


@pytest.mark.parametrize("family", ["gaussian", "laplace", "student_t"])
def test_families_against_scipy(family):
    settings = small_model(head=HeadConfig(prediction_steps=2, distribution=family))
    manifest = graph_of(settings).manifest
    manifest = dataclasses.replace(
        manifest, step_correlation=0.8, degrees_of_freedom=3.5 if family == "student_t" else None
    )
    reference = {
        "gaussian": scipy.stats.norm,
        "laplace": scipy.stats.laplace,
        "student_t": scipy.stats.t(3.5),
    }[family]
    count = 20_000
    block = Block(
        location=np.zeros((count, 2, 3)),
        spread=np.ones((count, 2, 3)),
        axes=np.broadcast_to(np.eye(3), (count, 3, 3)),
        experts=np.zeros((count, 1, 0, 2), dtype=np.int64),
        weights=np.zeros((count, 1, 0, 2), dtype=np.float32),
    )
    for level in (0.01, 0.3, 0.5, 0.9):
        expected = reference.ppf(level)
        np.testing.assert_allclose(quantile(block, level, manifest)[0], expected, rtol=1e-9, atol=1e-12)
    paths = draw(block, 1.0, manifest, np.random.default_rng(0))
    for step in range(2):
        assert scipy.stats.kstest(paths[:, step, 1], reference.cdf).pvalue > 1e-3
    tau = scipy.stats.kendalltau(paths[:4000, 0, 0], paths[:4000, 1, 0]).statistic
    assert np.sin(np.pi / 2 * tau) == pytest.approx(0.8, abs=0.03)  # Greiner's relation


def test_a_manifest_survives_being_written(tmp_path):
    manifest = graph_of(model_of("turned")).manifest
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "m.exported", "version": 9}', "\x00"])
def test_a_broken_manifest_says_so(tmp_path, content):
    (tmp_path / "exported.json").write_text(content)
    with pytest.raises(ExportedModelError, match=r"exported\.json.*export"):
        Manifest.read(tmp_path)


def test_serving_an_export_imports_no_torch():
    check = (
        "import sys, m.inference_server.exported, m.inference_server.app, m.inference_server.runner;"
        "heavy = [name for name in ('torch', 'scipy', 'matplotlib', 'pandas') if name in sys.modules];"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False, timeout=60).returncode == 0
