"""From a run's folder to a release: round the weights, measure what was rounded, write the card."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from examples.trajectory_3d.baselines import make_baselines
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.model_discovery import FoundModel, model_at
from examples.trajectory_3d.release.card import make_card
from examples.trajectory_3d.release.card_text import render_card
from examples.trajectory_3d.release.conditions import measure_conditions
from examples.trajectory_3d.trained_model import released_experiment
from examples.trajectory_3d.weights import DEFAULT_NAME
from m.checkpoint import load_checkpoint, load_model, write_text_atomic
from m.checkpoint.safetensors import CONFIG_NAME, WEIGHTS_NAME
from m.config import ConfigError, load_config
from m.moe import MoESequenceRegressor
from m.release import half_precision, load, save_release

MAX_BYTES = 16_000_000
CARD_JSON = "card.json"
CARD_TEXT = "MODEL_CARD.md"
DEFAULT_FOLDER = "release"

HalfPrecision = Literal["float16", "bfloat16"]
_DTYPES: dict[str, torch.dtype] = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class ReleaseError(ConfigError):
    """A run that cannot be released as asked; says why and what to do."""


def build_release(
    run_folder: str | Path,
    output: str | Path | None = None,
    dtype: HalfPrecision = "float16",
    *,
    windows: int | None = None,
    baselines: Sequence[str] = ("all",),
    name: str = DEFAULT_NAME,
) -> Path:
    """Write a run's best model for shipping, with figures measured on the very weights that ship.

    Nothing in ``output`` is touched before everything is measured, so an interrupted build never leaves
    new weights beside an old card.

    Args:
        run_folder: of a training run (with ``config.yaml``), or a checkpoint inside it.
        output: folder to write; default ``release/`` inside the run's folder.
        dtype: how matrices are stored.
        windows: test windows to evaluate; default the run's own ``evaluation.test_windows``.
        baselines: classical forecasters that stand beside it in the card, at least one.
        name: under which it is registered for `m.load`.

    Returns:
        The folder, which then holds ``model.safetensors`` (at most 16 MB), ``config.json``, ``card.json``
        and ``MODEL_CARD.md``.

    Raises:
        ModelNotFoundError: no model there.
        ReleaseError: no configuration beside the model, a model that was trained on recordings, more than
            16 MB of weights, an unknown dtype, or no baselines or an unknown one.
        CheckpointError: the checkpoint cannot be read, or a weight is not finite in half precision.
    """
    if dtype not in _DTYPES:
        raise ReleaseError(f"a release is stored as {' or '.join(_DTYPES)}, got {dtype!r}")
    _check_baselines(baselines)
    found = model_at(Path(run_folder))
    experiment = _experiment(found)
    if experiment.dataset.recordings is not None:
        raise ReleaseError(
            f"{found.path} was trained on recordings, and a release's card tells of generated motion alone; "
            "trajectory-3d-deploy ships any model"
        )
    model = load_model(found.path)
    _check_size(model, _DTYPES[dtype], found.path)
    folder = Path(output) if output is not None else found.path.parent / DEFAULT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".release-", dir=folder) as made:
        draft = Path(made)
        save_release(draft, model, dtype=_DTYPES[dtype])
        checkpoint = load_checkpoint(found.path, kind="model")
        card = make_card(
            before=model,
            shipped=load(draft),
            experiment=experiment,
            weights=draft / WEIGHTS_NAME,
            dtype=dtype,
            step=checkpoint["step"],
            run=found.path.parent,
            windows=windows or experiment.evaluation.test_windows,
            baselines=baselines,
            name=name,
        )
        text = json.dumps(card, indent=1, allow_nan=False) + "\n"
        (draft / CARD_JSON).write_text(text, encoding="utf-8")
        (draft / CARD_TEXT).write_text(render_card(card), encoding="utf-8")
        for file in (CARD_JSON, CARD_TEXT, CONFIG_NAME, WEIGHTS_NAME):
            os.replace(draft / file, folder / file)  # noqa: PTH105  (the documented atomic primitive)
    return folder


def measure_again(folder: str | Path, *, baselines: Sequence[str] = ("all",)) -> Path:
    """Put new figures for other contexts and horizons into the card of a release.

    For code that forecasts differently with the same weights; its other figures stay.

    Args:
        folder: of the release.
        baselines: classical forecasters that stand beside it, at least one.

    Returns:
        The folder.

    Raises:
        ConfigError: no card there, or no baselines or an unknown one.
        CheckpointError: the weights cannot be read.
    """
    _check_baselines(baselines)
    path = Path(folder)
    dataset = released_experiment(path / CARD_JSON, ()).dataset
    card = json.loads((path / CARD_JSON).read_text(encoding="utf-8"))
    count = card["conditions"][0]["windows"]
    card["conditions"] = measure_conditions(load(path), make_baselines(baselines), dataset, count)
    write_text_atomic(path / CARD_JSON, json.dumps(card, indent=1, allow_nan=False) + "\n")
    write_text_atomic(path / CARD_TEXT, render_card(card))
    return path


def _experiment(found: FoundModel) -> ExperimentConfig:
    if found.config is None:
        raise ReleaseError(
            f"there is no config.yaml beside {found.path}, so its card could not say what it was trained "
            "on; release a model from its run's folder"
        )
    return load_config(ExperimentConfig, found.config)


def _check_baselines(names: Sequence[str]) -> None:
    try:
        made = make_baselines(names)
    except ValueError as error:
        raise ReleaseError(str(error)) from error
    if not made:
        raise ReleaseError("a card shows the model beside classical forecasters; name at least one")


def _check_size(model: MoESequenceRegressor, dtype: torch.dtype, path: Path) -> None:
    """Refuse early what would be too large: measuring takes a while."""
    tensors = half_precision(model.state_dict(), dtype)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > MAX_BYTES:
        raise ReleaseError(
            f"{path}: {size / 1e6:.1f} MB of weights in half precision, a release may hold "
            f"{MAX_BYTES / 1e6:.0f} MB; train a smaller model (model.dim, model.experts.hidden_dim, "
            "model.router.n_experts)"
        )
