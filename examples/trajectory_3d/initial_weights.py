"""Training that goes on from a trained model: which one, whether it fits, and what is remembered of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.trajectory_3d.config import FROM_INIT, ExperimentConfig
from examples.trajectory_3d.model_discovery import named_model
from examples.trajectory_3d.run_folder import CONFIG, OUTPUT_ROOT
from m.config import ConfigError, from_dict, read_yaml, to_dict
from m.moe.config import ModelConfig

if TYPE_CHECKING:
    import torch

    from m.moe import MoESequenceRegressor

SHIPPED = "shipped"
SHIPPED_NAME = "trajectory-3d-wide"  # trained on many kinds of motion, so the one to begin with on recordings

# What training may change without the weights meaning something else.
_FREE = frozenset(
    {
        "dropout",
        "anchor.min_points",
        "anchor.whole_context_share",
        "context.min_points",
        "context.shortened_share",
        "experts.kernel",
        "head.spread_weighting",
        "router.balance_loss_weight",
        "router.bias_update_rate",
        "router.noise_std",
        "router.z_loss_weight",
    }
)


def canonical_name(name: str) -> str:
    """The name under which initial weights are written down: ``shipped`` says which model that is."""
    return SHIPPED_NAME if name == SHIPPED else name


def load_initial(name: str, root: Path = OUTPUT_ROOT) -> MoESequenceRegressor:
    """Load the model that training is to begin with.

    Args:
        name: ``shipped``, a registered name, a run below ``root``, or the path of a run, checkpoint or
            release.
        root: folder of runs.

    Raises:
        ModelNotFoundError: there is none.
        CheckpointError: it cannot be loaded.
    """
    from m.release import load  # noqa: PLC0415  (torch)

    name = canonical_name(name)
    if not Path(name).exists() and (root / name).is_dir():
        name = str(root / name)
    return load(named_model(name).path)


def fingerprint(state: Mapping[str, torch.Tensor]) -> str:
    """Of weights: equal numbers under equal names, equal text."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.view(-1).numpy().tobytes())
    return digest.hexdigest()[:16]


def complete(content: Mapping[str, Any], *, folder: Path | None, root: Path, source: str) -> dict[str, Any]:
    """Fill in the architecture of an experiment that begins with a trained model.

    Args:
        content: of the configuration, overrides included; what it states of the model must agree with the
            trained one, but for what only training knows (dropout, balancing of routers and the like).
        folder: of the run that is resumed, which remembers its architecture; None for a new one.
        root: folder of runs.
        source: of the content, for messages.

    Raises:
        ConfigError: the stated architecture is another one, ``model: from_init`` without a model to begin
            with, or a resumed run that began with another one.
        ModelNotFoundError, CheckpointError: see `load_initial`.
    """
    result = dict(content)
    name, stated = content.get("init_from"), content.get("model")
    if stated == FROM_INIT:
        stated = None
    if name is None:
        if content.get("model") == FROM_INIT:
            raise ConfigError(
                f"{source}: model: from_init takes the architecture of a trained model; name one with "
                "--init-from"
            )
        return result
    if not isinstance(name, str):
        raise ConfigError(f"{source}: init_from must be the name or path of a model, got {name!r}")
    result["init_from"] = canonical_name(name)
    base = to_dict(load_initial(name, root).config) if folder is None else _remembered(folder, result)
    if stated is not None and not isinstance(stated, Mapping):
        raise ConfigError(f"{source}: model must be a mapping of keys, or from_init, got {stated!r}")
    result["model"] = _merged(base, stated or {}, f"{source}: ", canonical_name(name))
    return result


def _remembered(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The architecture that a run has, whose initial weights may be gone by now."""
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(f"{folder} holds no run to resume ({CONFIG} is missing)")
    saved = read_yaml(path)
    if saved.get("init_from") != content["init_from"]:
        raise ConfigError(
            f"cannot resume: {folder} began with {saved.get('init_from') or 'random weights'}, not with "
            f"{content['init_from']}"
        )
    content["init_weights"] = saved.get("init_weights")
    model = saved.get("model")
    if not isinstance(model, dict):
        raise ConfigError(f"{path}: says no model")
    return model


def _merged(base: dict[str, Any], stated: Mapping[str, Any], source: str, name: str) -> dict[str, Any]:
    """The trained model's architecture with what may be changed as stated."""
    result = to_dict(from_dict(ModelConfig, base, source=f"{source}model of {name}"))
    filled = _with_changes(result, stated)
    wanted = to_dict(from_dict(ModelConfig, filled, source=f"{source}model"))
    refuse_another(wanted, result, source, name)
    return wanted


def _with_changes(base: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in stated.items():
        inner = result.get(key)
        both = isinstance(inner, dict) and isinstance(value, Mapping)
        result[key] = _with_changes(inner, value) if both and isinstance(inner, dict) else value
    return result


def refuse_another(wanted: Mapping[str, Any], trained: Mapping[str, Any], source: str, name: str) -> None:
    """Refuse an architecture that the trained model's weights do not belong to.

    Raises:
        ConfigError: names every difference.
    """
    own, there = dict(_leaves(wanted)), dict(_leaves(trained))
    differing = [
        f"model.{key}: {name} has {there.get(key)}, the configuration {own.get(key)}"
        for key in sorted({*own, *there})
        if own.get(key) != there.get(key) and key not in _FREE
    ]
    if differing:
        raise ConfigError(
            f"{source}the weights of {name} do not fit: {'; '.join(differing)}. Leave these keys out, or the "
            "whole of model, to take the architecture of the weights"
        )


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def begin(experiment: ExperimentConfig, model: MoESequenceRegressor, root: Path) -> ExperimentConfig:
    """Give a model the weights that its experiment begins with.

    Buffers come with them: the balance of routers goes on where it was, and experts that have parted are not
    made one again.

    Returns:
        The experiment with the fingerprint of the weights.

    Raises:
        ConfigError: they are of another architecture, or not those that the experiment remembers.
        ModelNotFoundError, CheckpointError: see `load_initial`.
    """
    name = experiment.init_from
    if name is None:
        return experiment
    trained = load_initial(name, root)
    refuse_another(to_dict(experiment.model), to_dict(trained.config), "", canonical_name(name))
    state = trained.state_dict()
    found = fingerprint(state)
    if experiment.init_weights not in {None, found}:
        raise ConfigError(
            f"init_weights is {experiment.init_weights}, but the weights of {name} are {found}: another "
            "model has this name now; remove init_weights to begin with it nevertheless"
        )
    model.load_state_dict(state)
    return replace(experiment, init_from=canonical_name(name), init_weights=found)


def recalled(experiment: ExperimentConfig, folder: Path) -> ExperimentConfig:
    """The experiment of a run that goes on, with the fingerprint of the weights that the run began with."""
    path = folder / CONFIG
    if experiment.init_from is None or experiment.init_weights is not None or not path.is_file():
        return experiment
    return replace(
        experiment,
        init_from=canonical_name(experiment.init_from),
        init_weights=read_yaml(path).get("init_weights"),
    )


def describe(experiment: ExperimentConfig) -> dict[str, Any]:
    """What summaries and checkpoints say of initial weights: nothing where they were random."""
    if experiment.init_from is None:
        return {}
    return {"initial": {"model": experiment.init_from, "weights": experiment.init_weights}}
