"""Evaluations in which something is broken or missing: the message says what, and the rest is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from examples.trajectory_3d import evaluation_run
from examples.trajectory_3d.cli import evaluate
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.dashboard import plot_dashboard
from examples.trajectory_3d.evaluation import EvaluationSet
from examples.trajectory_3d.evaluation import evaluate as evaluate_forecasters
from examples.trajectory_3d.evaluation_folder import PICTURES
from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.report.payload import skill_claims
from examples.trajectory_3d.run_folder import config_hash
from examples.trajectory_3d.weights import folder as weights_folder
from examples.trajectory_3d.windows import evaluation_windows
from m.checkpoint import load_checkpoint, load_model, save_checkpoint, save_model
from m.config import ConfigError, load_config, to_dict, write_yaml
from m.moe import MoESequenceRegressor
from m.release import save_release

QUICK = Path(__file__).parents[2] / "examples/trajectory_3d/configs/quick_test_3d.yaml"
TINY = [
    "model.dim=16",
    "model.n_layers=1",
    "model.attention.n_heads=2",
    "model.experts.hidden_dim=16",
    "dataset.windows_per_block=64",
    "dataset.type_weights={helical: 0.5, lorenz: 0.5}",
    "evaluation.test_windows=12",
    "evaluation.samples=3",
]
BASELINES = ["last value", "constant velocity", "constant acceleration"]


@pytest.fixture
def run(tmp_path) -> Path:
    """A run's folder, its model fresh from initialisation."""
    experiment = load_config(ExperimentConfig, QUICK, TINY)
    folder = tmp_path / "run"
    folder.mkdir()
    write_yaml(folder / "config.yaml", to_dict(experiment))
    torch.manual_seed(0)
    save_model(
        folder / "best_model.pt",
        MoESequenceRegressor(experiment.model),
        config=to_dict(experiment.model),
        metadata={"dataset": to_dict(experiment.dataset)},
    )
    return folder


@pytest.fixture
def no_pictures(monkeypatch):
    """Pictures take seconds, and most tests look at the scores alone."""
    monkeypatch.setattr(evaluation_run.Writing, "pictures", lambda *_: None)
    monkeypatch.setattr(evaluation_run, "draw_median_forecasts", lambda *_, **__: [])


def spoil(run: Path, name: str, rows: slice) -> None:
    """Make some of the model's weights NaN."""
    content = load_checkpoint(run / "best_model.pt")
    content["model"][name][rows] = float("nan")
    del content["format"], content["version"]
    save_checkpoint(run / "best_model.pt", content)


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def summary(folder: Path) -> str:
    return (folder / "evaluation_summary.txt").read_text()


def test_a_model_whose_forecasts_are_not_finite_leaves_the_baselines_their_scores(run, capsys):
    spoil(run, "head.projection.bias", slice(None))
    assert evaluate.main([str(run)]) == 1
    shown = capsys.readouterr()
    assert "'MoE run' returned a position that is not finite for window 0" in shown.err
    assert "for 12 of 12 windows (helical " in shown.err
    assert str(run / "evaluation") in shown.err
    assert "constant velocity" in shown.out
    found = metrics(run / "evaluation")
    assert [scores["name"] for scores in found["forecasters"]] == BASELINES
    assert "not finite" in found["failed"]["MoE run"]
    text = summary(run / "evaluation")
    assert text.startswith("Evaluation of MoE run\n")
    assert "broken weights" in text
    assert "the first head.projection.bias" in text
    assert "no scores of MoE run" in (run / "evaluation/report.html").read_text()
    assert not list((run / "evaluation").glob("prediction_*"))


def windows_by_expert(run: Path) -> list[int]:
    """How many of the test windows each expert of the only layer serves."""
    experiment = load_config(ExperimentConfig, run / "config.yaml", [])
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    chosen = load_model(run / "best_model.pt").forecast(windows.context, 1).routing.layers[0].experts
    return [int((chosen == expert).flatten(1).any(1).sum()) for expert in range(4)]


def test_windows_without_a_finite_forecast_are_counted(run, no_pictures, capsys):
    served = windows_by_expert(run)
    some = next(expert for expert, count in enumerate(served) if 0 < count < 12)
    spoil(run, "blocks.0.feed_forward.experts.w_in", slice(some, some + 1))
    assert evaluate.main([str(run)]) == 1
    message = capsys.readouterr().err
    count = int(message.split("such forecasts for ")[1].split()[0])
    assert count == served[some]


def test_without_anything_to_report_the_work_has_failed(run, capsys):
    spoil(run, "head.projection.bias", slice(None))
    assert evaluate.main([str(run), "--baselines", "none"]) == 1
    assert "not finite" in capsys.readouterr().err
    assert not list((run / "evaluation").iterdir())


