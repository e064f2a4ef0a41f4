"""``trajectory-3d-eval`` with chosen baselines, with oracles, and without a model."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import pytest

from examples.trajectory_3d.cli import evaluate
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.run_folder import config_hash
from m.config import load_config, to_dict

SMALL = str(Path(__file__).parents[2] / "examples/trajectory_3d/configs/small_3d_moe.yaml")
FEW = [
    "evaluation.test_windows=24",
    "dataset.windows_per_block=64",
    "dataset.type_weights={helical: 0.5, orbital: 0.5}",
]


def test_classical_forecasters_alone(tmp_path, capsys):
    code = evaluate.main(
        ["--no-model", SMALL, "--baselines", "kalman-constant-velocity,last_value", "--oracle",
         "--output", str(tmp_path), *FEW]
    )  # fmt: skip
    assert code == 0
    shown = capsys.readouterr().out
    for words in ("gn by motion type", "last value", "kalman", "oracle", "Coverage in %"):
        assert words in shown
    document = json.loads((tmp_path / "metrics.json").read_text())
    assert [f["name"] for f in document["forecasters"]] == ["kalman constant velocity", "last value"]
    assert document["model"] == "none"
    assert document["reference"]["name"] == "oracle"
    # Who knows the equations is ahead of who stays where he is.
    assert document["forecasters"][1]["groups"]["helical"]["reference_ratio"]["mean"] > 3
    assert (tmp_path / "evaluation_summary.txt").read_text().isascii()
    for name in ("metrics_comparison", "error_per_step", "coverage_per_step", "rank_histogram"):
        pixels = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert pixels[..., :3].std() > 0.02, f"{name} is blank"


def test_the_usual_baselines_are_the_default_and_the_folder_is_named_by_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert evaluate.main(["--no-model", SMALL, *FEW]) == 0
    experiment = load_config(ExperimentConfig, SMALL, FEW)
    folder = tmp_path / "outputs/trajectory_3d/classical" / config_hash(to_dict(experiment.dataset))
    names = [scores["name"] for scores in json.loads((folder / "metrics.json").read_text())["forecasters"]]
    assert names == ["last value", "constant velocity", "constant acceleration"]
    # None of them states a distribution: there are no pictures of one.
    assert {path.stem for path in folder.glob("*.png")} == {
        "metrics_comparison",
        "error_per_step",
        "trajectory_analysis_dashboard",
    }
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-model", SMALL, "--baselines", "kalman"], "--baselines: unknown baseline 'kalman'"),
        (["--no-model", SMALL, "--baselines", "none"], "nothing to evaluate"),
        (["--no-model"], "--no-model takes one configuration"),
        (["--no-model", SMALL, "--latest"], "--no-model takes one configuration"),
        (["--no-model", "model.pt", SMALL], "--no-model takes one configuration"),
        (["--no-model", SMALL, "--device", "cpu"], "--device chooses where a model runs"),
    ],
)
def test_requests_that_mean_nothing_are_refused(arguments, message, capsys):
    assert evaluate.main(arguments) == 2
    assert message in capsys.readouterr().err
