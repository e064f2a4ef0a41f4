"""Is a release folder the model that its card describes? Computed apart from the code that wrote the card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import fixed_set
from m import load
from m.config import from_dict


def assert_folder_matches_its_card(folder: Path) -> None:
    """The files are the described ones and small; the figures come out again on the same windows."""
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    weights = (folder / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card["weights"]["sha256"]
    assert len(weights) == card["weights"]["bytes"] <= 16_000_000
    check = card["check"]
    dataset = from_dict(DatasetConfig, card["dataset"])
    windows = fixed_set(dataset, "test", check["windows"], seed=dataset.evaluation_seed)
    context, targets = windows.context.numpy().astype(float), windows.targets.numpy().astype(float)
    forecast = load(folder).forecast(context, targets.shape[1])
    errors = np.sqrt(((forecast.mean - targets) ** 2).sum(-1)).mean(1)  # [N]
    relative = errors / np.sqrt(context.var(axis=1).mean(axis=-1))
    kinds = windows.type_ids.numpy()
    groups = {name: kinds == i for i, name in enumerate(windows.type_names) if (kinds == i).any()}
    gn = {name: np.exp(np.log(relative[rows]).mean()) for name, rows in groups.items()}
    gn["mixed"] = np.exp(np.log(list(gn.values())).mean())  # every type counts the same
    groups["mixed"] = np.ones(len(errors), dtype=bool)
    assert set(check["position_error"]) == set(groups)
    for name, rows in groups.items():
        np.testing.assert_allclose(
            errors[rows].mean(), check["position_error"][name], rtol=1e-3, err_msg=name
        )
        np.testing.assert_allclose(gn[name], check["gn"][name], rtol=1e-3, err_msg=name)
    _assert_interval_holds(card, errors, forecast, targets)


def _assert_interval_holds(card, errors, forecast, targets) -> None:
    """The main table is of more windows of the same stream, so it must agree within chance."""
    scores = card["evaluation"]["forecasters"][0]["groups"]["mixed"]
    spread = errors.std() / np.sqrt(len(errors))
    assert abs(errors.mean() - scores["metrics"]["position_error"]) < 5 * spread
    inside = (forecast.quantile(0.1) <= targets) & (targets <= forecast.quantile(0.9))
    assert abs(inside.mean() - scores["uncertainty"]["coverage"]) < 5 * inside.mean((1, 2)).std() / np.sqrt(
        len(inside)
    )
