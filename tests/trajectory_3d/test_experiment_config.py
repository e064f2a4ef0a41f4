"""The shipped configurations, overrides on the command line, and finding models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.trajectory_3d.cli.options import split_overrides
from examples.trajectory_3d.config import ExperimentConfig, check_run_name
from examples.trajectory_3d.model_discovery import ModelNotFoundError, find_models, latest_model, model_at
from m.config import ConfigError, from_dict, load_config, to_dict

CONFIGS = Path(__file__).parents[2] / "examples/trajectory_3d/configs"


@pytest.mark.parametrize(
    ("name", "layers", "experts", "dim", "steps"),
    [
        ("quick_test_3d", 2, 4, 64, 1_000),
        ("small_3d_moe", 4, 8, 256, 20_000),
        ("wide_3d_moe", 4, 8, 256, 12_000),
        ("large_3d_moe", 8, 32, 1024, 50_000),
    ],
)
def test_shipped_configurations_are_what_the_documentation_says(name, layers, experts, dim, steps):
    config = load_config(ExperimentConfig, CONFIGS / f"{name}.yaml")
    assert config.name == name
    assert (config.model.n_layers, config.model.router.n_experts, config.model.dim) == (layers, experts, dim)
    assert config.training.max_steps == steps
    # A token for a whole context costs little: larger batches for the same compute.
    assert config.training.batch_size == {"quick_test_3d": 256, "large_3d_moe": 32}.get(name, 1024)
    assert config.training.gradient_clip_norm == 1.0
    assert config.model.head.prediction_steps == config.dataset.prediction_length
    assert from_dict(ExperimentConfig, to_dict(config)) == config


def test_a_trajectory_model_is_three_dimensional():
    with pytest.raises(ConfigError, match="maps 3 coordinates to 3"):
        from_dict(ExperimentConfig, {"model": {"input_dim": 4}})


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a..b", "-x", "a b", "x\n"])
def test_run_names_cannot_leave_the_outputs_folder(name):
    with pytest.raises(ValueError, match="must start with a letter or digit"):
        check_run_name(name)


KEYS = st.from_regex(r"[a-z_]+(\.[a-z_]+)+", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9.]+", fullmatch=True)


@given(KEYS, VALUES)
def test_the_three_spellings_of_an_override_mean_the_same(key, value):
    spellings = ([f"{key}={value}"], [f"--{key}={value}"], [f"--{key}", value])
    for tokens in spellings:
        assert split_overrides(["CONFIG", *tokens, "--resume"]) == (
            ["CONFIG", "--resume"],
            [f"{key}={value}"],
        )


def test_the_latest_model_is_the_one_improved_last(tmp_path):
    for age, name in ((30, "old"), (10, "new"), (20, "deep/nested")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "best_model.pt").write_bytes(b"")
        stamp = 1_700_000_000 - age
        os.utime(folder / "best_model.pt", (stamp, stamp))
    assert latest_model(tmp_path).name == "new"
    assert [found.name for found in find_models(tmp_path)] == ["new", "nested", "old"]
    assert model_at(tmp_path / "old").path == tmp_path / "old/best_model.pt"
    assert model_at(tmp_path / "old").config is None
    (tmp_path / "old/config.yaml").write_text("{}")
    assert model_at(tmp_path / "old").config == tmp_path / "old/config.yaml"


def test_no_model_says_how_to_get_one(tmp_path):
    with pytest.raises(ModelNotFoundError, match="trajectory-3d-train"):
        latest_model(tmp_path)
