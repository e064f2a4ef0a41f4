"""A trained model as an evaluation needs it: loaded, named, and with what is known of its training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from examples.trajectory_3d.config import ExperimentConfig, experiment_to_judge
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.model_discovery import RELEASE_CARD, RELEASE_WEIGHTS, FoundModel
from m.checkpoint import load_checkpoint
from m.config import ConfigError, load_config, to_dict
from m.moe import MoESequenceRegressor
from m.release import load

# Which windows are drawn, and how fast, not what they are like; types have a note of their own.
_NOT_COMPARED = frozenset({"seed", "evaluation_seed", "num_workers", "windows_per_block", "type_weights"})


@dataclass(frozen=True)
class TrainedModel:
    """A model and where it comes from.

    Attributes:
        model: in eval mode.
        name: of its run; of a release, the name on its card.
        dataset: settings of the data it was trained on; None when nothing beside or inside the file says.
        is_release: whether it was written for shipping.
    """

    model: MoESequenceRegressor
    name: str
    dataset: Mapping[str, Any] | None = None
    is_release: bool = False

    @property
    def title(self) -> str:
        """Name in tables and titles, with the kind of network."""
        return f"{'dense' if self.model.config.router.is_dense else 'MoE'} {self.name}"


def load_trained(path: Path, *, device: torch.device) -> TrainedModel:
    """Load a checkpoint, or a release by its ``model.safetensors``.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    model = load(path, device=device)
    if path.name != RELEASE_WEIGHTS:
        metadata = load_checkpoint(path, kind="model").get("metadata")
        dataset = metadata.get("dataset") if isinstance(metadata, dict) else None
        return TrainedModel(model, path.parent.name, dataset if isinstance(dataset, dict) else None)
    card = path.parent / RELEASE_CARD
    if not card.is_file():
        return TrainedModel(model, path.parent.name, is_release=True)
    name, dataset = _read_card(card)
    return TrainedModel(model, name, dataset, is_release=True)


def released_experiment(card: Path, overrides: Sequence[str]) -> ExperimentConfig:
    """The experiment that judges a release on its own kind of data, which its card tells.

    Raises:
        ConfigError: no such card, or an override that is refused.
    """
    _, dataset = _read_card(card)
    return experiment_to_judge({"dataset": dataset}, overrides, str(card))


def motion_of(found: FoundModel) -> DatasetConfig:
    """The motion that a model was trained on.

    Raises:
        ConfigError: nothing beside the model says it.
    """
    if found.config is not None:
        return load_config(ExperimentConfig, found.config).dataset
    if found.card is not None:
        return released_experiment(found.card, ()).dataset
    raise ConfigError(
        f"there is no config.yaml, nor a release's card, beside {found.path} to say what motion it is for"
    )


def name_of(found: FoundModel) -> str:
    """What a model is called that need not be loaded for it: as `load_trained` says.

    Raises:
        ConfigError: its card is none.
    """
    return found.name if found.card is None else _read_card(found.card)[0]


def training_notes(trained: TrainedModel, dataset: DatasetConfig) -> dict[str, str]:
    """What a reader of scores must know of the model: name -> value, empty when there is nothing to say.

    ``not trained on``: motion types of the evaluation that training had none of. ``unlike training``: other
    settings of the data that differ. ``broken weights``: parameters that are not finite.
    """
    notes = {}
    if trained.dataset is not None:
        source = trained.dataset.get("source", "motions")
        weights = {} if source == "files" else trained.dataset.get("type_weights", {})
        known = {name for name, weight in weights.items() if weight > 0}
        wanted = {name for name in dataset.type_names if dataset.type_weights[name] > 0}
        if dataset.recordings is not None and source == "motions":
            wanted.add("recordings")
        notes["not trained on"] = ", ".join(sorted(wanted - known))
        notes["unlike training"] = "; ".join(_differences(trained.dataset, to_dict(dataset)))
    notes["broken weights"] = _broken_weights(trained.model)
    return {name: text for name, text in notes.items() if text}


def _differences(trained: Mapping[str, Any], judged: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} {judged[key]} (trained: {value})"
        for key, value in trained.items()
        if key in judged and key not in _NOT_COMPARED and judged[key] != value
    ]


def _broken_weights(model: MoESequenceRegressor) -> str:
    state = model.state_dict()
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if not broken:
        return ""
    return f"{len(broken)} of {len(state)} tensors hold numbers that are not finite, the first {broken[0]}"


def _read_card(card: Path) -> tuple[str, dict[str, Any]]:
    """Name of the model and settings of its data."""
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
        name, dataset = content["evaluation"]["forecasters"][0]["name"], content["dataset"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{card}: no model card ({type(error).__name__}: {error}); name a configuration after the model"
        ) from error
    if not isinstance(dataset, dict):
        raise ConfigError(f"{card}: its 'dataset' must hold settings; name a configuration after the model")
    return str(name), dataset
