"""A small study, really trained: its reports hold the numbers of its runs, recomputed here from the files."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
import scipy.stats
import yaml
from browser import assert_no_console_error, open_in_browser

from examples.trajectory_3d import evaluation_run
from examples.trajectory_3d.model_discovery import find_models
from examples.trajectory_3d.study.board import Board
from examples.trajectory_3d.study.costs import read_costs
from examples.trajectory_3d.study.figures import pareto_front
from examples.trajectory_3d.study.folder import Outcome, StudyFolder
from examples.trajectory_3d.study.intervals import mean_over_seeds, ratio_over_seeds
from examples.trajectory_3d.study.plan import make_plan
from examples.trajectory_3d.study.trial_run import run_job
from examples.trajectory_3d.study.words import number
from examples.trajectory_3d.study.write import write_reports
from examples.trajectory_3d.training_pictures import PictureWriter
from m.checkpoint import CheckpointError
from m.config import ConfigError

TINY = (
    "model.dim=16",
    "model.n_layers=1",
    "model.window=4",
    "model.stride=4",
    "model.attention.n_heads=2",
    "model.experts.hidden_dim=16",
    "training.batch_size=4",
    "training.log_interval=3",
    "dataset.windows_per_block=64",
    "dataset.type_weights={orbital: 0.5, lorenz: 0.5}",
    "evaluation.validation_windows=20",
    "evaluation.test_windows=30",
)
BASELINES = ("last value", "constant velocity")
KINDS = ("orbital", "lorenz", "mixed")


def tiny_plan(**changes):
    arguments = {"seeds": (0, 1), "dense": True, "max_steps": 12, "baselines": BASELINES, **changes}
    return make_plan(["quick_test_3d"], overrides=TINY, **arguments)


@pytest.fixture(scope="module")
def no_pictures():
    """Pictures of runs take most of a small study's time, and are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for hook in ("on_evaluation", "on_end"):
            patch.setattr(PictureWriter, hook, lambda self, _: None)
        patch.setattr(evaluation_run.Writing, "pictures", lambda self: None)
        patch.setattr(evaluation_run, "draw_median_forecasts", lambda *_, **__: None)
        yield


def run_all(folder: StudyFolder, plan, judge=None) -> Board:
    """Carry a plan out in this process."""
    folder.begin(plan, 1)
    board = Board(folder, plan, lambda _: None)
    for name in board.open_jobs():

        def asked(step, value, name=name):
            return board.judge(name, step, value)

        board.conclude(run_job(folder, name, device="cpu", threads=1, judge=judge or asked))
    return board


@pytest.fixture(scope="module")
def study(no_pictures, tmp_path_factory):
    """A finished study: a mixture and its dense partner, two seeds each."""
    del no_pictures
    folder = StudyFolder(tmp_path_factory.mktemp("outputs") / "comparison_study")
    run_all(folder, tiny_plan())
    write_reports(folder)
    return folder


@pytest.fixture(scope="module")
def content(study):
    return json.loads((study.path / "comparison_report.json").read_text())


def scores_of(study, run: str, kind: str) -> dict:
    """Straight from the run's own file."""
    metrics = json.loads((study.path / "runs" / run / "evaluation/metrics.json").read_text())
    model = metrics["forecasters"][0]
    assert model["name"].endswith(run)
    return model["groups"][kind]


def arm_named(content, name: str) -> dict:
    (found,) = [arm for arm in content["groups"][0]["arms"] if arm["name"] == name]
    return found


@pytest.mark.parametrize("arm", ["quick_test_3d", "quick_test_3d-dense"])
@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_means_over_seeds_with_students_interval(study, content, arm, kind):
    runs = [f"{arm}-seed{seed}" for seed in (0, 1)]
    for metric in ("position_error", "endpoint_error"):
        values = [scores_of(study, run, kind)["metrics"][metric] for run in runs]
        found = arm_named(content, arm)["scores"][kind][metric]
        assert found["values"] == values
        assert found["mean"] == pytest.approx(np.mean(values))
        low, high = scipy.stats.t.interval(0.95, 1, loc=np.mean(values), scale=scipy.stats.sem(values))
        assert (found["low"], found["high"]) == pytest.approx((low, high))
        assert found["source"] == "seeds"


