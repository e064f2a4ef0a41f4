"""Save and load a whole `MoESequenceRegressor`: its configuration and its weights in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from m.attention.attention import CausalSelfAttention
from m.checkpoint.errors import CheckpointError
from m.checkpoint.io import load_checkpoint, save_checkpoint
from m.checkpoint.payload import model_payload
from m.config import ConfigError, from_dict
from m.moe.config import ModelConfig
from m.moe.derived import model_size
from m.moe.model import MoESequenceRegressor


def save_model(
    path: str | Path,
    model: nn.Module,
    *,
    config: Mapping[str, Any],
    metadata: Mapping[str, Any] | None = None,
    step: int = 0,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Write a model checkpoint that `load_model` rebuilds.

    Args:
        path: the file.
        model: whose weights.
        config: the model's configuration, ``to_dict(model.config)``.
        metadata: anything plain to keep beside it.
        step: optimizer steps behind the weights.
        metrics: evaluation of the weights.

    Raises:
        CheckpointError: content that is not plain.
        OSError: the file system refused.
    """
    payload = model_payload(
        model.state_dict(), model_config=config, step=step, metrics=metrics, metadata=metadata
    )
    save_checkpoint(path, payload)


def load_model(path: str | Path, device: str | torch.device = "cpu") -> MoESequenceRegressor:
    """Rebuild the model of a checkpoint, in eval mode. Global random generators are left as they were.

    Args:
        path: ``best_model.pt``, ``final_model.pt`` or what `save_model` wrote.
        device: where to put the model.

    Raises:
        CheckpointError: no readable model checkpoint, a configuration that is refused, or weights
            that do not fit it.
    """
    payload = load_checkpoint(path, kind="model")
    config, weights = payload.get("model_config"), payload.get("model")
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{path}: holds no model_config, so the model cannot be rebuilt from it; "
            "build the model yourself and load the weights under 'model'"
        )
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path}: holds no weights under 'model'; use another checkpoint")
    return build_model(config, weights, source=str(path)).to(device)


def build_model(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], *, source: str
) -> MoESequenceRegressor:
    """Build the model of a configuration with given weights, on the CPU and in eval mode.

    Parameter counts are compared before anything is allocated: a configuration may describe at most
    twice the numbers that the weights hold in memory, each storage counted once. That bounds the
    parameters, not every byte: besides them a model has one Python object per layer and the cosine
    modes of the horizon and the window (float64 while they are made), whose sizes `ModelConfig`
    limits. Then names and shapes are compared, one by one.

    Args:
        config: `ModelConfig` as a mapping.
        weights: parameters and persistent buffers by name.
        source: where both came from, for messages.

    Raises:
        CheckpointError: configuration refused, or weights that do not fit it.
    """
    try:
        built = from_dict(ModelConfig, config, source=source)
    except ConfigError as error:
        raise CheckpointError(f"{error}; the checkpoint is damaged or of another version") from error
    model = _untrained(built, _stored_numbers(weights), source)
    weights = _without_unseen(model, weights)
    problems = _differences(model.state_dict(), weights)
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise CheckpointError(f"{source}: weights do not fit the model_config beside them: {shown}")
    model.load_state_dict(dict(weights), strict=True)
    return model.eval()


def _without_unseen(model: MoESequenceRegressor, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The weights without queries and keys that nothing sees, which earlier versions stored.

    They lie before the values, and what they give was multiplied by nothing: the same forecasts.
    """
    kept = dict(weights)
    for name, module in model.named_modules():
        if isinstance(module, CausalSelfAttention) and module.own_value_only:
            key = f"{name}.qkv.weight"
            stored, values = kept.get(key), module.kv_heads * module.head_dim
            rows = (module.n_heads + 2 * module.kv_heads) * module.head_dim
            if isinstance(stored, Tensor) and stored.ndim == 2 and stored.shape[0] == rows:
                kept[key] = stored[-values:].clone()
    return kept


def _untrained(config: ModelConfig, stored: int, source: str) -> MoESequenceRegressor:
    try:
        needed = model_size(config).total_parameters
        if needed > 2 * stored:  # closer mismatches are named one by one by the caller
            raise CheckpointError(
                f"{source}: its model_config describes {needed:,} parameters, "
                f"the file stores {stored:,} numbers"
            )
        with torch.random.fork_rng(devices=[]):
            return MoESequenceRegressor(config)
    except CheckpointError:
        raise
    except ValueError as error:  # also ConfigError: a router that is not registered here, for one
        raise CheckpointError(
            f"{source}: no model can be built from its model_config: {error}; "
            "the checkpoint is damaged, of another version, or needs a part that is not registered"
        ) from error


def _stored_numbers(weights: Mapping[str, object]) -> int:
    """Numbers held in memory by ``weights``; a storage that several tensors share counts once."""
    held = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() // value.element_size()
        for value in weights.values()
        if isinstance(value, Tensor)
    }
    return sum(held.values())


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, object]) -> list[str]:
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    for name, tensor in expected.items():
        value = found.get(name)
        if name in found and not isinstance(value, Tensor):
            problems.append(f"{name} is no tensor")
        elif isinstance(value, Tensor) and value.shape != tensor.shape:
            problems.append(f"{name} has shape {list(value.shape)}, expected {list(tensor.shape)}")
    return problems
