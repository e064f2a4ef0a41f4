"""Whole studies as a user runs them: killed at random moments, on Ray, with failing trials."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from examples.trajectory_3d.study.devices import worker_environment
from m.checkpoint import load_checkpoint

COMMAND = "import sys; from examples.trajectory_3d.cli.compare import main; sys.exit(main())"
TINY = [
    "model.dim=16",
    "model.n_layers=1",
    "model.window=4",
    "model.stride=4",
    "model.attention.n_heads=2",
    "model.experts.hidden_dim=16",
    "training.batch_size=4",
    "training.max_steps=400",
    "training.eval_interval=400",
    "training.checkpoint_interval=20",
    "dataset.windows_per_block=64",
    "dataset.type_weights={orbital: 0.5, lorenz: 0.5}",
    "evaluation.validation_windows=20",
    "evaluation.test_windows=30",
]
TRIALS = ("quick_test_3d-seed0", "quick_test_3d-seed1")
PATIENCE = 400

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def start(root: Path, *more: str, seeds: int = 2) -> subprocess.Popen[str]:
    arguments = ["quick_test_3d", "--seeds", str(seeds), "--baselines", "none", "--output-root", str(root)]
    arguments += ["--parallel", "2", "--threads", "1", *TINY, *more]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "compare", *arguments],
        env=worker_environment(1, None),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return output


def results(root: Path) -> dict[str, object]:
    """Everything that a study's numbers are made of, without times and places."""
    study = root / "comparison_study"
    report = json.loads((study / "comparison_report.json").read_text())
    found: dict[str, object] = {"scores": [arm["scores"] for arm in report["groups"][0]["arms"]]}
    for name in TRIALS:
        metrics = json.loads((study / "runs" / name / "evaluation/metrics.json").read_text())
        lines = [
            json.loads(line)
            for line in (study / "runs" / name / "training_log.jsonl").read_text().splitlines()
        ]
        found[name] = metrics["forecasters"]
        found[f"{name} course"] = [
            (line["step"], line["metrics"]["position_error"])
            for line in lines
            if line["event"] == "evaluation"
        ]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    process = start(root)
    output = finish(process)
    assert process.returncode == 0, output
    return root


def assert_same_study(root: Path, reference: Path) -> None:
    assert results(root) == results(reference)
    for name in TRIALS:
        ours, theirs = (
            load_checkpoint(each / "comparison_study/runs" / name / "final_model.pt")["model"]
            for each in (root, reference)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def workers_of(root: Path) -> list[int]:
    """Processes that have the study's folder on their command line, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdecimal() else b""
        except OSError:
            continue
        if b"study.worker" in command and str(root).encode() in command:
            found.append(int(entry.name))
    return found


def test_a_study_killed_three_times_ends_with_the_numbers_of_one_never_killed(undisturbed, tmp_path):
    reference = undisturbed
    draw = random.Random(20)
    state = tmp_path / "comparison_study/runs" / TRIALS[0] / "training_state.pt"
    for _ in range(3):
        before = saved(state)
        process = start(tmp_path)
        wait_for(lambda before=before: saved(state) > before)  # however fast the machine: in a training
        time.sleep(draw.uniform(0, 0.3))
        assert process.poll() is None
        process.kill()  # SIGKILL: it can neither save nor tell its workers
        process.communicate()
        deadline = time.monotonic() + 10
        while workers_of(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert workers_of(tmp_path) == []
    process = start(tmp_path)
    output = finish(process)
    assert process.returncode == 0, output
    assert "Going on with the study" in output
    assert_same_study(tmp_path, reference)
    report = json.loads((tmp_path / "comparison_study/comparison_report.json").read_text())
    assert report["runs"][0]["sessions"] == 4, "a kill met no training: it shows nothing"
    output = finish(start(tmp_path))
    assert "started" not in output  # and now there is nothing left to do


def test_ctrl_c_saves_and_the_same_command_goes_on(undisturbed, tmp_path):
    reference = undisturbed
    process = start(tmp_path)
    state = tmp_path / "comparison_study/runs" / TRIALS[0] / "training_log.jsonl"
    wait_for(lambda: state.exists() and '"event": "step"' in state.read_text())
    process.send_signal(signal.SIGINT)
    output = finish(process)
    assert process.returncode == 0, output
    assert "Go on with the same command" in output
    output = finish(start(tmp_path))
    assert "Going on with the study" in output
    assert_same_study(tmp_path, reference)


def test_a_failing_trial_leaves_the_others_alone_and_the_exit_code_tells(tmp_path):
    # A rate of 1e30 gives numbers that are not finite.
    process = start(tmp_path, "--grid", "training.learning_rate=1e-3,1e30", seeds=1)
    output = finish(process)
    assert process.returncode == 1, output
    assert "1 of 2 jobs failed" in output
    text = (tmp_path / "comparison_study/comparison_report.txt").read_text()
    assert text.count("NonFiniteLossError") == 1
    report = json.loads((tmp_path / "comparison_study/comparison_report.json").read_text())
    assert report["counts"] == {"finished": 1, "failed": 1}


def test_a_study_on_ray_survives_the_death_of_a_worker(undisturbed, tmp_path):
    pytest.importorskip("ray")
    reference = undisturbed
    process = start(tmp_path, "--ray")
    state = tmp_path / "comparison_study/runs" / TRIALS[1] / "training_log.jsonl"
    wait_for(lambda: state.exists() and '"event": "step"' in state.read_text())
    os.set_blocking(process.stdout.fileno(), False)
    shown = process.stdout.read() or ""
    os.set_blocking(process.stdout.fileno(), True)
    os.kill(int(re.search(rf"{TRIALS[1]}: started \(process (\d+)", shown).group(1)), signal.SIGKILL)
    output = shown + finish(process)
    assert process.returncode == 0, output
    assert f"{TRIALS[1]}: started again, from its checkpoint" in output
    assert_same_study(tmp_path, reference)
    report = json.loads((tmp_path / "comparison_study/comparison_report.json").read_text())
    assert [run["restarts"] for run in report["runs"]] == [0, 1]
    assert [run["sessions"] for run in report["runs"]] == [1, 2]


def saved(state: Path) -> float:
    """When a training's state was written last; 0 while there is none."""
    try:
        return state.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
