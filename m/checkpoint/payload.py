"""What a model checkpoint holds (``best_model.pt``, ``final_model.pt``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def model_payload(
    state_dict: Mapping[str, Tensor],
    *,
    model_config: Mapping[str, Any] | None = None,
    step: int = 0,
    metrics: Mapping[str, float] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Arrange a model's weights and what is known about them for `m.checkpoint.save_checkpoint`.

    Args:
        state_dict: parameters and persistent buffers by name.
        model_config: what rebuilds the model (`m.config.to_dict`); None for a model that the caller
            builds itself.
        step: optimizer steps behind these weights.
        metrics: evaluation of these weights.
        metadata: anything plain the application wants to keep.

    Returns:
        Keys ``kind`` ("model"), ``model_config``, ``model``, ``step``, ``metrics``, ``metadata``.
    """
    return {
        "kind": "model",
        "model_config": None if model_config is None else dict(model_config),
        "model": dict(state_dict),
        "step": step,
        "metrics": dict(metrics or {}),
        "metadata": dict(metadata or {}),
    }