@pytest.mark.parametrize("kind", KINDS)
def test_the_ratio_is_that_of_pairs_with_the_same_seed(study, content, kind):
    (ratio,) = content["groups"][0]["ratios"]
    pairs = [
        [
            scores_of(study, f"quick_test_3d{d}-seed{seed}", kind)["metrics"]["position_error"]
            for d in ("", "-dense")
        ]
        for seed in (0, 1)
    ]
    each = [ours / theirs for ours, theirs in pairs]
    found = ratio["position_error"][kind]
    assert found["values"] == pytest.approx(each)
    assert found["mean"] == pytest.approx(math.sqrt(each[0] * each[1]))
    logs = np.log(each)
    ends = np.exp(scipy.stats.t.interval(0.95, 1, loc=logs.mean(), scale=scipy.stats.sem(logs)))
    assert (found["low"], found["high"]) == pytest.approx(tuple(ends))
    assert ratio["active_ratio"] == pytest.approx(1.0, abs=0.05)


def test_baselines_are_judged_once_on_the_same_windows(study, content):
    (group,) = content["groups"]
    (folder,) = (study.path / "baselines").iterdir()
    metrics = json.loads((folder / "metrics.json").read_text())
    assert [baseline["name"] for baseline in group["baselines"]] == list(BASELINES)
    for baseline, own in zip(group["baselines"], metrics["forecasters"], strict=True):
        for kind in KINDS:
            error = own["groups"][kind]["metrics"]["position_error"]
            assert baseline["scores"][kind]["position_error"] == error
    # The run's own evaluation has two of the default baselines too: the same windows give the same error.
    run = json.loads((study.path / "runs/quick_test_3d-seed1/evaluation/metrics.json").read_text())
    theirs = {
        each["name"]: each["groups"]["mixed"]["metrics"]["position_error"] for each in run["forecasters"]
    }
    for baseline in group["baselines"]:
        assert theirs[baseline["name"]] == baseline["scores"]["mixed"]["position_error"]


def test_costs_are_those_of_the_runs(study, content):
    arm = arm_named(content, "quick_test_3d")
    summaries = [
        yaml.safe_load((study.path / f"runs/quick_test_3d-seed{seed}/training_summary.yaml").read_text())
        for seed in (0, 1)
    ]
    costs = arm["costs"]
    assert costs["total_parameters"] == summaries[0]["model"]["total_parameters"]
    assert costs["active_parameters"] == summaries[0]["model"]["active_parameters"]
    assert costs["forward_megaflops"] == pytest.approx(
        summaries[0]["model"]["forward_megaflops_per_window"], abs=0.01
    )
    assert costs["training_windows"] == 12 * 4
    assert costs["training_teraflops"] == pytest.approx(3 * costs["forward_megaflops"] * 48 / 1e6)
    for name, key in (("training_seconds", "elapsed_seconds"), ("windows_per_second", "windows_per_second")):
        assert costs[name] == pytest.approx(np.mean([summary[key] for summary in summaries]))
    outcomes = [study.outcome(f"quick_test_3d-seed{seed}") for seed in (0, 1)]
    assert costs["milliseconds_per_forecast"] == pytest.approx(
        np.mean([outcome.milliseconds_per_forecast for outcome in outcomes])
    )
    (session,) = read_costs(study.run("quick_test_3d-seed0"))
    assert session["core_seconds"] > 0
    assert 50 < session["peak_memory_mb"] < 20_000


def test_every_run_says_where_it_comes_from(study, content):
    assert len(content["runs"]) == 4
    text = (study.path / "comparison_report.txt").read_text()
    for run in content["runs"]:
        summary = yaml.safe_load((study.path / "runs" / run["name"] / "training_summary.yaml").read_text())
        for key in ("config_hash", "seed", "git_commit", "machine", "versions"):
            assert run[key] == summary[key]
        row = next(line for line in text.splitlines() if line.startswith(run["name"] + " "))
        assert run["config_hash"] in row
        assert f" {run['seed']} " in row
        assert str(run["git_commit"] or "n/a") in row
        steps = [
            line["step"]
            for line in (json.loads(t) for t in log_of(study, run))
            if line["event"] == "evaluation"
        ]
        assert [point[0] for point in run["curve"]] == steps == [3, 6, 9, 12]
        assert [point[1] for point in run["curve"]] == [12, 24, 36, 48]
    assert f"torch {content['runs'][0]['versions']['torch']}" in text


def log_of(study, run) -> list[str]:
    return (study.path / "runs" / run["name"] / "training_log.jsonl").read_text().splitlines()


def test_the_text_fits_its_width_and_quotes_the_numbers(study, content):
    text = (study.path / "comparison_report.txt").read_text()
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 110
    for arm in content["groups"][0]["arms"]:
        for kind in KINDS:
            assert number(arm["scores"][kind]["position_error"]["mean"]) in text
    assert "Trainings were shortened to at most 12 steps" in text
    assert "Student's t" in text
    assert "bootstrap" not in text  # no arm has one seed


