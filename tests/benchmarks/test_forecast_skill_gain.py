"""The comparison of the mixture with a dense model: fair, repeatable, resumable."""

import json

import pytest
import torch

from benchmarks.forecast_skill.gain import OVERALL, RESULTS, gains, measure_gain, print_gain
from examples.trajectory_3d.config import ExperimentConfig
from m.config import from_dict

CPU = torch.device("cpu")


@pytest.fixture
def experiment():
    return from_dict(
        ExperimentConfig,
        {
            "name": "tiny",
            "model": {
                "dim": 16,
                "n_layers": 1,
                "window": 16,
                "stride": 16,
                "attention": {"n_heads": 2},
                "router": {"n_experts": 4},
                "experts": {"hidden_dim": 16},
                "head": {"prediction_steps": 4},
            },
            "training": {"batch_size": 16, "precision": "fp32"},
            "dataset": {"sequence_length": 16, "prediction_length": 4, "windows_per_block": 64},
            "evaluation": {"test_windows": 60},
        },
    )


def test_both_models_run_once_for_each_seed_with_equal_active_parameters(experiment, tmp_path):
    content = measure_gain(experiment, 3, [0, 1], tmp_path, CPU)
    runs = content["runs"]
    assert [(run["model"], run["seed"]) for run in runs] == [
        ("moe", 0),
        ("dense", 0),
        ("moe", 1),
        ("dense", 1),
    ]
    moe, dense = runs[0], runs[1]
    assert moe["active_parameters"] - dense["active_parameters"] == 16 * 4  # the router
    # Another seed is another run; the same seed in another folder is the same run.
    assert runs[0]["scores"] != runs[2]["scores"]
    again = measure_gain(experiment, 3, [1], tmp_path / "again", CPU)["runs"]
    assert [run["scores"] for run in again] == [run["scores"] for run in runs[2:]]
    print_gain(content)


def test_finished_runs_are_kept_and_another_setup_is_refused(experiment, tmp_path):
    measure_gain(experiment, 2, [0], tmp_path, CPU)
    path = tmp_path / RESULTS
    content = json.loads(path.read_text())
    content["runs"][0]["scores"]["gn"] = 123.0  # would be gone if the run were done again
    path.write_text(json.dumps(content))
    runs = measure_gain(experiment, 2, [0, 1], tmp_path, CPU)["runs"]
    assert runs[0]["scores"]["gn"] == 123.0
    assert len(runs) == 4
    with pytest.raises(ValueError, match="another set-up"):
        measure_gain(experiment, 3, [0], tmp_path, CPU)


def test_a_dense_configuration_has_nothing_to_measure(experiment, tmp_path):
    dense = from_dict(ExperimentConfig, {"name": "dense", "model": {"router": {"kind": "dense"}}})
    with pytest.raises(ValueError, match="no experts"):
        measure_gain(dense, 2, [0], tmp_path, CPU)


def test_gains_are_ratios_within_a_seed():
    def run(model, seed, gn):
        return {"model": model, "seed": seed, "scores": {"gn": gn, "gn_by_type": {"helical": 2 * gn}}}

    runs = [
        run("moe", 0, 0.1),
        run("dense", 0, 0.2),
        run("moe", 1, 0.3),
        run("dense", 1, 0.4),
        run("moe", 2, 9),
    ]
    assert gains(runs)[OVERALL] == pytest.approx([0.5, 0.75])
    assert gains(runs)["helical"] == pytest.approx([0.5, 0.75])
