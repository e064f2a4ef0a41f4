"""Worker processes: restarted when they die, stopped when asked, gone when their parent is.

Tiny scripts stand in for the workers, so that each test is about the pool alone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from examples.trajectory_3d.cli import compare
from examples.trajectory_3d.study import pool as pool_module
from examples.trajectory_3d.study.board import Board
from examples.trajectory_3d.study.devices import worker_environment
from examples.trajectory_3d.study.folder import StudyFolder
from examples.trajectory_3d.study.plan import make_plan
from examples.trajectory_3d.study.pool import LocalPool
from examples.trajectory_3d.study.ray_pool import RayPool
from m.config import ConfigError

PRELUDE = """
import json, os, signal, sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
tries = folder / f"{name}.tries"
attempt = len(tries.read_text()) if tries.exists() else 0
tries.write_text("x" * (attempt + 1))
def say(kind, **content):
    print(json.dumps({"kind": kind, **content}), flush=True)
def done(**more):
    say("outcome", name=name, status="finished", step=5, **more)
    sys.exit(0)
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Runs a plan of three trials with scripts as workers: seed -> script; returns board and what it said."""

    def run(scripts: dict[int, str], *, retries=2, parallel=2, gpus=(), early_stop=None):
        plan = make_plan(["quick_test_3d"], seeds=(0, 1, 2), early_stop=early_stop)
        for seed, text in scripts.items():
            (tmp_path / f"worker{seed}.py").write_text(PRELUDE + text)

        def command(folder, name, *_):
            return [sys.executable, str(tmp_path / f"worker{name[-1]}.py"), folder, name]

        monkeypatch.setattr(pool_module, "worker_command", command)
        said: list[str] = []
        folder = StudyFolder(tmp_path / "study")
        folder.begin(plan, 1)
        board = Board(folder, plan, said.append)
        pool = LocalPool(board, parallel=parallel, threads=1, device="cpu", gpus=list(gpus), retries=retries)
        complete = pool.run(board.open_jobs())
        return board, said, complete

    return run


def name(seed: int) -> str:
    return f"quick_test_3d-seed{seed}"


def tries(board, seed: int) -> int:
    return len((board.folder.path / f"{name(seed)}.tries").read_text())


def test_a_worker_that_dies_is_started_again_and_the_others_do_not_notice(study):
    killed_once = "os.kill(os.getpid(), signal.SIGKILL) if not attempt else done()"
    board, said, complete = study({0: "done()", 1: killed_once, 2: "done()"})
    assert complete
    assert board.failed() == []
    assert [tries(board, seed) for seed in range(3)] == [1, 2, 1]
    assert board.folder.outcome(name(1)).restarts == 1
    assert any("killed by SIGKILL" in line and "from its checkpoint" in line for line in said)


def test_a_worker_that_always_dies_is_given_up_with_its_reason_and_the_rest_goes_on(study):
    board, _, complete = study(
        {0: "os.kill(os.getpid(), signal.SIGSEGV)", 1: "done()", 2: "sys.exit(9)"}, retries=1
    )
    assert complete
    assert board.failed() == [name(0), name(2)]
    assert tries(board, 0) == tries(board, 2) == 2
    assert "killed by SIGSEGV (tried 2 times)" in board.folder.outcome(name(0)).reason
    assert "exit code 9" in board.folder.outcome(name(2)).reason
    assert board.folder.outcome(name(1)).status == "finished"
    again = Board(board.folder, board.plan, print)
    assert again.open_jobs() == [name(0), name(2)]  # the same command tries them again


def test_an_error_that_would_come_again_is_not_tried_again(study):
    refused = "say('refused', reason='ConfigError: no such thing'); sys.exit(5)"
    board, _, _ = study({0: refused, 1: "done()", 2: "done()"})
    assert tries(board, 0) == 1
    assert "ConfigError: no such thing" in board.folder.outcome(name(0)).reason
    assert board.folder.outcome(name(0)).reason.endswith(f"log: logs/{name(0)}.log")
    assert board.folder.log(name(0)).exists()


def test_what_is_done_is_not_done_again(study):
    board, _, _ = study({0: "done()", 1: "done()", 2: "sys.exit(9)"}, retries=0)
    again, _, _ = study({0: "done()", 1: "done()", 2: "done()"}, retries=0)
    assert [tries(again, seed) for seed in range(3)] == [1, 1, 2]
    assert again.failed() == []
    assert again.open_jobs() == []
    del board


def test_no_more_workers_at_once_than_asked_and_gpus_go_round(study):
    watch = """
(folder / f"{name}.on").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
time.sleep(0.5)
at_once = len(list(folder.glob("*.on")))
(folder / f"{name}.on").rename(folder / f"{name}.was")
(folder / f"{name}.count").write_text(str(at_once))
done()
"""
    board, _, _ = study(dict.fromkeys(range(3), watch), parallel=2, gpus=("3", "5"))
    counts = [int(path.read_text()) for path in board.folder.path.glob("*.count")]
    assert max(counts) == 2
    seen = [(board.folder.path / f"{name(seed)}.was").read_text() for seed in range(2)]
    assert seen == ["3", "5"]


def test_threads_and_gpus_reach_the_worker(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    environment = worker_environment(3, None)
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert worker_environment(1, "1")["CUDA_VISIBLE_DEVICES"] == "1"


def test_answers_reach_the_worker_and_are_written_down(study):
    script = """