def test_the_page_shows_it_all_without_an_error(study, content):
    html, log = open_in_browser((study.path / "comparison_report.html").as_uri())
    assert_no_console_error(log)
    assert len(re.findall(r'class="main-svg"', html)) >= 4
    for run in content["runs"]:
        assert f"runs/{run['name']}" in html
        assert run["config_hash"] in html
    for arm in content["groups"][0]["arms"]:
        assert html.count(arm["label"]) >= 3
    source = (study.path / "comparison_report.html").read_text()
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="(?!data:)', source)


@pytest.mark.parametrize("name", ["pareto.png", "learning_curves.png", "errors_by_type.png"])
def test_pictures_are_drawn(study, name):
    pixels = matplotlib.image.imread(study.path / name)
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.02


def test_experts_are_left_for_the_runs_that_deserve_it(study):
    metrics = json.loads((study.run("quick_test_3d-seed0") / "evaluation/metrics.json").read_text())
    assert metrics["experts"] is None
    assert metrics["missing"] == {}


def test_runs_of_a_study_are_found_as_models(study):
    found = {model.name for model in find_models(study.path)}
    assert found == {run.name for run in (study.path / "runs").iterdir()}


def test_a_second_call_with_the_same_plan_finds_everything_done(study):
    assert study.begin(tiny_plan(), 1) is True
    assert Board(study, tiny_plan(), print).open_jobs() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": (0, 2)}, "without quick_test_3d-seed1.*with quick_test_3d-seed2"),
        ({"max_steps": 13}, "max_steps 12 -> 13"),
        ({"early_stop": 3}, "early_stop None -> 3"),
        ({"baselines": ("last value",)}, "baselines"),
        ({"grid": ["training.learning_rate=1e-3"]}, "with quick_test_3d-learning_rate1e-3"),
    ],
)
def test_another_plan_in_the_same_folder_is_refused_with_the_difference(study, changes, message):
    before = study.study.read_bytes()
    with pytest.raises(ConfigError, match=message) as refused:
        study.begin(tiny_plan(**changes), 1)
    assert "--name" in str(refused.value)
    assert study.study.read_bytes() == before


def test_a_changed_setting_is_named(study):
    plan = tiny_plan()
    first = plan.trials[0]
    changed = replace(
        first, experiment=replace(first.experiment, training=replace(first.experiment.training, beta1=0.8))
    )
    with pytest.raises(ConfigError, match="quick_test_3d-seed0: training.beta1 0.9 -> 0.8"):
        study.begin(replace(plan, trials=(changed, *plan.trials[1:])), 1)


def test_a_plan_by_which_nothing_was_done_gives_way_to_another(tmp_path):
    folder = StudyFolder(tmp_path)
    assert folder.begin(tiny_plan(), 1) is False
    assert folder.begin(tiny_plan(max_steps=13), 1) is False
    assert folder.read()["plan"]["max_steps"] == 13
    folder.record(Outcome(name="quick_test_3d-seed0", status="failed"))
    with pytest.raises(ConfigError, match="max_steps 13 -> 12"):
        folder.begin(tiny_plan(), 1)


