"""``trajectory-3d-models`` as a user runs it, on tiny runs and on broken files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.cli import models, train
from examples.trajectory_3d.model_layers import parameter_totals
from examples.trajectory_3d.process_identity import is_alive, this_process
from m import load
from m.config import from_dict, to_dict
from m.moe import ModelConfig, model_size

QUICK = Path(__file__).parents[2] / "examples/trajectory_3d/configs/quick_test_3d.yaml"
TINY = [
    "model.dim=16",
    "model.n_layers=1",
    "model.window=4",
    "model.stride=4",
    "model.attention.n_heads=2",
    "model.experts.hidden_dim=16",
    "training.max_steps=4",
    "training.batch_size=4",
    "training.eval_interval=2",
    "training.checkpoint_interval=2",
    "dataset.windows_per_block=64",
    "evaluation.validation_windows=10",
    "evaluation.test_windows=10",
    "dataset.type_weights={orbital: 0.5, lorenz: 0.5}",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Outputs folder with one finished run called ``first``."""
    root = tmp_path_factory.mktemp("outputs")
    assert (
        train.main([str(QUICK), "--name", "first", "--output-root", str(root), "--device", "cpu", *TINY]) == 0
    )
    return root


@pytest.fixture
def root(trained, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(trained, tmp_path / "outputs"))


def listed(root: Path, capsys, *options: str) -> list[dict]:
    capsys.readouterr()
    assert models.main(["list", "--root", str(root), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)["models"]


def change_summary(run: Path, **changes) -> None:
    path = run / "training_summary.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


def test_the_list_says_what_the_files_of_a_run_say(root, capsys):
    (found,) = listed(root, capsys)
    summary = yaml.safe_load((root / "first/training_summary.yaml").read_text())
    metrics = json.loads((root / "first/evaluation/metrics.json").read_text())
    assert (found["name"], found["status"], found["step"], found["max_steps"]) == ("first", "finished", 4, 4)
    assert found["best_validation"]["value"] == summary["best_validation"]["metrics"]["position_error"]
    tested = next(each for each in metrics["forecasters"] if not each["is_baseline"])["groups"]["mixed"]
    assert found["test"]["position_error"] == tested["metrics"]["position_error"]
    model = load(root / "first")
    assert found["parameters"]["total"] == sum(each.numel() for each in model.parameters())
    files = [path for path in (root / "first").rglob("*") if path.is_file()]
    assert found["size_bytes"] == sum(path.stat().st_size for path in files)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dense_feed_forward": True, "experts": {"shared_hidden_dim": 64}},
        {
            "router": {"kind": "sinkhorn"},
            "attention": {"every": 2, "n_kv_heads": 2},
            "experts": {"activation": "gelu"},
        },
        {"router": {"kind": "dense"}, "head": {"distribution": "student_t"}},
    ],
)
def test_parameters_are_those_that_the_platform_derives(changes):
    config = from_dict(ModelConfig, changes)
    size = model_size(config)
    assert parameter_totals(to_dict(config)) == (size.total_parameters, size.active_parameters)


def test_a_killed_run_does_not_stay_running(root, capsys):
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = {**this_process(), "pid": gone.pid, "started": None}
    change_summary(root / "first", status="running", process=process)
    assert listed(root, capsys)[0]["status"] == "running"
    gone.kill()
    gone.wait()
    assert listed(root, capsys)[0]["status"] == "interrupted"


def test_another_process_of_the_same_number_is_told_from_the_run():
    assert is_alive(this_process()) is True
    if this_process()["started"] is not None:
        assert is_alive({**this_process(), "started": 1}) is False
    assert is_alive({**this_process(), "host": "elsewhere"}) is None


def test_a_run_of_another_host_is_believed_while_it_writes(root, capsys):
    run = root / "first"
    change_summary(run, status="running", process={"pid": 1, "host": "elsewhere"})
    assert listed(root, capsys)[0]["status"] == "running"
    for name in ("training_summary.yaml", "training_log.jsonl"):
        os.utime(run / name, (1e9, 1e9))
    assert listed(root, capsys)[0]["status"] == "interrupted"


def test_broken_files_are_listed_as_such(root, capsys):
    best = root / "first/best_model.pt"
    (root / "cut").mkdir()
    (root / "cut/model.pt").write_bytes(best.read_bytes()[:3000])
    (root / "cut/text.pt").write_text("no model")
    (root / "cut/sound.pt").write_bytes(best.read_bytes())
    (root / "cut/loop").symlink_to(root)
    (root / "first/training_summary.yaml").write_text("a: [")
    found = {each["name"]: each for each in listed(root, capsys)}
    assert {name: each["status"] for name, each in found.items()} == {
        "model.pt": "corrupt",
        "text.pt": "foreign",
        "sound.pt": "checkpoint",
        "first": "corrupt",
    }
    assert "truncated" in found["model.pt"]["problems"][0]
    assert models.main(["list", "--root", str(root)]) == 0
    assert "corrupt: truncated" in capsys.readouterr().out


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=200)
    | st.recursive(
        st.none() | st.floats() | st.text(max_size=4) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["model", "status", "step", "process", "forecasters", "pid"]), inner
            )
        ),
        max_leaves=8,
    ).map(lambda value: yaml.safe_dump(value).encode())
)
def test_any_content_of_any_file_is_listed_and_shown(content, trained, capsys):
    root = trained.parent / "broken"
    shutil.rmtree(root, ignore_errors=True)
    run = root / "run"
    (run / "evaluation").mkdir(parents=True)
    (root / "export").mkdir()
    for name in ("training_summary.yaml", "config.yaml", "best_model.pt", "evaluation/metrics.json"):
        (run / name).write_bytes(content)
    for name in ("model.safetensors", "config.json", "card.json"):
        (root / "export" / name).write_bytes(content)
    assert len(listed(root, capsys)) == 2
    assert models.main(["list", "--root", str(root)]) == 0
    for name in ("run", "export"):
        assert models.main(["details", name, "--root", str(root)]) == 0
        assert models.main(["details", name, "--root", str(root), "--json"]) == 0


