"""The race: schedules by the clock, branches that leave the trunk alone, and going on after a stop."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.forecast_skill.contestants import NAMES, TrainedForecaster, make_contestant
from benchmarks.forecast_skill.learner import Learner, second_learner
from benchmarks.forecast_skill.race import RacePlan, grow_branch, run_race
from benchmarks.forecast_skill.records import RESULTS, ResultStore
from benchmarks.forecast_skill.report import write_report
from benchmarks.forecast_skill.schedule import branch_factor, branch_point, trunk_factor
from benchmarks.forecast_skill.scores import judge
from benchmarks.forecast_skill.trial import run_trial
from examples.trajectory_3d.config import EvaluationConfig, ExperimentConfig
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.windows import evaluation_windows
from m.attention.config import AttentionConfig
from m.experts.config import ExpertsConfig
from m.heads.config import HeadConfig
from m.moe.config import ModelConfig
from m.routing.config import RouterConfig
from m.training import TrainingConfig
from m.training.random_state import preserved_random

CPU = torch.device("cpu")
SECONDS_PER_STEP = 0.5
EXPERIMENT = ExperimentConfig(
    name="tiny",
    model=ModelConfig(
        dim=16,
        n_layers=1,
        window=4,
        attention=AttentionConfig(n_heads=2),
        router=RouterConfig(kind="topk", n_experts=2, top_k=1),
        experts=ExpertsConfig(hidden_dim=16),
        head=HeadConfig(prediction_steps=4),
    ),
    # Averaged weights are part of the state that a branch must not touch.
    training=TrainingConfig(batch_size=4, ema_decay=0.9, precision="fp32", seed=5),
    dataset=DatasetConfig(
        sequence_length=20,
        prediction_length=4,
        sampling_rate=50.0,
        windows_per_block=64,
        type_weights={"helical": 0.5, "lissajous": 0.5},
    ),
    evaluation=EvaluationConfig(test_windows=30),
)
PLAN = RacePlan(minutes=(0.1, 0.2), decay_share=0.5, warmup_seconds=1.0, snapshot_seconds=1.5)
SETUP = {
    "decay_share": 0.5,
    "threads": 1,
    "device": "cpu",
    "processor": "x",
    "torch": "y",
    "test_windows": 30,
}


class StepClock:
    """Half a second for every step: a learner reads the clock at its beginning and at its end."""

    def __init__(self, stop_after=None):
        self.now, self.readings, self.stop_after = 0.0, 0, stop_after

    def __call__(self):
        self.readings += 1
        if self.stop_after is not None and self.readings > self.stop_after:
            raise KeyboardInterrupt
        self.now += SECONDS_PER_STEP
        return self.now


def learner(name="moe"):
    return Learner(make_contestant(name, EXPERIMENT), CPU, StepClock())


@cache
def windows_to_judge():
    return evaluation_windows(EXPERIMENT.dataset, "test", EXPERIMENT.evaluation.test_windows)


def race(folder, *, plan=PLAN, name="moe", clock=None, experiment=EXPERIMENT, announce=lambda text: None):
    run_race(
        make_contestant(name, experiment),
        plan,
        ResultStore(folder, SETUP),
        windows_to_judge(),
        device=CPU,
        clock=clock or StepClock(),
        announce=announce,
    )


def assert_same(a, b, where="state"):
    """Equal content, tensors to the bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{index}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def comparable(state):
    """Without the processor's time, the one thing in a state that is measured for real."""
    return {**state, "metadata": {k: v for k, v in state["metadata"].items() if k != "cpu_seconds"}}


def stored_results(folder):
    records = json.loads((folder / RESULTS).read_text())["results"]
    return [{k: v for k, v in record.items() if k != "cpu_seconds"} for record in records]


def test_rates_follow_the_clock():
    assert [trunk_factor(t, 10.0) for t in (0.0, 5.0, 10.0, 99.0)] == [0.0, 0.5, 1.0, 1.0]
    assert trunk_factor(0.0, 0.0) == 1.0
    assert branch_point(100.0, 0.3) == pytest.approx(70.0)
    times = np.array([70.0, 85.0, 100.0, 101.0])
    factors = [branch_factor(t, 70.0, 100.0) for t in times]
    np.testing.assert_allclose(factors, np.interp(times, [70.0, 100.0], [1.0, 0.0]))
    with pytest.raises(ValueError, match="earlier"):
        branch_factor(0.0, 100.0, 100.0)


def test_steps_get_the_rate_of_the_time_before_them(monkeypatch):
    rates = []
    monkeypatch.setattr(
        "benchmarks.forecast_skill.learner.set_learning_rate", lambda optimizer, rate: rates.append(rate)
    )
    one = learner("dlinear")
    one.train_until(2.0, one.batches(), lambda elapsed: trunk_factor(elapsed, 1.0))
    peak = one.config.learning_rate
    assert rates == [0.0, 0.5 * peak, peak, peak]
    assert (one.progress.step, one.progress.elapsed) == (4, 2.0)


@pytest.mark.parametrize("name", ["moe", "residual-mlp"])
def test_a_branch_leaves_the_trunk_untouched_to_the_bit(name):
    def train(with_branch):
        trunk = learner(name)
        batches = trunk.batches()
        trunk.train_until(2.0, batches, lambda _: 1.0)
        if with_branch:
            before = comparable(trunk.snapshot())
            with preserved_random(CPU):
                branch = grow_branch(trunk, 5.0)
            assert branch.progress.elapsed == 5.0
            assert_same(comparable(trunk.snapshot()), before)
        trunk.train_until(4.0, batches, lambda _: 1.0)
        return comparable(trunk.snapshot())

    assert_same(train(with_branch=True), train(with_branch=False))


