"""Training and fine-tuning on recordings by command: what is kept, resumed, reported and refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from examples.trajectory_3d.cli import demo, evaluate, train
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.evaluation_folder import default_folder
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.initial_weights import SHIPPED_NAME, complete, fingerprint, load_initial
from examples.trajectory_3d.model_discovery import named_model
from examples.trajectory_3d.recorded.account import account
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.writers import output_formats
from examples.trajectory_3d.study.plan import make_plan, shipped_configs
from examples.trajectory_3d.trained_model import load_trained, released_experiment, training_notes
from examples.trajectory_3d.training import Validation, training_batches
from examples.trajectory_3d.training import train as train_experiment
from examples.trajectory_3d.visualization import plot_forecast
from examples.trajectory_3d.windows import evaluation_windows
from m import load
from m.checkpoint import load_checkpoint, load_model
from m.config import ConfigError, load_config
from m.training import Callback

CONFIGS = Path(__file__).parents[2] / "examples/trajectory_3d/configs"
QUICK, FINETUNE = str(CONFIGS / "quick_test_3d.yaml"), str(CONFIGS / "finetune_recordings.yaml")
CPU = torch.device("cpu")
WINDOW = ["dataset.sequence_length=16", "dataset.prediction_length=4", "dataset.windows_per_block=64"]
SHORT = [
    "training.max_steps=12",
    "training.batch_size=16",
    "training.eval_interval=6",
    "training.checkpoint_interval=6",
    "training.log_interval=3",
    "training.precision=fp32",
    "evaluation.validation_windows=20",
    "evaluation.test_windows=30",
    "evaluation.samples=4",
]
MODEL = [
    "model.dim=16",
    "model.n_layers=1",
    "model.window=8",
    "model.stride=8",
    "model.anchor.span=16",
    "model.attention.n_heads=2",
    "model.experts.hidden_dim=16",
    "model.experts.tied_steps=5",
    "model.router.kind=topk_bias",
    "model.head.prediction_steps=4",
]
QUIET = "evaluation.after_training=false"


def write(path: Path, *tracks: Trajectory) -> Path:
    output_formats()["json"].write(path, tracks)
    return path


def wave(rate, seconds=60.0):
    """A figure that no motion of the initial model's training is like, in feet, measured with noise."""
    times = np.round(np.arange(0, seconds, 0.1), 9)
    path = np.stack([5 * np.sin(rate * times), 3 * np.sin(2 * rate * times), np.cos(3 * rate * times)], 1)
    noise = 0.01 * np.random.default_rng(int(10 * rate)).standard_normal(path.shape)
    return Trajectory(times, path + noise, unit="ft")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    write(folder / "slow.json", wave(0.8))
    write(folder / "helical.json", wave(1.3))  # called as a synthetic motion is
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory, recordings) -> Path:
    """Outputs folder with a run on synthetic motion, ``base``, and one that went on from it, ``tuned``."""
    root = tmp_path_factory.mktemp("outputs")
    arguments = ["--name", "base", "--output-root", str(root), "--device", "cpu", *WINDOW, *SHORT, *MODEL]
    assert train.main([QUICK, *arguments, "dataset.type_weights={orbital: 1.0}", QUIET]) == 0
    assert tune(root, recordings, "tuned", QUIET) == 0
    return root


@pytest.fixture(scope="module")
def judged(root) -> Path:
    """The evaluation of ``tuned``, with oracles asked for."""
    assert evaluate.main([str(root / "tuned"), "--oracle", "--device", "cpu"]) == 0
    return root / "tuned/evaluation"


def tune(root, recordings, name, *more, init=("--init-from", "base"), settings=(*WINDOW, *SHORT)):
    return train.main(
        [
            FINETUNE,
            *init,
            "--name",
            name,
            "--output-root",
            str(root),
            "--device",
            "cpu",
            *settings,
            f"dataset.paths=[{recordings}]",
            *more,
        ]
    )