def test_sorting_puts_missing_values_last(root, capsys):
    shutil.copytree(root / "first", root / "better")
    shutil.copytree(root / "first", root / "untested")
    shutil.rmtree(root / "untested/evaluation")
    path = root / "better/evaluation/metrics.json"
    content = json.loads(path.read_text())
    for each in content["forecasters"]:
        each["groups"]["mixed"]["metrics"]["position_error"] = 0.0
    path.write_text(json.dumps(content))
    names = [each["name"] for each in listed(root, capsys, "--sort", "error")]
    assert names == ["better", "first", "untested"]
    names = [each["name"] for each in listed(root, capsys, "--sort", "error", "--reverse")]
    assert names == ["first", "better", "untested"]


def test_nothing_trained(tmp_path, capsys):
    assert models.main(["list", "--root", str(tmp_path)]) == 0
    assert "trajectory-3d-train" in capsys.readouterr().out
    assert models.main(["latest", "--root", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "trajectory-3d-train" in captured.err


def test_names(root, capsys):
    assert models.main(["details", "frist", "--root", str(root)]) == 2
    assert "did you mean first" in capsys.readouterr().err
    shutil.copytree(root / "first", root / "study/runs/first")
    shutil.move(root / "first", root / "other/first")
    assert models.main(["details", "first", "--root", str(root)]) == 2
    assert "study/runs/first" in capsys.readouterr().err
    assert models.main(["details", "study/runs/first", "--root", str(root)]) == 0
    assert models.main(["details", "trajectory-3d", "--root", str(root)]) == 0
    assert models.main(["interactive", "--root", str(root)]) == 2


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_an_export_forecasts_as_its_checkpoint(root, tmp_path, dtype, capsys):
    target = tmp_path / "export"
    command = ["export", "first", "--root", str(root), "--output", str(target), "--dtype", dtype]
    assert models.main(command) == 0
    context = torch.randn(2, 64, 3, generator=torch.Generator().manual_seed(0)).cumsum(1)
    expected, found = (load(path).forecast(context, 8).mean for path in (root / "first", target))
    tolerance = {"float32": 0.0, "float16": 0.02, "bfloat16": 0.2}[dtype]
    assert np.abs(expected - found).max() <= tolerance * float(context.std())
    assert models.main(command) == 2
    assert "--force" in capsys.readouterr().err
    assert models.main([*command, "--force"]) == 0
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "model.safetensors"]


def test_prune_removes_what_it_said_and_nothing_else(root, tmp_path, capsys):
    for name in ("failed", "live", "linked"):
        shutil.copytree(root / "first", root / name)
    change_summary(root / "failed", status="failed")
    change_summary(root / "live", status="running", process=this_process())
    (root / "failed/notes.txt").write_text("mine")
    shutil.move(root / "linked", tmp_path / "outside")
    (root / "linked").symlink_to(tmp_path / "outside")
    shutil.rmtree(root / "failed/tensorboard")
    (root / "failed/tensorboard").symlink_to(tmp_path / "outside")
    command = ["prune", "--root", str(root), "--keep", "0"]
    assert models.main([*command, "--dry-run"]) == 0
    assert (root / "first/best_model.pt").exists()
    assert models.main(command) == 2  # no terminal to ask at
    assert (root / "first/best_model.pt").exists()
    assert models.main([*command, "--yes"]) == 0
    assert not (root / "first").exists()
    assert sorted(path.name for path in (root / "failed").iterdir()) == ["notes.txt", "tensorboard"]
    assert (root / "live/best_model.pt").exists()
    assert (tmp_path / "outside/best_model.pt").exists()
    assert models.main(["prune", "live", "--root", str(root), "--yes"]) == 0
    assert (root / "live/best_model.pt").exists()
    assert models.main(["prune", str(tmp_path / "outside"), "--root", str(root), "--yes"]) == 0
    assert (tmp_path / "outside/best_model.pt").exists()


def test_prune_wants_to_be_told_what(root, capsys):
    assert models.main(["prune", "--root", str(root), "--yes"]) == 2
    assert models.main(["prune", "--older-than", "soon", "--root", str(root)]) == 2
    assert models.main(["prune", "--older-than", "1h", "--root", str(root), "--yes"]) == 0
    assert models.main(["prune", "--what", "states", "--root", str(root), "--yes"]) == 0
    assert [path.name for path in (root / "first").glob("*.pt") if "state" in path.name] == []
    assert load(root / "first") is not None


@pytest.mark.parametrize(
    "command", [["list"], ["list", "--json"], ["latest"], ["details"], ["details", "--json"]]
)
def test_heavy_libraries_are_not_imported(trained, command):
    code = (
        "import sys\nfrom examples.trajectory_3d.cli import models\n"
        f"assert models.main({[*command, '--root', str(trained)]!r}) == 0\n"
        "heavy = {'torch', 'scipy', 'matplotlib', 'pandas'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