def test_a_branch_goes_on_from_the_trunk_and_its_data_with_falling_rates():
    trunk = learner()
    trunk.train_until(2.0, trunk.batches(), lambda _: 1.0)
    with preserved_random(CPU):
        branch = grow_branch(trunk, 4.0)
    by_hand = learner()
    batches = by_hand.batches()
    for factor in (1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25):
        by_hand.step(batches, factor)
    assert_same(comparable(branch.snapshot()), comparable(by_hand.snapshot()))
    assert branch.windows_seen == 8 * 4


def test_a_snapshot_does_not_change_with_the_learner_that_took_it_over():
    trunk = learner()
    trunk.train_until(1.0, trunk.batches(), lambda _: 1.0)
    state, kept = trunk.snapshot(), trunk.snapshot()
    other = second_learner(trunk, state)
    other.train_until(3.0, other.batches(), lambda _: 1.0)
    assert_same(state, kept)


def test_warming_up_is_undone():
    one = learner()
    before = one.snapshot()
    one.warm_up()
    assert_same(one.snapshot(), before)
    assert one.progress.elapsed == 0.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Results of a race that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    race(folder)
    return stored_results(folder)


# Readings of the clock, two a step: on the first trunk, on a branch, on the trunk after it.
@pytest.mark.parametrize("stop_after", [12, 30, 40])
def test_a_killed_race_ends_as_one_that_never_stopped(tmp_path, whole, stop_after):
    with pytest.raises(KeyboardInterrupt):
        race(tmp_path, clock=StepClock(stop_after))
    race(tmp_path)
    assert stored_results(tmp_path) == whole


def test_finished_budgets_are_skipped_and_further_ones_continue_the_trunk(tmp_path, whole):
    race(tmp_path, plan=replace(PLAN, minutes=(0.1,)))
    race(tmp_path, plan=replace(PLAN, minutes=(0.1, 0.2)))
    assert stored_results(tmp_path) == whole
    said = []
    race(tmp_path, clock=StepClock(stop_after=0), announce=said.append)
    assert said == ["moe: all budgets are finished"]
    with pytest.raises(ValueError, match="another folder"):
        race(tmp_path, plan=replace(PLAN, minutes=(0.15,)))


def test_budgets_end_on_time_and_count_what_was_seen(whole):
    first, second = whole
    assert (first["minutes"], first["seconds"], first["steps"]) == (0.1, 6.0, 12)
    assert (second["minutes"], second["seconds"], second["windows"]) == (0.2, 12.0, 24 * 4)


def test_another_set_up_is_refused(tmp_path):
    race(tmp_path)
    changed = replace(EXPERIMENT, training=replace(EXPERIMENT.training, learning_rate=0.5))
    with pytest.raises(ValueError, match="another set-up of 'moe'"):
        race(tmp_path, experiment=changed)
    with pytest.raises(ValueError, match="threads: 1 -> 2"):
        ResultStore(tmp_path, {**SETUP, "threads": 2})
    (tmp_path / RESULTS).unlink()
    with pytest.raises(ValueError, match=r"trunk\.pt is of another set-up"):
        race(tmp_path, experiment=changed)


def test_plans_that_cannot_be_run_are_refused():
    with pytest.raises(ValueError, match="warmup_seconds 5"):
        RacePlan(minutes=(0.1,), decay_share=0.5, warmup_seconds=5.0)
    with pytest.raises(ValueError, match="minutes"):
        RacePlan(minutes=(1.0, 1.0))
    with pytest.raises(ValueError, match="decay_share"):
        RacePlan(minutes=(1.0,), decay_share=1.0)
    with pytest.raises(ValueError, match="unknown model 'residual-mpl'.*residual-mlp"):
        make_contestant("residual-mpl", EXPERIMENT)


def test_all_models_train_on_the_same_windows():
    streams = {name: make_contestant(name, EXPERIMENT) for name in NAMES if name != "plain-transformer"}
    rows = {}
    for name, contestant in streams.items():
        batch = next(contestant.batches(0))
        assert batch.num_sequences == contestant.training.batch_size
        rows[name] = (batch.inputs[:4], batch.path[:4])
    for name in streams:
        assert_same(rows[name], rows["moe"])


def test_a_trial_teaches_a_peer():
    dataset = replace(EXPERIMENT.dataset, sequence_length=24, windows_per_block=4096)
    experiment = replace(EXPERIMENT, dataset=dataset)
    peer = make_contestant("residual-mlp", experiment)
    windows = evaluation_windows(dataset, "validation", 30)
    untrained = judge(TrainedForecaster(peer, peer.build().eval()), windows)
    trained = run_trial("residual-mlp", ["width=64", "hidden=64"], 60, experiment, CPU)
    assert trained.gn < 0.7 * untrained.gn
    assert set(trained.gn_by_type) == set(dataset.type_names)


def test_the_report_shows_every_budget(tmp_path):
    with pytest.raises(ValueError, match="holds no"):
        write_report(tmp_path)
    race(tmp_path, name="dlinear")
    console = Console(record=True, width=200)
    write_report(tmp_path, console)
    markdown = (tmp_path / "report.md").read_text()
    for record in stored_results(tmp_path):
        assert f"{record['scores']['gn']:.4f}" in markdown
        assert f"{record['scores']['gn']:.4f}" in console.export_text(clear=False)
    assert (tmp_path / "skill.png").read_bytes().startswith(b"\x89PNG")