def test_an_expert_analysis_that_fails_leaves_the_scores(run, no_pictures, monkeypatch, capsys):
    seen = []

    def fail(*_, **__):
        seen.append(metrics(run / "evaluation"))  # scores are on disk before the long work begins
        raise ValueError("no luck")

    monkeypatch.setattr(evaluation_run, "analyse_experts", fail)
    assert evaluate.main([str(run)]) == 1
    assert "expert analysis: ValueError: no luck" in capsys.readouterr().err
    assert seen[0]["forecasters"][0]["name"] == "MoE run"
    assert "stopped before" in seen[0]["missing"]["expert analysis"]
    found = metrics(run / "evaluation")
    assert found["missing"] == {"expert analysis": "ValueError: no luck"}
    assert found["forecasters"] == seen[0]["forecasters"]
    assert "no expert analysis" in summary(run / "evaluation")


def test_a_picture_and_a_page_that_fail_leave_everything_else(run, monkeypatch, tmp_path, capsys):
    for name in PICTURES[1:]:
        function = {"rank_histogram": "plot_rank_histograms", "expert_specialisation": "plot_specialisation"}
        function |= {"trajectory_analysis_dashboard": "plot_dashboard", "expert_worth": "plot_worth"}
        monkeypatch.setattr(evaluation_run, function.get(name, f"plot_{name}"), lambda *_: None)
    monkeypatch.setattr(evaluation_run, "draw_median_forecasts", lambda *_, **__: [])
    (tmp_path / "out/report.html").mkdir(parents=True)
    assert evaluate.main([str(run), "--output", str(tmp_path / "out")]) == 1
    assert "report.html: IsADirectoryError: Is a directory. Everything else" in capsys.readouterr().err
    assert metrics(tmp_path / "out")["missing"] == {"report.html": "IsADirectoryError: Is a directory"}
    assert (tmp_path / "out/metrics_comparison.png").is_file()


def test_oracles_that_cannot_be_fitted_leave_the_scores(run, no_pictures, capsys):
    code = evaluate.main([str(run), "--oracle", "dataset.sequence_length=2"])
    assert code == 1
    assert "oracles: ValueError: context must have shape" in capsys.readouterr().err
    (folder,) = run.glob("evaluation_*")
    assert len(metrics(folder)["forecasters"]) == 4


def test_an_evaluation_replaces_an_earlier_one_wholly(run, monkeypatch, tmp_path):
    monkeypatch.setattr(evaluation_run, "draw_median_forecasts", lambda *_, **__: [])
    monkeypatch.setattr(evaluation_run.Writing, "pictures", lambda *_: None)
    stale = ["prediction_lorenz.png", "prediction_helical.png", "prediction_grid.png", "expert_worth.png"]
    foreign = ["prediction_of_mine.png", "notes.txt"]
    for name in (*stale, "report.html", *foreign):
        (tmp_path / name).write_text("old")
    assert evaluate.main([str(run), "--output", str(tmp_path), "dataset.type_weights={helical: 1}"]) == 0
    left = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert left == {*foreign, "evaluation_summary.txt", "metrics.json"}
    assert metrics(tmp_path)["missing"] == {}


def test_an_evaluation_that_fails_leaves_an_earlier_one(run, tmp_path):
    (tmp_path / "report.html").write_text("old")
    spoil(run, "head.projection.bias", slice(None))
    assert evaluate.main([str(run), "--output", str(tmp_path), "--baselines", "none"]) == 1
    assert (tmp_path / "report.html").read_text() == "old"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    run, place, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(evaluation_run, "evaluate", lambda *_, **__: pytest.fail("worked in vain"))
    assert evaluate.main([str(run), "--output", str(tmp_path / place)]) == 2
    assert "choose another folder with --output" in capsys.readouterr().err


def test_what_training_did_not_have_is_named(run, no_pictures, tmp_path):
    changes = ["dataset.type_weights={ballistic: 0.5, helical: 0.5, lorenz: 0}", "dataset.sampling_rate=200"]
    assert evaluate.main([str(run), "--output", str(tmp_path), *changes]) == 0
    text = " ".join(summary(tmp_path).split())
    assert "not trained on ballistic" in text
    assert "unlike training sampling_rate 200.0 (trained: 50.0) " in text
    assert "no windows of lorenz" in text
    assert evaluate.main([str(run), "--output", str(tmp_path), "evaluation.test_windows=1"]) == 0
    assert "trained" not in summary(tmp_path)


@pytest.mark.parametrize("horizon", [1, 2])
def test_a_horizon_shorter_than_the_heads_is_evaluated(run, no_pictures, horizon, tmp_path):
    code = evaluate.main([str(run), "--output", str(tmp_path), f"dataset.prediction_length={horizon}"])
    assert code == 0
    found = metrics(tmp_path)
    assert found["horizon"] == horizon
    assert found["forecasters"][0]["groups"]["mixed"]["metrics"]["acceleration_error"] is None


