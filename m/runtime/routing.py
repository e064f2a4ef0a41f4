"""Who served, as the faces tell it; the record of `m.routing.record` in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from m.arrays import Array, Counts
from m.runtime.manifest import Manifest


@dataclass(frozen=True)
class ServedLayer:
    """Routing of one layer.

    Attributes:
        experts: ``[B, T', K]``, best first.
        weights: ``[B, T', K]`` gates.
        valid: ``[B, T']``; False marks padding.
        load: tokens that each expert served, ``[E]``.
    """

    experts: NDArray[np.int64]
    weights: NDArray[np.float32]
    valid: NDArray[np.bool_]
    load: Array


@dataclass(frozen=True)
class ServedRouting:
    """Of every mixture, input side first; empty for a dense model."""

    layers: tuple[ServedLayer, ...] = ()

    def load(self) -> Array | None:
        """Tokens per layer and expert, ``[L, E]``; None for a dense model."""
        return np.stack([layer.load for layer in self.layers]) if self.layers else None


def serve_record(
    experts: NDArray[np.int64], weights: NDArray[np.float32], lengths: Counts, every: int, manifest: Manifest
) -> ServedRouting:
    """Who served the tokens of contexts.

    Args:
        experts: of their tokens, ``[B, T', L, K]``.
        weights: their gates.
        lengths: points of each, ``[B]``.
        every: points between tokens.
        manifest: of the model.
    """
    tokens, layers = experts.shape[1:3]
    counts = np.ones_like(lengths) if manifest.one_token else (lengths - 1) // every + 1
    valid = np.arange(tokens) < counts[:, None]  # [B, T']
    width = manifest.config.router.n_experts
    # One count for all layers: each has numbers of its own.
    numbered = experts[valid] + width * np.arange(layers)[:, None]  # [tokens, L, K]
    load = np.bincount(numbered.ravel(), minlength=layers * width).reshape(layers, width).astype(np.float64)
    return ServedRouting(
        tuple(
            ServedLayer(experts[:, :, layer], weights[:, :, layer], valid, load[layer])
            for layer in range(layers)
        )
    )
