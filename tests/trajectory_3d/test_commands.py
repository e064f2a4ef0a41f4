"""The commands, run as a user runs them (in process, on tiny settings)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
import yaml

from examples.trajectory_3d.cli import compare, demo, evaluate, train
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.model_discovery import FoundModel
from examples.trajectory_3d.training import train as train_experiment
from m import load
from m.checkpoint import load_checkpoint, load_model
from m.config import load_config
from m.training import Callback

QUICK = Path(__file__).parents[2] / "examples/trajectory_3d/configs/quick_test_3d.yaml"
TINY = [
    "model.dim=16",
    "model.n_layers=1",
    "model.window=4",
    "model.stride=4",
    "model.attention.n_heads=2",
    "model.experts.hidden_dim=16",
    "training.max_steps=12",
    "training.batch_size=4",
    "training.eval_interval=6",
    "training.checkpoint_interval=6",
    "training.log_interval=3",
    "dataset.windows_per_block=64",
    "dataset.type_weights={orbital: 0.5, lorenz: 0.5}",  # two pictures to draw instead of five
    "evaluation.validation_windows=20",
    "evaluation.test_windows=30",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Outputs folder with one finished run called ``first``."""
    root = tmp_path_factory.mktemp("outputs")
    assert (
        train.main([str(QUICK), "--name", "first", "--output-root", str(root), "--device", "cpu", *TINY]) == 0
    )
    return root


def assert_is_a_picture(path: Path) -> None:
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 0.02, f"{path.name} is blank"


def test_training_leaves_the_whole_output_folder(root):
    run = root / "first"
    for name in ("best_model.pt", "final_model.pt", "training_state.pt", "config.yaml"):
        assert (run / name).is_file()
    assert_is_a_picture(run / "training_progress.png")
    pictures = sorted(path.name for path in (run / "visualizations").iterdir())
    assert pictures == ["prediction_step_000006.png", "prediction_step_000012.png"]
    assert_is_a_picture(run / "visualizations" / pictures[0])
    for name in ("evaluation_summary.txt", "metrics.json", "metrics_comparison.png", "prediction_lorenz.png"):
        assert (run / "evaluation" / name).is_file()


def test_the_summary_says_what_was_trained_and_how_it_went(root):
    summary = yaml.safe_load((root / "first/training_summary.yaml").read_text())
    model = load_model(root / "first/best_model.pt")
    assert summary["status"] == "finished"
    assert summary["step"] == summary["max_steps"] == 12
    assert summary["model"]["total_parameters"] == sum(p.numel() for p in model.parameters())
    best = load_checkpoint(root / "first/best_model.pt")
    assert summary["best_validation"]["step"] == best["step"]
    assert summary["best_validation"]["metrics"]["position_error"] == best["metrics"]["position_error"]
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0]
    assert "&id" not in (root / "first/training_summary.yaml").read_text()


def test_the_log_and_tensorboard_hold_the_same_history(root):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines = [json.loads(line) for line in (root / "first/training_log.jsonl").read_text().splitlines()]
    steps = {line["step"]: line for line in lines if line["event"] == "step"}
    assert sorted(steps) == [3, 6, 9, 12]
    assert {"position_error", "velocity_error", "acceleration_error", "nll"} <= set(steps[3]["metrics"])
    assert np.allclose(np.sum(steps[12]["expert_load"], axis=1), 1.0)
    events = EventAccumulator(str(root / "first/tensorboard")).Reload()
    written = {event.step: event.value for event in events.Scalars("train/loss")}
    assert written == pytest.approx({step: line["loss"] for step, line in steps.items()})
    assert events.Scalars("evaluation/position_error")[-1].step == 12


def test_the_resolved_configuration_reproduces_the_run(root):
    config = load_config(ExperimentConfig, root / "first/config.yaml")
    assert config == load_config(ExperimentConfig, QUICK, [*TINY, "name=first"])