for step in (250, 500):
    say("evaluation", step=step, value=float(name[-1]))
    if sys.stdin.readline().strip() == "stop":
        say("outcome", name=name, status="stopped early", step=step)
        sys.exit(0)
done()
"""
    board, _, _ = study(dict.fromkeys(range(3), script), parallel=1, early_stop=2)
    statuses = [board.folder.outcome(name(seed)).status for seed in range(3)]
    assert statuses[0] == "finished"  # the first, and the best
    assert "stopped early" in statuses
    lines = [json.loads(line) for line in board.folder.decisions.read_text().splitlines()]
    assert [line["trial"] for line in lines][:2] == [name(0), name(0)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once_and_the_study_says_how_to_go_on(study, number):
    patient = """
def save(number, frame):
    (folder / f"{name}.saved").write_text(signal.Signals(number).name)
    sys.exit(4)
signal.signal(signal.SIGTERM, save)
(folder / f"{name}.ready").touch()
time.sleep(60)
"""
    path_of: list[Path] = []

    def interrupt():
        for _ in range(200):
            ready = list(Path(path_of[0]).glob("*.ready")) if path_of else []
            if len(ready) == 2:
                os.kill(os.getpid(), number)
                return
            time.sleep(0.05)

    original = StudyFolder.begin

    def begin(self, plan, threads):
        result = original(self, plan, threads)
        path_of.append(self.path)
        return result

    thread = threading.Thread(target=interrupt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudyFolder, "begin", begin)
        thread.start()
        board, said, complete = study(dict.fromkeys(range(3), patient))
    thread.join()
    assert not complete
    saved = [path.read_text() for path in board.folder.path.glob("*.saved")]
    assert saved == ["SIGTERM", "SIGTERM"]
    assert board.open_jobs() == [name(0), name(1), name(2)]
    assert not (board.folder.path / f"{name(2)}.tries").exists()  # nothing new was begun
    assert sum("stopped, saved" in line for line in said) == 2


WORKER = """
import sys, time
from pathlib import Path
from examples.trajectory_3d.study.worker import Line
line = Line()
Path(sys.argv[1]).write_text(str(__import__("os").getpid()))
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, sys.argv[1], sys.argv[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                 start_new_session=True)
time.sleep(60)
"""


def test_a_worker_does_not_outlive_a_killed_parent(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "parent.py").write_text(PARENT)
    note = tmp_path / "pid"
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(tmp_path / "worker.py"), str(note)],
        env=worker_environment(1, None),
    )
    try:
        deadline = time.monotonic() + 60
        while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        worker = int(note.read_text())
        assert is_running(worker)
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def is_running(process: int) -> bool:
    """Whether a process is there and no zombie, which only waits for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    plan = make_plan(["quick_test_3d"])
    board = Board(StudyFolder(tmp_path), plan, print)
    pool = RayPool(board, address="local", parallel=1, threads=1, device="cpu", retries=1)
    with pytest.raises(ConfigError, match=r"m-trajectory\[ray\]"):
        pool.run(board.open_jobs())


def test_a_ray_cluster_that_does_not_answer_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("m.ray_cluster.import_ray", lambda: None)
    with socket.socket() as held:  # a port that nobody listens at
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        for spelled in (address, f"ray://{address}"):
            board = Board(StudyFolder(tmp_path), make_plan(["quick_test_3d"]), print)
            pool = RayPool(board, address=spelled, parallel=None, threads=1, device="cpu", retries=1)
            with pytest.raises(ConfigError, match=f"--ray {spelled}: no Ray cluster"):
                pool.run(board.open_jobs())


def test_a_study_with_a_failure_reports_it_ends_with_code_1_and_tries_again(tmp_path, monkeypatch, capsys):
    (tmp_path / "worker.py").write_text(PRELUDE + "say('refused', reason='OddError: not today'); sys.exit(5)")
    monkeypatch.setattr(
        pool_module, "worker_command", lambda *a: [sys.executable, str(tmp_path / "worker.py"), *a]
    )
    arguments = ["compare", "quick_test_3d", "--baselines", "none", "--output-root", str(tmp_path / "out")]
    assert compare.main(arguments) == 1
    captured = capsys.readouterr()
    assert "1 trials to train" in captured.out
    assert "1 of 1 jobs failed: quick_test_3d-seed0" in captured.err
    study = tmp_path / "out/comparison_study"
    assert "OddError: not today" in (study / "comparison_report.txt").read_text()
    assert compare.main(arguments) == 1
    assert (study / "quick_test_3d-seed0.tries").read_text() == "xx"
    assert compare.main([*arguments, "--max-steps", "5"]) == 2
    assert "max_steps None -> 5" in capsys.readouterr().err