def test_a_fine_tuned_run_says_what_it_began_with(root):
    begun = fingerprint(load(root / "base").state_dict())
    run = root / "tuned"
    config = load_config(ExperimentConfig, run / "config.yaml")
    assert (config.init_from, config.init_weights) == ("base", begun)
    base = load_config(ExperimentConfig, root / "base/config.yaml")
    assert config.model == replace(base.model, router=replace(base.model.router, bias_update_rate=0.0))
    assert yaml.safe_load((run / "training_summary.yaml").read_text())["initial"] == {
        "model": "base",
        "weights": begun,
    }
    assert load_checkpoint(run / "best_model.pt")["metadata"]["initial"]["weights"] == begun


def test_training_begins_with_the_weights_named_and_judges_them_first(root):
    lines = [json.loads(line) for line in (root / "tuned/training_log.jsonl").read_text().splitlines()]
    judged = [line for line in lines if line["event"] == "evaluation"]
    assert [line["step"] for line in judged] == [0, 6, 12]
    experiment = load_config(ExperimentConfig, root / "tuned/config.yaml")
    windows = evaluation_windows(experiment.dataset, "validation", 20)
    with torch.no_grad():
        initial = Validation(experiment, windows)(load_model(root / "base/best_model.pt"), 0)
    assert judged[0]["metrics"]["position_error"] == pytest.approx(initial["position_error"], rel=1e-5)


def test_experts_that_have_parted_stay_apart_and_routers_keep_their_balance(root):
    before, after = load_model(root / "base/best_model.pt"), load_model(root / "tuned/final_model.pt")
    for one, other in zip(before.blocks, after.blocks, strict=True):
        experts = other.feed_forward.experts
        assert not experts.tied
        assert int(experts.steps_tied) == int(one.feed_forward.experts.steps_tied) == 5
        assert not torch.equal(experts.w_in[0], experts.w_in[1])
        assert torch.equal(one.feed_forward.router.bias, other.feed_forward.router.bias)  # rate 0 in the file
        assert one.feed_forward.router.bias.abs().sum() > 0


