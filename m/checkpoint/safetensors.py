"""Shipping format: weights as safetensors, configuration as JSON, in one folder. Neither can hold code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from m.checkpoint.atomic import atomic_path, write_text_atomic
from m.checkpoint.errors import CheckpointError

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"


def export_safetensors(
    folder: str | Path, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> None:
    """Write ``model.safetensors`` and ``config.json`` into ``folder``, each atomically.

    Args:
        folder: created when missing.
        state_dict: tensors by name; tied tensors are written once per name.
        config: JSON content that rebuilds the model.

    Raises:
        CheckpointError: ``config`` is no JSON (also NaN and infinity), or ``state_dict`` holds
            something else than tensors.
        OSError: the file system refused.
    """
    folder = Path(folder)
    try:
        text = json.dumps(dict(config), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG_NAME}: configuration is not JSON: {error}") from error
    tensors = {name: _own_memory(folder, name, value) for name, value in state_dict.items()}
    with atomic_path(folder / WEIGHTS_NAME) as temporary:
        # Written here: save_file makes a file that only its owner can read, of no use in an installation.
        temporary.write_bytes(safetensors.torch.save(tensors, metadata={"format": "pt"}))
    write_text_atomic(folder / CONFIG_NAME, text)


def load_safetensors(folder: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `export_safetensors` wrote.

    Returns:
        Tensors by name (on the CPU), and the configuration.

    Raises:
        CheckpointError: a file is missing, truncated or of another format.
    """
    folder = Path(folder)
    for name in (WEIGHTS_NAME, CONFIG_NAME):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder / name}: no such file; expected {WEIGHTS_NAME} and {CONFIG_NAME} there"
            )
    try:
        tensors = safetensors.torch.load_file(folder / WEIGHTS_NAME)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS_NAME}: truncated or not a safetensors file ({error}); copy it again"
        ) from error
    return tensors, _read_config(folder / CONFIG_NAME)


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{file}: not valid JSON ({error}); copy it again") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{file}: must hold a JSON object, holds a {type(config).__name__}")
    return config


def _own_memory(folder: Path, name: str, value: object) -> Tensor:
    """Detached contiguous copy on the CPU: the format refuses tensors that share memory."""
    if not isinstance(value, Tensor):
        raise CheckpointError(f"{folder / WEIGHTS_NAME}: '{name}' is a {type(value).__name__}, not a tensor")
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)