def test_a_folder_with_something_else_is_no_study(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="it is no study"):
        StudyFolder(tmp_path).begin(tiny_plan(), 1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_two_processes_do_not_work_on_one_study(tmp_path):
    folder = StudyFolder(tmp_path / "study")
    with folder.alone(), pytest.raises(ConfigError, match="another process"), folder.alone():
        pass
    with folder.alone():
        pass


def test_damaged_files_are_named(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.study.write_text('{"format": "trajectory_3d.study"')
    with pytest.raises(ConfigError, match=r"study\.json cannot be read"):
        folder.begin(tiny_plan(), 1)
    (tmp_path / "outcomes").mkdir()
    (tmp_path / "outcomes/a.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"a\.json cannot be read.*delete it"):
        folder.outcome("a")


def test_a_failed_trial_keeps_its_reason_and_a_single_seed_its_own_interval(no_pictures, tmp_path):
    del no_pictures
    folder = StudyFolder(tmp_path)
    plan = tiny_plan(dense=False, baselines=())
    folder.begin(plan, 1)
    board = Board(folder, plan, lambda _: None)
    board.conclude(run_job(folder, "quick_test_3d-seed0", device="cpu", threads=1, judge=lambda *_: True))
    board.fail("quick_test_3d-seed1", "its worker was killed by SIGKILL", 2)
    report = write_reports(folder)
    assert report.content["counts"] == {"finished": 1, "failed": 1}
    (arm,) = report.content["groups"][0]["arms"]
    own = scores_of(folder, "quick_test_3d-seed0", "orbital")
    found = arm["scores"]["orbital"]["position_error"]
    assert found["values"] == [own["metrics"]["position_error"]]
    assert [found["low"], found["high"]] == own["position_error_interval"]
    assert found["source"] == "windows"
    text = report.paths[0].read_text()
    assert "bootstrap over the test windows" in text
    assert "killed by SIGKILL" in text
    assert "1 of 2" in text


def test_reports_of_a_study_that_has_only_begun(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.begin(tiny_plan(), 1)
    report = write_reports(folder)
    assert report.content["counts"] == {"unfinished": 4}
    assert "No trial has finished yet" in report.paths[0].read_text()


def test_a_trial_that_was_killed_before_its_first_state_begins_anew(no_pictures, tmp_path):
    del no_pictures
    folder = StudyFolder(tmp_path)
    plan = tiny_plan(seeds=(0,), dense=False, baselines=())
    folder.begin(plan, 1)
    run = folder.run("quick_test_3d-seed0")
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("name: half")
    outcome = run_job(folder, "quick_test_3d-seed0", device="cpu", threads=1, judge=lambda *_: True)
    assert outcome.status == "finished"

    # A state that is damaged says what to do, in place of training from something else.
    (run / "training_state.pt").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="remove .*quick_test_3d-seed0, and the trial begins anew"):
        run_job(folder, "quick_test_3d-seed0", device="cpu", threads=1, judge=lambda *_: True)


def test_a_trial_stopped_early_keeps_its_checkpoints_and_is_marked(no_pictures, tmp_path):
    del no_pictures
    folder = StudyFolder(tmp_path)
    plan = tiny_plan(seeds=(0,), dense=False, baselines=())
    run_all(folder, plan, judge=lambda step, _: step < 6)
    outcome = folder.outcome("quick_test_3d-seed0")
    assert (outcome.status, outcome.step) == ("stopped early", 6)
    run = folder.run("quick_test_3d-seed0")
    assert (run / "best_model.pt").is_file()
    assert (run / "training_state.pt").is_file()
    report = write_reports(folder)
    assert report.content["counts"] == {"stopped early": 1}
    text = " ".join(report.paths[0].read_text().split())
    assert "stopped it at step 6 of 12" in text
    assert (
        f"(validation at step 6: position_error {number(report.content['runs'][0]['curve'][-1][2])})" in text
    )


def test_intervals_by_hand():
    estimate = mean_over_seeds([1.0, 2.0, 3.0])
    half = 4.302653 * 1.0 / math.sqrt(3)  # t(0.975, 2) = 4.302653
    assert (estimate.mean, estimate.low, estimate.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))
    ratio = ratio_over_seeds([2.0, 8.0], [1.0, 1.0])
    assert ratio.mean == pytest.approx(4.0)
    assert ratio.low * ratio.high == pytest.approx(16.0)  # symmetric on a logarithmic scale
    assert mean_over_seeds([]) is None
    assert mean_over_seeds([5.0]).low is None


def test_the_front_leaves_out_whoever_is_beaten_in_both():
    def arm(name, flops, error):
        return {
            "name": name,
            "costs": {"forward_megaflops": flops},
            "scores": {"mixed": {"position_error": {"mean": error}}},
        }

    arms = [arm("dear", 9, 0.5), arm("good", 3, 0.4), arm("cheap", 1, 0.9), arm("beaten", 2, 0.95)]
    assert [each["name"] for each in pareto_front(arms)] == ["cheap", "good"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (0.04567, "0.0457"), (1.0, "1.00"), (12.345, "12.3"), (876.5, "876"), (0.0, "0"),
     (0.000012, "1.20e-05"), (-0.5, "-0.500"), (99.96, "100"), (25000.0, "25000")],
)  # fmt: skip
def test_numbers_keep_three_digits_that_count(value, text):
    assert number(value) == text


def test_an_outcome_survives_the_way_to_disk(tmp_path):
    outcome = Outcome(name="a", status="failed", reason="because", step=3, restarts=2)
    StudyFolder(tmp_path).record(outcome)
    assert StudyFolder(tmp_path).outcome("a") == outcome
    assert StudyFolder(tmp_path).outcome("b") is None
