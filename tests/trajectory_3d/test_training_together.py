"""The training command in several processes: what it leaves behind, and what happens when one is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from launched import logged_step, write_config

from examples.trajectory_3d.cli import train
from m.checkpoint import load_checkpoint
from m.training import read_jsonl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc"),
]

_POLL_SECONDS = 0.01
_PATIENCE = 150.0


def start(folder: Path, root: Path, *extra: str) -> subprocess.Popen[str]:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("--max-restarts=3", "-m", "examples.trajectory_3d.training", str(write_config(folder))),
        *("--output-root", str(root), "--device", "cpu", *extra),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def workers(launcher: int) -> list[int]:
    """Processes that it has started, in the order of their ranks."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text(encoding="utf-8")
    return [int(pid) for pid in children.split() if _is_worker(int(pid))]


def _is_worker(pid: int) -> bool:
    try:
        return b"examples.trajectory_3d.training" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def kill_when(
    process: subprocess.Popen[str], rank: int, due: Callable[[], bool], number: int = signal.SIGKILL
) -> bool:
    """Whether the moment came before the end."""
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if due():
            os.kill(workers(process.pid)[rank], number)
            return True
        time.sleep(_POLL_SECONDS)
    return False


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 0, output
    return output


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "final_model.pt", kind="model")["model"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start(folder, folder / "runs"))
    return folder / "runs" / "together"


def assert_same_weights(run: Path, expected: Path) -> None:
    found, wanted = weights(run), weights(expected)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_two_processes_end_where_one_does(undisturbed: Path, tmp_path: Path) -> None:
    alone = ["--output-root", str(tmp_path), "--device", "cpu"]
    assert train.main([str(write_config(tmp_path)), *alone]) == 0
    for name, tensor in weights(tmp_path / "together").items():
        torch.testing.assert_close(weights(undisturbed)[name], tensor, rtol=1e-3, atol=1e-4)
    records = [line for line in read_jsonl(undisturbed / "training_log.jsonl") if line["event"] == "step"]
    assert [line["step"] for line in records] == list(range(1, 25))


MOMENTS: dict[str, tuple[int, Callable[[Path], bool]]] = {
    "before anything was saved": (1, lambda run: (run / "config.yaml").exists()),
    "between states, the other one": (1, lambda run: logged_step(run) >= 7),
    "between states, the main one": (0, lambda run: logged_step(run) >= 11),
    "while a state is written": (0, lambda run: any(run.glob("training_state/.step-*12.writing"))),
    "near the end": (1, lambda run: logged_step(run) >= 23),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_process_costs_nothing_but_time(moment: str, undisturbed: Path, tmp_path: Path) -> None:
    rank, due = MOMENTS[moment]
    run = tmp_path / "runs" / "together"
    process = start(tmp_path, tmp_path / "runs")
    assert kill_when(process, rank, lambda: due(run))
    finish(process)
    assert_same_weights(run, undisturbed)


def test_killed_at_random_again_and_again(undisturbed: Path, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    generator = random.Random(seed)
    run = tmp_path / "runs" / "together"
    process = start(tmp_path, tmp_path / "runs")
    for step in sorted(generator.sample(range(1, 24), 2)):
        kill_when(process, generator.randrange(2), lambda step=step: logged_step(run) >= step)
        time.sleep(generator.random())
    finish(process)
    found, wanted = weights(run), weights(undisturbed)
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items()), f"seed {seed}"


def test_interrupted_and_taken_up(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "together"
    process = start(tmp_path, tmp_path / "runs")
    deadline = time.monotonic() + _PATIENCE
    while logged_step(run) < 5 and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=_PATIENCE)
    assert "Stopped at step" in output
    finish(start(tmp_path, tmp_path / "runs", "--resume"))
    assert_same_weights(run, undisturbed)


def test_a_restart_does_not_touch_what_another_command_began(undisturbed: Path, tmp_path: Path) -> None:
    root = undisturbed.parent
    before = (undisturbed / "training_log.jsonl").read_bytes()
    process = start(tmp_path, root)
    output, _ = process.communicate(timeout=_PATIENCE)
    assert process.returncode != 0
    assert "already holds files" in output
    assert (undisturbed / "training_log.jsonl").read_bytes() == before