def test_a_run_is_never_overwritten(root, capsys):
    before = (root / "first/best_model.pt").read_bytes()
    code = train.main([str(QUICK), "--name", "first", "--output-root", str(root), *TINY])
    assert code == 2
    message = capsys.readouterr().err
    assert "already holds files" in message
    assert "--resume" in message
    assert (root / "first/best_model.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.rooter.kind=topk"], "unknown key 'model.rooter'; did you mean 'model.router'"),
        (["--model.router.n_experts", "many"], "n_experts"),
        (["dataset.type_weights={helical: 0.5}"], "sum to 1"),
        (["model.head.prediction_steps=99"], "exceeds dataset.prediction_length 16"),
        (["--name", "../escape"], "must start with a letter or digit"),
        (["--nmae", "x"], "unknown argument"),
        (["--device", "abacus"], "abacus"),
        (["--training.max_steps"], "has no value"),
        (["model.router.kind=topkk"], "did you mean 'topk'"),
        (["training.best_metric=position"], "did you mean 'position_error'"),
        (["training.best_metric=r2"], "needs training.best_mode: max"),
        (["dataset.motion_options={orbital: {eccentrcity: [0, 0.1]}}"], "did you mean 'eccentricity'"),
    ],
)
def test_wrong_requests_exit_2_with_one_line_and_leave_nothing(arguments, message, tmp_path, capsys):
    code = train.main([str(QUICK), "--output-root", str(tmp_path / "runs"), *TINY, *arguments])
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert error.startswith("error: ")
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.pt"))
    assert not list(tmp_path.rglob("config.yaml"))