def test_fine_tuning_lowers_the_error_on_the_recordings(root, recordings):
    more = ["training.max_steps=150", "training.learning_rate=0.01", "training.eval_interval=75", QUIET]
    assert tune(root, recordings, "longer", *more) == 0
    summary = yaml.safe_load((root / "longer/training_summary.yaml").read_text())
    lines = [json.loads(line) for line in (root / "longer/training_log.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["event"] == "evaluation")["metrics"]["position_error"]
    assert summary["best_validation"]["metrics"]["position_error"] < 0.7 * first
    assert summary["best_validation"]["step"] > 0


class StopAt(Callback):
    """Asks for a stop the way Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, record):
        if record.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_fine_tuning_resumes_to_the_same_weights_without_its_first_ones(
    root, tmp_path, recordings
):
    shutil.copytree(root / "base", tmp_path / "base")
    experiment = load_config(ExperimentConfig, root / "tuned/config.yaml")
    folder = tmp_path / "tuned"
    stopped = train_experiment(experiment, folder, device=CPU, callbacks=(StopAt(9),))
    assert (stopped.status, stopped.step) == ("interrupted", 9)
    shutil.rmtree(tmp_path / "base")
    assert tune(tmp_path, recordings, "tuned", "--resume", "dataset.num_workers=1", QUIET) == 0
    straight = load_checkpoint(root / "tuned/final_model.pt")["model"]
    resumed = load_checkpoint(folder / "final_model.pt")["model"]
    for name, weights in straight.items():
        assert torch.equal(weights, resumed[name]), name


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model.dim=32"], "model.dim: base has 16, the configuration 32. Leave these keys out"),
        (["model.experts.tied_steps=50"], "model.experts.tied_steps: base has 5, the configuration 50"),
        (["model.rooter.kind=topk"], "unknown key 'rooter'"),
        (["training.max_stepz=5"], "did you mean 'training.max_steps'"),
        (["--init-from", "nobody"], "no model at nobody"),
        (["dataset.paths=[]"], "dataset.paths is empty; name files or folders"),
        (["dataset.paths=[/nowhere]"], "/nowhere: no such file or folder"),
        (["training.best_metric=position_error/slwo"], "did you mean 'position_error/slow'"),
        (["dataset.prediction_length=200"], "holds no window of 216 points"),
        (["init_weights=abc"], "another model has this name now"),
    ],
)
def test_wrong_requests_exit_2_and_leave_nothing(root, recordings, more, message, capsys):
    init = () if "--init-from" in more or "init_weights=abc" in more else ("--init-from", "base")
    if "init_weights=abc" in more:
        more = [*more, "init_from=base"]
    assert tune(root, recordings, "wrong", *more, init=init) == 2
    assert message in capsys.readouterr().err
    assert not (root / "wrong").exists()


def test_an_architecture_from_nowhere_is_refused(tmp_path, capsys):
    content = {"model": "from_init", "dataset": {"type_weights": {"orbital": 1.0}}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    assert train.main([str(tmp_path / "c.yaml"), "--output-root", str(tmp_path)]) == 2
    assert "name one with --init-from" in capsys.readouterr().err


def test_from_init_takes_the_whole_architecture(root):
    content = complete({"model": "from_init", "init_from": "base"}, folder=None, root=root, source="test")
    assert content["model"] == yaml.safe_load((root / "base/config.yaml").read_text())["model"]


def test_a_resume_that_is_another_run_is_refused_and_changes_nothing(root, recordings, capsys):
    run, file = root / "tuned", recordings / "slow.json"
    kept = {path: path.read_bytes() for path in (run / "config.yaml", run / "training_state.pt", file)}
    try:
        assert tune(root, recordings, "tuned", "--resume", init=("--init-from", "shipped")) == 2
        assert "began with base, not with trajectory-3d-wide" in capsys.readouterr().err
        assert tune(root, recordings, "tuned", "--resume", "dataset.stride=2") == 2
        assert "dataset.stride: 1 -> 2" in capsys.readouterr().err
        write(file, wave(0.9))
        assert tune(root, recordings, "tuned", "--resume", "training.max_steps=20", QUIET) == 2
        assert "recordings in dataset.paths are not those of" in capsys.readouterr().err
        file.write_bytes(kept[file][: len(kept[file]) // 2])
        assert tune(root, recordings, "tuned", "--resume", "training.max_steps=20", QUIET) == 2
        assert re.search(r"slow\.json:\d+:\d+: ", capsys.readouterr().err)  # line and column of the fault
    finally:
        file.write_bytes(kept[file])
    assert {path: path.read_bytes() for path in kept} == kept


def test_evaluation_reports_each_file_in_its_unit(judged):
    metrics = json.loads((judged / "metrics.json").read_text())
    groups = metrics["forecasters"][0]["groups"]
    assert {name: each["count"] for name, each in groups.items()} == {
        "helical_file": 15,
        "slow": 15,
        "mixed": 30,
    }
    assert metrics["unit"] == "ft"
    assert metrics["dt"] == pytest.approx(0.1)
    assert {each["unit"] for each in metrics["metrics"] if each["name"] == "velocity_error"} == {"ft/s"}
    assert metrics["data"].startswith("test part of recordings in ")
    assert "Mean distance in ft at forecast step" in (judged / "evaluation_summary.txt").read_text()
    assert (judged / "prediction_helical_file.png").is_file()
    assert not (judged / "prediction_helical.png").exists()


def test_recordings_have_no_oracle_and_the_rest_is_there(judged):
    metrics = json.loads((judged / "metrics.json").read_text())
    assert metrics["reference"] is None
    assert metrics["experts"] is not None
    assert metrics["missing"] == {}


def test_pictures_label_their_axes_in_the_unit():
    path = np.cumsum(np.random.default_rng(0).normal(size=(20, 3)), axis=0)
    figure = plot_forecast(path[:16], path[16:], PathForecast(path[None, 16:]), unit="unknown")
    labels = {text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel())}
    assert {"x (units)", "y (units)", "distance to the true position (units)"} <= labels
    assert not any("(m)" in text for text in labels)


def test_what_a_model_of_synthetic_motion_was_not_trained_on(root, recordings):
    trained = load_trained(root / "base/best_model.pt", device=CPU)
    own = load_config(ExperimentConfig, root / "base/config.yaml").dataset
    assert training_notes(trained, own) == {}
    notes = training_notes(trained, replace(own, source="files", paths=(str(recordings),)))
    assert notes["not trained on"] == "recordings"
    assert "source files (trained: motions)" in notes["unlike training"]


def test_releases_of_before_recordings_are_judged_on_their_own_data(tmp_path, monkeypatch):
    """Their cards lack the settings that have been added since."""
    monkeypatch.chdir(tmp_path)
    found = named_model(SHIPPED_NAME)
    trained = load_trained(found.path, device=CPU)
    experiment = released_experiment(found.card, ())
    assert default_folder(found.path, trained, experiment).name == "evaluation"
    changed = replace(experiment, dataset=replace(experiment.dataset, seed=9))
    assert default_folder(found.path, trained, changed).name.startswith("evaluation_")


def test_mixed_training_knows_motions_and_files(recordings):
    mixed = ["dataset.source=mixed", "dataset.type_weights={orbital: 1.0}", "dataset.files_weight=0.4"]
    experiment = load_config(
        ExperimentConfig, FINETUNE, [*WINDOW, *MODEL, f"dataset.paths=[{recordings}]", *mixed]
    )
    batch = next(training_batches(experiment, 0))
    assert set(batch.labels.tolist()) == {0, 1, 2}
    windows = evaluation_windows(experiment.dataset, "test", 30)
    assert {name: len(each) for name, each in windows.groups().items()} == {
        "orbital": 18,
        "helical_file": 6,
        "slow": 6,
        "mixed": 30,
    }
    assert (windows.unit, windows.dt) == ("m", experiment.dataset.time_step)
    known = account(experiment.dataset)
    assert known is not None
    assert "ft are converted to metres" in known["notes"][0]
    assert set(known["windows"]) == {"helical_file", "slow"}


def test_a_demonstration_of_a_fine_tuned_model_shows_the_recordings(root, tmp_path, capsys):
    assert demo.main([str(root / "tuned"), "--output", str(tmp_path), "--device", "cpu"]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"demo_prediction_{kind}.png" for kind in ("slow", "helical_file", "grid")}
    assert demo.main([str(root / "tuned"), "--output", str(tmp_path), "--animate", "gif"]) == 2
    assert "trained on recordings" in capsys.readouterr().err


def test_the_shipped_configuration_fine_tunes_the_shipped_model(tmp_path):
    write(tmp_path / "long.json", wave(1.0, seconds=120.0))
    few = ["training.max_steps=1", "training.batch_size=8", "evaluation.validation_windows=8", QUIET]
    few += ["dataset.windows_per_block=64"]
    assert (
        tune(tmp_path, tmp_path / "long.json", "mine", *few, init=("--init-from", "shipped"), settings=())
        == 0
    )
    config = load_config(ExperimentConfig, tmp_path / "mine/config.yaml")
    shipped = load_initial("shipped")
    assert config.init_from == SHIPPED_NAME
    assert config.init_weights == fingerprint(shipped.state_dict())
    assert config.model.dim == shipped.config.dim
    assert config.model.experts.tied_steps == 600
    assert not load_model(tmp_path / "mine/final_model.pt").blocks[0].feed_forward.experts.tied


def test_studies_leave_configurations_out_that_need_files_or_a_model():
    assert Path(FINETUNE).is_file()
    assert "finetune_recordings" not in shipped_configs()
    assert "finetune_recordings" not in {trial.config for trial in make_plan().trials}
    with pytest.raises(ConfigError, match="no configuration 'finetune_recordings'"):
        make_plan(["finetune_recordings"])