def test_options_of_training_are_said_to_change_nothing(run, no_pictures, capsys):
    assert evaluate.main([str(run), "model.dropout=0.5"]) == 0
    assert "note: model.dropout=0.5 changes nothing" in capsys.readouterr().err


def test_contexts_without_a_spread_are_drawn_and_told_as_far_as_they_go(tmp_path):
    """One observed point has no spread, and a perfect forecast no error: no axis has anything above zero."""
    truth = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0)).double().numpy()
    windows = EvaluationSet(truth[:, :1], truth, torch.zeros(6, dtype=torch.int64).numpy(), ("helical",), 0.1)

    class Perfect:
        name = "perfect"

        def forecast(self, context, horizon):
            return PathForecast(truth)

    result = evaluate_forecasters([Perfect()], windows)
    errors = position_error(truth, truth)
    save_figure(plot_dashboard(result, windows, errors), tmp_path / "dashboard.png")
    assert "nan" not in " ".join(skill_claims(result))


def test_a_run_that_stopped_before_its_first_model_says_how_to_go_on(run, capsys):
    (run / "best_model.pt").rename(run / "training_state.pt")
    assert evaluate.main([str(run)]) == 2
    message = capsys.readouterr().err
    assert "stopped before the first validation" in message
    assert (
        f"trajectory-3d-train {run / 'config.yaml'} --name run --output-root {run.parent} --resume" in message
    )
    assert evaluate.main([str(run / "training_state.pt")]) == 2
    assert "is what a training resumes from" in capsys.readouterr().err


def test_the_final_model_stands_in_for_a_missing_best_one(run, no_pictures):
    (run / "best_model.pt").rename(run / "final_model.pt")
    assert evaluate.main([str(run)]) == 0
    assert metrics(run / "evaluation")["model"] == str(run / "final_model.pt")


def test_a_link_to_a_model_that_is_gone_is_no_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs/trajectory_3d/run"
    folder.mkdir(parents=True)
    (folder / "best_model.pt").symlink_to("absent.pt")
    assert evaluate.main(["--latest"]) == 2
    assert "no trained model below" in capsys.readouterr().err


def test_a_broken_configuration_beside_the_model_does_not_stop_another_one(run, no_pictures):
    (run / "config.yaml").rename(run / "good.yaml")
    (run / "config.yaml").write_text("model: [")
    assert evaluate.main([str(run), str(run / "good.yaml")]) == 0
    data = to_dict(load_config(ExperimentConfig, run / "good.yaml").dataset)
    assert (run / f"evaluation_{config_hash(data)}/metrics.json").is_file()
    assert evaluate.main([str(run)]) == 2


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_noise_beyond_all_numbers_is_a_wrong_request(run, capsys):
    assert evaluate.main([str(run), "dataset.noise_std=1e39"]) == 2
    assert "not finite" in capsys.readouterr().err


SHIPPED_FEW = ["evaluation.test_windows=4", "evaluation.samples=2", "dataset.windows_per_block=64"]


@pytest.mark.parametrize("spelling", ["name", "folder", "file"])
def test_a_shipped_model_is_evaluated_on_the_data_of_its_card(spelling, tmp_path, no_pictures, monkeypatch):
    """Its own folder may be part of an installation: nothing is written there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluation_run, "analyse_experts", lambda *_, **__: None)
    before = sorted(weights_folder().rglob("*"))
    file = weights_folder() / "model.safetensors"
    model = {"name": "trajectory-3d", "folder": str(file.parent), "file": str(file)}[spelling]
    assert evaluate.main([model, *SHIPPED_FEW]) == 0
    assert sorted(weights_folder().rglob("*")) == before
    (folder,) = (tmp_path / "outputs/trajectory_3d/released/trajectory-3d").iterdir()
    found = metrics(folder)
    assert found["forecasters"][0]["name"] == "MoE trajectory-3d"
    assert found["dataset"]["sampling_rate"] == 50.0
    assert "trained" not in summary(folder)


def test_a_release_without_a_card_needs_a_configuration(run, no_pictures, tmp_path, capsys):
    experiment = load_config(ExperimentConfig, run / "config.yaml")
    save_release(tmp_path / "bare", MoESequenceRegressor(experiment.model))
    assert evaluate.main([str(tmp_path / "bare")]) == 2
    assert "name a configuration after the model" in capsys.readouterr().err
    (tmp_path / "bare/card.json").write_text("{}")
    assert evaluate.main([str(tmp_path / "bare")]) == 2
    assert "no model card" in capsys.readouterr().err
    output = ["--output", str(tmp_path / "out")]
    (tmp_path / "bare/card.json").unlink()
    assert evaluate.main([str(tmp_path / "bare"), str(run / "config.yaml"), *output]) == 0


def test_training_still_refuses_a_head_longer_than_the_horizon():
    with pytest.raises(ConfigError, match="exceeds dataset.prediction_length 1"):
        load_config(ExperimentConfig, QUICK, ["dataset.prediction_length=1"])
