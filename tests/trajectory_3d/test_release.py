"""From a run to a release: small, measured as it ships, and described by a card that comes out again."""

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
from release_checks import assert_folder_matches_its_card

from examples.trajectory_3d.cli import release as command
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.release import ReleaseError, build_release
from examples.trajectory_3d.release import build as build_module
from examples.trajectory_3d.weights import folder as weights_folder
from m import load
from m.checkpoint import CheckpointError, save_model
from m.config import from_dict, to_dict, write_yaml
from m.moe import MoESequenceRegressor

FEW = ("last value", "constant velocity")
TINY = {
    "name": "tiny",
    "model": {
        "dim": 16,
        "n_layers": 1,
        "window": 4,
        "attention": {"n_heads": 2},
        "experts": {"hidden_dim": 16},
        "head": {"prediction_steps": 4},
    },
    "training": {"max_steps": 30, "batch_size": 8},
    "dataset": {
        "sequence_length": 16,
        "prediction_length": 4,
        "windows_per_block": 128,
        "type_weights": {"orbital": 0.5, "helical": 0.5},
    },
    "evaluation": {"test_windows": 70},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """What a run leaves behind. The weights are random: nothing here depends on how good they are."""
    folder = tmp_path_factory.mktemp("outputs") / "tiny"
    experiment = from_dict(ExperimentConfig, TINY)
    torch.manual_seed(0)
    model = MoESequenceRegressor(experiment.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    save_model(folder / "best_model.pt", model, config=to_dict(model.config), step=30)
    write_yaml(folder / "config.yaml", to_dict(experiment))
    write_yaml(
        folder / "training_summary.yaml", {"elapsed_seconds": 90.0, "device": "cpu", "status": "finished"}
    )
    return folder


@pytest.fixture(scope="module")
def released(run) -> Path:
    return build_release(run, windows=60, baselines=FEW)


def test_the_folder_holds_the_model_that_its_card_describes(released, run):
    assert released == run / "release"
    assert sorted(file.name for file in released.iterdir()) == [
        "MODEL_CARD.md",
        "card.json",
        "config.json",
        "model.safetensors",
    ]
    assert_folder_matches_its_card(released)


def test_a_card_of_another_model_is_noticed(released, run, tmp_path):
    for name in ("card.json", "config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((released / name).read_bytes())
    card = json.loads((tmp_path / "card.json").read_text())
    card["check"]["position_error"]["mixed"] *= 1.01
    (tmp_path / "card.json").write_text(json.dumps(card))
    with pytest.raises(AssertionError, match="mixed"):
        assert_folder_matches_its_card(tmp_path)


def test_the_card_says_what_was_trained_and_measured(released):
    card = json.loads((released / "card.json").read_text())
    assert card["training"]["steps"] == 30
    assert card["training"]["windows_seen"] == 240
    assert card["training"]["elapsed_seconds"] == 90
    assert card["weights"]["dtype"] == "float16"
    model = load(released)
    assert card["model"]["total_parameters"] == sum(each.numel() for each in model.parameters())
    assert [(each["context"], each["horizon"]) for each in card["conditions"]] == [
        (4, 4), (8, 4), (16, 4), (32, 4), (128, 4), (16, 8), (16, 16),
    ]  # fmt: skip
    own, *baselines = card["evaluation"]["forecasters"]
    assert own["name"] == "trajectory-3d"
    assert tuple(each["name"] for each in baselines) == FEW
    # Half precision has 11 significant bits: forecasts move by far less than the error.
    assert 0 < card["rounding"]["mean_difference"] < 0.05 * card["rounding"]["position_error_as_trained"]
    assert "command" not in card["environment"]


def test_the_text_shows_the_figures_of_the_card(released):
    card = json.loads((released / "card.json").read_text())
    text = (released / "MODEL_CARD.md").read_text(encoding="utf-8")
    for forecaster in card["evaluation"]["forecasters"]:
        assert forecaster["name"] in text
        for group in ("orbital", "helical", "mixed"):
            assert f"{forecaster['groups'][group]['metrics']['position_error']:.4g}" in text
    for each in card["conditions"]:
        assert f"| {each['context']} | {each['horizon']} | {each['position_error']:.4g} |" in text
    assert card["weights"]["sha256"] in text
    assert "in 2 minutes on cpu" in text
    assert "None" not in text


def test_bfloat16_rounds_coarser(run, released, tmp_path):
    folder = build_release(run, tmp_path, "bfloat16", windows=60, baselines=FEW)
    assert folder == tmp_path
    coarse, fine = (json.loads((each / "card.json").read_text())["rounding"] for each in (folder, released))
    assert coarse["mean_difference"] > 2 * fine["mean_difference"]
    assert coarse["position_error_as_trained"] == fine["position_error_as_trained"]


def test_a_model_too_large_for_a_release_is_refused_before_it_is_measured(run, tmp_path, monkeypatch):
    monkeypatch.setattr(build_module, "MAX_BYTES", 1000)
    with pytest.raises(
        ReleaseError, match=r"MB of weights in half precision, a release may hold .*model\.dim"
    ):
        build_release(run, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_build_that_fails_leaves_the_old_release(released, run, monkeypatch):
    before = {file.name: file.read_bytes() for file in released.iterdir()}

    def crash(**_: object) -> None:
        raise CheckpointError("stop")

    monkeypatch.setattr(build_module, "make_card", crash)
    with pytest.raises(CheckpointError, match="stop"):
        build_release(run, windows=20)
    assert {file.name: file.read_bytes() for file in released.iterdir()} == before


def test_the_command_reports_wrong_requests_in_one_line(run, tmp_path, capsys):
    assert command.main([str(tmp_path / "nothing")]) == 2
    assert "no model at" in capsys.readouterr().err
    (tmp_path / "best_model.pt").write_bytes((run / "best_model.pt").read_bytes())
    assert command.main([str(tmp_path)]) == 2
    assert "there is no config.yaml beside" in capsys.readouterr().err
    assert command.main([str(run), "--windows", "1"]) == 2
    assert "--windows must be at least 2" in capsys.readouterr().err
    assert command.main([str(run), "--baselines", "none"]) == 2
    assert "name at least one" in capsys.readouterr().err
    assert command.main([str(run), "--baselines", "last valu"]) == 2
    assert "did you mean 'last value'" in capsys.readouterr().err
    with pytest.raises(ReleaseError, match="float16 or bfloat16, got 'float8'"):
        build_release(run, dtype="float8")  # type: ignore[arg-type]


def test_the_command_answers_help_without_torch():
    code = (
        "import sys\nfrom examples.trajectory_3d.cli.release import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


def test_the_command_writes_where_it_is_told(run, tmp_path, capsys):
    assert command.main([str(run), "--output", str(tmp_path / "out"), "--baselines", "last-value"]) == 0
    assert json.loads((tmp_path / "out/card.json").read_text())["evaluation"]["num_windows"] == 70
    assert str(tmp_path / "out") in capsys.readouterr().out
    forecast = load(tmp_path / "out").forecast(np.linspace(0, 1, 48).reshape(16, 3), 9)
    assert forecast.mean.shape == (9, 3)
    assert torch.is_grad_enabled()


def test_other_conditions_can_be_measured_again(released, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(released, copy)
    before = json.loads((copy / "card.json").read_text())
    spoiled = before | {"conditions": [each | {"position_error": 99.0} for each in before["conditions"]]}
    (copy / "card.json").write_text(json.dumps(spoiled))
    assert command.main([str(copy), "--measure-again", "--baselines", ",".join(FEW)]) == 0
    after = json.loads((copy / "card.json").read_text())
    for each, same in zip(after["conditions"], before["conditions"], strict=True):
        assert each["position_error"] == pytest.approx(same["position_error"], rel=1e-6)
        assert (each["context"], each["horizon"]) == (same["context"], same["horizon"])
    assert {**after, "conditions": 0} == {**before, "conditions": 0}
    assert "99.0" not in (copy / "MODEL_CARD.md").read_text()
    assert "card.json" in capsys.readouterr().out
    assert command.main([str(tmp_path), "--measure-again"]) == 2  # no card there


def test_the_weights_folder_lies_in_the_package():
    assert (weights_folder() / "__init__.py").is_file()
    assert os.fspath(weights_folder()).endswith("weights")
