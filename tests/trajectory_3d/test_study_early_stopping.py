"""Successive halving decides as its rule says, and the same again when a study goes on."""

from __future__ import annotations

import json

import pytest

from examples.trajectory_3d.study.plan import make_plan
from examples.trajectory_3d.study.referee import Referee
from m.config import ConfigError

pytest.importorskip("optuna")
SETTINGS = ("training.eval_interval=10", "training.max_steps=80")
# Validation errors of six trials at steps 10, 20, 40 (rungs of factor 2) and between.
COURSES = {
    seed: [1.0 + 0.1 * ((seed * 5) % 6) - 0.001 * step for step in range(10, 90, 10)] for seed in range(6)
}


def plan(**changes):
    return make_plan(["quick_test_3d"], overrides=SETTINGS, seeds=range(6), early_stop=2, **changes)


def play(referee: Referee, skip: int = 0) -> list[tuple[str, int, bool]]:
    """Report the courses one trial after the other, as one worker would; stopped trials report no more."""
    heard = []
    for seed, values in COURSES.items():
        for index, value in enumerate(values):
            name, step = f"quick_test_3d-seed{seed}", 10 * (index + 1)
            goes_on = referee.goes_on(name, step, value)
            heard.append((name, step, goes_on))
            if not goes_on:
                break
    return heard[skip:]


def rule(factor: int = 2, first: int = 10) -> list[tuple[str, int, bool]]:
    """Asynchronous successive halving, written down from the paper (best so far always goes on)."""
    rungs: dict[int, list[float]] = {}
    heard = []
    for seed, values in COURSES.items():
        rung = 0
        for index, value in enumerate(values):
            step, goes_on = 10 * (index + 1), True
            while goes_on and step >= first * factor**rung:
                seen = rungs.setdefault(rung, [])
                seen.append(value)
                goes_on = value <= sorted(seen)[max(len(seen) // factor, 1) - 1]
                rung += 1
            heard.append((f"quick_test_3d-seed{seed}", step, goes_on))
            if not goes_on:
                break
    return heard


def test_decisions_follow_the_rule(tmp_path):
    heard = play(Referee(plan(), tmp_path / "log.jsonl"))
    assert heard == rule()
    assert {goes_on for _, _, goes_on in heard} == {True, False}


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 13])
def test_a_study_that_goes_on_decides_as_one_never_killed(tmp_path, cut):
    whole = play(Referee(plan(), tmp_path / "whole.jsonl"))
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    log = tmp_path / "cut.jsonl"
    log.write_text("".join(lines[:cut]) + '{"trial": "quick_test_3d-se')  # killed while writing
    referee = Referee(plan(), log)
    assert play(referee) == whole  # what is reported again gets its old answer
    assert log.read_text() == (tmp_path / "whole.jsonl").read_text()


def test_a_decision_is_known_before_the_trial_reports_again(tmp_path):
    log = tmp_path / "log.jsonl"
    heard = play(Referee(plan(), log))
    stopped = {name: step for name, step, goes_on in heard if not goes_on}
    again = Referee(plan(), log)
    assert {f"quick_test_3d-seed{s}": again.stopped_at(f"quick_test_3d-seed{s}") for s in range(6)} == {
        f"quick_test_3d-seed{s}": stopped.get(f"quick_test_3d-seed{s}") for s in range(6)
    }


def test_trials_on_other_data_do_not_compete(tmp_path):
    two = make_plan(["quick_test_3d", "large_3d_moe"], overrides=SETTINGS, seeds=(0,), early_stop=2)
    referee = Referee(two, tmp_path / "log.jsonl")
    assert referee.goes_on("quick_test_3d-seed0", 10, 0.1)
    assert referee.goes_on("large_3d_moe-seed0", 10, 9.0)


def test_a_loss_that_is_no_number_is_stopped(tmp_path):
    referee = Referee(plan(), tmp_path / "log.jsonl")
    assert not referee.goes_on("quick_test_3d-seed0", 10, float("nan"))
    assert Referee(plan(), tmp_path / "log.jsonl").stopped_at("quick_test_3d-seed0") == 10


def test_a_log_of_another_study_is_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"trial": "other-seed0", "step": 10, "value": 1.0, "goes_on": True}) + "\n")
    with pytest.raises(ConfigError, match="no trial 'other-seed0'"):
        Referee(plan(), log)


def test_without_optuna_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"m-trajectory\[tune\]"):
        Referee(plan(), tmp_path / "log.jsonl")
