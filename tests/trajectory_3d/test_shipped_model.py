"""The models that are installed with the application do what their cards say."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from release_checks import assert_folder_matches_its_card
from scipy.spatial.transform import Rotation

from benchmarks.real_recordings.__main__ import measure
from examples.trajectory_3d.baselines import make_baselines
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.release import render_card
from examples.trajectory_3d.weights import folder, wide_folder
from examples.trajectory_3d.windows import evaluation_windows
from m import load
from m.release import ENTRY_POINT_GROUP

NAME = "trajectory-3d"
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REGISTERED = PROJECT.get("entry-points", {}).get(ENTRY_POINT_GROUP, {})

WIDE = "trajectory-3d-wide"
FOLDERS = {NAME: folder(), WIDE: wide_folder()}
RECORDINGS = Path(__file__).parents[2] / "../shared/data/real/free"


def test_the_registered_names_mean_the_weights_folders():
    weights = "examples.trajectory_3d.weights"
    assert {NAME: f"{weights}:folder", WIDE: f"{weights}:wide_folder"} == REGISTERED


@pytest.mark.parametrize("name", FOLDERS)
def test_it_reproduces_the_figures_of_its_card(name):
    assert_folder_matches_its_card(FOLDERS[name])


@pytest.mark.parametrize("name", FOLDERS)
def test_its_text_was_written_from_its_card(name):
    card = json.loads((FOLDERS[name] / "card.json").read_text(encoding="utf-8"))
    assert (FOLDERS[name] / "MODEL_CARD.md").read_text(encoding="utf-8") == render_card(card)
    assert card["evaluation"]["forecasters"][0]["name"] == name


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not here")
def test_the_wide_one_leads_on_most_recordings_without_having_seen_any():
    """Against the two single classical forecasters that did best over all recordings."""
    rivals = ("ridge-autoregression", "kalman-constant-velocity")
    forecasters = [ModelForecaster(load(WIDE), WIDE), *make_baselines(rivals)]
    results, _ = measure(RECORDINGS, forecasters, 40)
    gn = np.array([[score.gn for score in result.scores] for result in results])  # [recordings, forecasters]
    assert len(gn) >= 25
    for rival in (1, 2):
        assert (gn[:, 0] < gn[:, rival]).mean() > 0.5
    coverage = np.mean([result.scores[0].coverage for result in results])
    assert 0.7 < coverage < 0.9


def test_it_beats_every_classical_forecaster_of_its_card_on_every_type():
    card = json.loads((folder() / "card.json").read_text(encoding="utf-8"))
    own, *others = card["evaluation"]["forecasters"]
    assert others
    for group, figures in own["groups"].items():
        for other in others:
            rival = other["groups"][group]["metrics"]["position_error"]
            assert figures["metrics"]["position_error"] < rival, (group, other["name"])


def test_moved_turned_reflected_and_scaled_paths_are_forecast_alike():
    """By construction, to rounding: satellites in metres and cells in millimetres are the same problem."""
    windows = evaluation_windows(DatasetConfig(sampling_rate=50.0), "test", 100)
    context = windows.context.astype(np.float64)
    model = load(NAME)
    plain = model.forecast(context, 16).mean
    size = np.abs(plain - context[:, -1:]).mean()
    turn = Rotation.random(random_state=0).as_matrix()
    reflect = np.diag([1.0, -1.0, 1.0])
    for change, scale, shift in [
        (turn, 1.0, 0.0),
        (reflect, 1.0, 0.0),
        (turn, 1e-3, 2.0),
        (reflect, 1e3, 7e6),
    ]:
        changed = model.forecast(scale * context @ change.T + shift, 16).mean
        back = (changed - shift) / scale @ change
        assert np.abs(back - plain).mean() < 1e-4 * size


def test_longer_contexts_than_trained_are_forecast_as_well():
    conditions = json.loads((folder() / "card.json").read_text(encoding="utf-8"))["conditions"]
    by_context = {row["context"]: row for row in conditions if row["horizon"] == 16}
    for context, row in by_context.items():
        # With 512 points classical fits have more to go by than the last 64, which are all the model reads.
        if context <= 128:
            assert row["position_error"] < row["best_baseline_error"]
        if context > 64:  # windows of another stream, so not to the percent
            assert row["gn"] < 1.2 * by_context[64]["gn"]


def test_it_forecasts_right_after_installation():
    """By name, as a user does: a helix seen in float64, far from the origin, in kilometres.

    A turn takes 160 points, as the card's data has it (83 to 250).
    """
    angle = np.linspace(0.0, np.pi, 64 + 16)
    circle = np.stack([np.cos(angle), np.sin(angle), 0.2 * angle], axis=1) + 6371.0
    forecast = load(NAME).forecast(circle[:64], 16)
    assert forecast.mean.shape == (16, 3)
    error = np.linalg.norm(forecast.mean - circle[64:], axis=1).mean()
    straight = circle[63] + (circle[63] - circle[62]) * np.arange(1, 17)[:, None]
    assert error < 0.5 * np.linalg.norm(straight - circle[64:], axis=1).mean()
    low, high = forecast.quantile(0.1), forecast.quantile(0.9)
    assert (low < high).all()
    assert forecast.sample(5).shape == (5, 16, 3)
