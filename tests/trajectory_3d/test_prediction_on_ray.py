"""Forecasts of many files on Ray as a user asks for them: workers and the command itself are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.ray_processes import MARK, kill_all, marked, wait_for
from tests.trajectory_3d.test_prediction_parts import write_helix

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COMMAND = "import sys; from examples.trajectory_3d.cli.predict import main; sys.exit(main())"
FILES = 6


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Good ones, one too short for a forecast, and one that is none."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(FILES - 2):
        write_helix(folder / f"helix{number}.txt", radius=1.0 + number)
    write_helix(folder / "short.txt", count=5)
    (folder / "broken.txt").write_text("1.0 0 0 x 0 0 0 1\n")
    return folder


def start(folder, out, *more, mark):
    arguments = ["--model", "trajectory-3d", "--format", "tum", "--horizon", "8", "--samples", "2"]
    files = sorted(map(str, folder.glob("*.txt")))
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *files, *arguments, "--out", str(out), *more],
        env=os.environ | {"OMP_NUM_THREADS": "1", MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    try:
        output, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def local(recordings, tmp_path_factory):
    """What the command gives without Ray."""
    out = tmp_path_factory.mktemp("local") / "forecast.csv"
    return *finish(start(recordings, out, mark="local")), out.read_bytes(), out.parent


@pytest.fixture
def mark(tmp_path):
    """A mark for the processes of a test, none of which outlive it."""
    yield str(tmp_path)
    kill_all(str(tmp_path))


def assert_as_local(found, out, local, *, taken_up=0):
    code, output, errors = found
    expected_code, expected_output, expected_errors, table, place = local
    assert code == expected_code == 1  # of the broken file
    assert output.replace(str(out.parent), str(place)) == expected_output
    assert errors.endswith(expected_errors)  # Ray tells of the dead worker before
    assert not taken_up or f"{taken_up} of {FILES} files" in errors.partition("\n")[0]
    assert out.read_bytes() == table


def test_a_killed_worker_costs_nothing(recordings, local, tmp_path, mark):
    out = tmp_path / "forecast.csv"
    process = start(recordings, out, "--ray", mark=mark)

    def at_work():
        return [number for number, command in marked(mark).items() if command == "ray::predict_task"]

    victim = wait_for(at_work)[0]
    os.kill(victim, signal.SIGKILL)
    assert_as_local(finish(process), out, local)
    assert not [command for command in marked(mark).values() if command.startswith("ray::")]
    # A file failed, so the results of the others are kept for the next try.
    assert len(list((tmp_path / "forecast.csv.parts").iterdir())) == FILES - 1


def test_a_killed_command_goes_on_where_it_was(recordings, local, tmp_path, mark):
    out, parts = tmp_path / "forecast.csv", tmp_path / "forecast.csv.parts"
    process = start(recordings, out, "--ray", mark=mark)
    wait_for(lambda: list(parts.glob("*.npz")))
    process.kill()
    finish(process)
    kept = len(list(parts.glob("*.npz")))
    assert not out.exists()
    kill_all(mark)
    assert_as_local(finish(start(recordings, out, "--ray", mark=mark)), out, local, taken_up=kept)


def test_a_lost_cluster_is_named_and_costs_only_the_rest(recordings, tmp_path, mark):
    out, parts = tmp_path / "forecast.csv", tmp_path / "forecast.csv.parts"
    process = start(recordings, out, "--horizon", "1000", "--ray", mark=mark)
    wait_for(lambda: list(parts.glob("*.npz")))
    (head,) = [number for number, command in marked(mark).items() if "gcs_server" in command.split()[0]]
    os.kill(head, signal.SIGKILL)
    code, _, errors = finish(process)
    assert code == 1, errors
    assert "--ray local: the Ray cluster went away" in errors
    assert f"results so far are in {parts}; the same command takes them up" in errors
    assert list(parts.glob("*.npz"))


def test_a_model_that_cannot_be_used_ends_with_2(recordings, tmp_path, mark):
    bad = tmp_path / "best_model.pt"
    bad.write_bytes(b"no checkpoint")
    code, _, errors = finish(start(recordings, tmp_path / "f.csv", "--model", str(bad), "--ray", mark=mark))
    assert code == 2, errors
    assert "best_model.pt" in errors
    assert "Traceback" not in errors