class StopAt(Callback):
    """Asks for a stop the way Ctrl-C and a scheduler do."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def on_step(self, record):
        if record.step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_resumes_to_the_same_weights(root, tmp_path, number):
    experiment = load_config(ExperimentConfig, root / "first/config.yaml")
    folder = tmp_path / "again"
    device = torch.device("cpu")
    stopped = train_experiment(experiment, folder, device=device, callbacks=(StopAt(9, number),))
    assert (stopped.status, stopped.step) == ("interrupted", 9)
    summary = yaml.safe_load((folder / "training_summary.yaml").read_text())
    assert (summary["status"], summary["step"]) == ("interrupted", 9)
    finished = train_experiment(experiment, folder, device=device, resume=True)
    assert (finished.status, finished.step) == ("finished", 12)
    straight = load_checkpoint(root / "first/final_model.pt")["model"]
    resumed = load_checkpoint(folder / "final_model.pt")["model"]
    assert straight.keys() == resumed.keys()
    for name, weights in straight.items():
        assert torch.equal(weights, resumed[name]), name
    lines = (folder / "training_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if '"step"' in line and '"event": "step"' in line] == [
        3,
        6,
        9,
        12,
    ]


def test_resuming_with_another_model_is_refused_by_name(root, capsys):
    code = train.main(
        [str(QUICK), "--name", "first", "--output-root", str(root), "--resume", *TINY, "model.window=6"]
    )
    assert code == 2
    assert "model.window: 4 -> 6" in capsys.readouterr().err


def test_a_refused_resume_changes_nothing(root, capsys):
    before = (root / "first/config.yaml").read_bytes()
    arguments = ["--name", "first", "--output-root", str(root), "--resume", *TINY]
    assert train.main([str(QUICK), *arguments, "training.batch_size=8"]) == 2
    assert "batch_size" in capsys.readouterr().err
    assert (root / "first/config.yaml").read_bytes() == before


def test_a_run_killed_at_once_can_be_resumed(root, tmp_path):
    experiment = load_config(ExperimentConfig, root / "first/config.yaml")

    class KilledError(Exception):
        pass

    class Die(Callback):
        def on_step(self, record):
            raise KilledError

    device = torch.device("cpu")
    with pytest.raises(KilledError):
        train_experiment(experiment, tmp_path / "run", device=device, callbacks=(Die(),))
    assert train_experiment(experiment, tmp_path / "run", device=device, resume=True).status == "finished"
    straight = load_checkpoint(root / "first/final_model.pt")["model"]
    for name, weights in load_checkpoint(tmp_path / "run/final_model.pt")["model"].items():
        assert torch.equal(weights, straight[name]), name


def test_resuming_what_does_not_exist_is_refused(tmp_path, capsys):
    assert train.main([str(QUICK), "--output-root", str(tmp_path), "--resume", *TINY]) == 2
    assert "holds no run to resume" in capsys.readouterr().err
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun/config.yaml").write_text("{}")  # killed before the first step
    assert train.main([str(QUICK), "--name", "begun", "--output-root", str(tmp_path), "--resume", *TINY]) == 2
    assert "remove the folder and start again" in capsys.readouterr().err


def test_evaluation_of_a_model_by_path_folder_and_latest(root, tmp_path, monkeypatch, capsys):
    results = []
    # --latest looks below outputs/trajectory_3d of the working folder.
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs/trajectory_3d").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    for target in (str(root / "first/best_model.pt"), str(root / "first"), "--latest"):
        assert evaluate.main([target, "--output", "out", "evaluation.test_windows=25"]) == 0
        results.append(json.loads((tmp_path / "out/metrics.json").read_text()))
    assert results[0]["forecasters"] == results[1]["forecasters"] == results[2]["forecasters"]
    assert results[0]["num_windows"] == 25
    names = [scores["name"] for scores in results[0]["forecasters"]]
    assert names == ["MoE first", "last value", "constant velocity", "constant acceleration"]
    assert "position_error" in (tmp_path / "out/evaluation_summary.txt").read_text()
    assert "constant" in capsys.readouterr().out


def test_evaluation_can_change_the_data_with_a_configuration_and_overrides(root, tmp_path):
    for name, arguments in {
        "own": [],
        "noisy": [str(root / "first/config.yaml"), "dataset.noise_std=0.3"],
    }.items():
        common = ["--output", str(tmp_path / name), "evaluation.test_windows=30"]
        assert evaluate.main([str(root / "first/best_model.pt"), *arguments, *common]) == 0
    own, noisy = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("own", "noisy"))

    def baseline(result):
        return result["forecasters"][1]["groups"]["mixed"]["metrics"]["position_error"]

    assert baseline(noisy) > baseline(own) + 0.05
    assert noisy["dataset"]["noise_std"] == 0.3
    # Without --output, other data goes beside the run's own evaluation, not over it.
    before = (root / "first/evaluation/metrics.json").read_bytes()
    assert (
        evaluate.main([str(root / "first"), "--dataset.noise_std", "0.3", "evaluation.test_windows=9"]) == 0
    )
    assert (root / "first/evaluation/metrics.json").read_bytes() == before
    assert len(list((root / "first").glob("evaluation_*/metrics.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one model"),
        (["absent.pt"], "no model at absent.pt"),
        (["--latest"], "no trained model below"),
        (["a", "b", "c"], "name one model"),
    ],
)
def test_evaluation_of_nothing_says_what_to_do(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_evaluating_a_foreign_file_is_refused(root, tmp_path, capsys):
    fake = tmp_path / "best_model.pt"
    fake.write_bytes(b"not a checkpoint")
    assert evaluate.main([str(fake), str(QUICK)]) == 2
    assert str(fake) in capsys.readouterr().err


@pytest.mark.parametrize(
    "order",
    [
        ["--device", "cpu", "MODEL", "CONFIG"],
        ["MODEL", "--device", "cpu", "CONFIG"],
        ["--dataset.noise_std", "0.02", "MODEL", "CONFIG"],
        ["MODEL", "dataset.noise_std=0.02", "CONFIG"],
    ],
)
def test_arguments_may_stand_in_any_order(order, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluate, "_report", lambda path, experiment, arguments: seen.append(experiment))
    monkeypatch.setattr(
        "examples.trajectory_3d.model_discovery.model_at", lambda path: FoundModel(path, None)
    )
    tokens = [str(QUICK) if token == "CONFIG" else token for token in order]
    assert evaluate.main(tokens) == 0
    assert seen == [load_config(ExperimentConfig, QUICK)]


FIVE_TYPES = ("helical", "orbital", "lissajous", "lorenz", "robotic")


def demo_pictures(types) -> set[str]:
    return {
        "demo_trajectories.png",
        "demo_prediction_grid.png",
        *(f"demo_prediction_{name}.png" for name in types),
    }


def test_the_demo_draws_every_type_that_the_model_is_for(root, tmp_path, capsys):
    assert demo.main([str(root / "first"), "--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == demo_pictures(("orbital", "lorenz"))
    assert_is_a_picture(tmp_path / "demo_prediction_orbital.png")
    assert str(tmp_path / "demo_trajectories.png") in capsys.readouterr().out


@pytest.fixture
def drawn(monkeypatch):
    """What the demo asks to be drawn: forecaster and windows."""
    seen = []
    monkeypatch.setattr(
        "examples.trajectory_3d.demo.run_demo", lambda *arguments: seen.append(arguments) or []
    )
    return seen


def test_animations_stand_beside_the_pictures(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("examples.trajectory_3d.animation.MOST_FRAMES", 2)
    animations = {"demo_animation_orbital.gif", "demo_animation_lorenz.gif"}
    assert demo.main([str(root / "first"), "--output", str(tmp_path), "--animate", "gif"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == demo_pictures(("orbital", "lorenz")) | animations
    assert str(tmp_path / "demo_animation_lorenz.gif") in capsys.readouterr().out


def test_without_a_model_the_demo_forecasts_with_the_shipped_weights(drawn):
    assert demo.main(["--seed", "3"]) == 0
    output, forecaster, windows, paths = drawn[0]
    assert output == Path("outputs/trajectory_3d/demo")
    assert forecaster.name == "MoE trajectory-3d"
    mean = load("trajectory-3d").forecast(windows.context, windows.horizon).mean
    np.testing.assert_allclose(forecaster.forecast(windows.context, windows.horizon).mean, mean)
    assert windows.context.shape == (500, 64, 3)
    assert (windows.horizon, windows.dt) == (16, 0.02)
    assert tuple(paths) == windows.type_names == FIVE_TYPES
    assert position_error(mean, windows.targets).mean() < 0.06  # its card says 0.046 m on other windows


def test_the_other_shipped_model_is_shown_on_the_motion_of_its_own_card(drawn):
    assert demo.main(["trajectory-3d-wide"]) == 0
    _, forecaster, windows, _ = drawn[0]
    assert forecaster.name == "MoE trajectory-3d-wide"
    assert "splines" in windows.type_names


def test_a_named_baseline_forecasts_the_same_motion(drawn):
    assert demo.main(["--baseline", "kalman_constant-velocity"]) == 0
    assert demo.main([]) == 0
    assert drawn[0][1].name == "kalman constant velocity"
    np.testing.assert_array_equal(drawn[0][2].context, drawn[1][2].context)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.pt", "--latest"], "only one of them"),
        (["model.pt", "--baseline", "last-value"], "only one of them"),
        (["--latest", "--baseline", "last-value"], "only one of them"),
        (["--baseline", "constant-velocty"], "did you mean 'constant velocity'"),
        (["--baseline", "all"], "one baseline"),
        (["--baseline", "last-value", "--device", "cpu"], "leave it out with --baseline"),
        (["--seed", "-1"], "--seed must be 0 or above"),
        (["--animate", "mp4"], "needs the program ffmpeg"),
        (["absent.pt"], "no model at absent.pt"),
    ],
)
def test_demos_that_mean_nothing_are_refused(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)  # no ffmpeg
    assert demo.main([*arguments, "--output", str(tmp_path / "demo")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["--animate"], ["run", "--animate", "gif", "--seed", "4"]])
def test_compare_demo_is_the_demo(arguments, monkeypatch):
    seen = []
    monkeypatch.setattr(demo, "draw", seen.append)
    assert compare.main(["demo", *arguments]) == demo.main(arguments) == 0
    by_compare, by_demo = (vars(namespace) for namespace in seen)
    assert by_compare.pop("work") == demo.draw
    assert by_compare == by_demo


def test_arguments_that_cannot_be_parsed_say_what_to_do(capsys):
    for main, arguments, message in (
        (demo.main, ["--animate", "outputs/run"], "a model is named before --animate"),
        (compare.main, [], "COMMAND"),
        (compare.main, ["dmeo"], "demo"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("module", ["train", "evaluate", "demo", "compare", "predict"])
def test_help_imports_nothing_heavy(module):
    """The reason that --help answers at once; a clock would only measure the machine."""
    code = (
        f"import sys\nfrom examples.trajectory_3d.cli import {module}\n"
        f"try:\n    {module}.main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'rich', 'jsonargparse', 'tensorboard', 'ray'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: trajectory-3d-" in done.stdout
