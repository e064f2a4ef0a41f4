"""The random generators that training may draw from, as plain content and back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# numpy's global generator is legacy, but a data source or a model may use it, and resume must be exact.
# ruff: noqa: NPY002


def seed_all(seed: int) -> None:
    """Seed torch (every device), numpy and random."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def capture_random(device: torch.device) -> dict[str, Any]:
    """States of the torch CPU, the training device's, numpy's and Python's generators, as plain content."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        "python": [version, list(words), gauss],
        "numpy": [str(kind), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
    }


def restore_random(state: dict[str, Any], device: torch.device) -> None:
    """Put back what `capture_random` returned."""
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))


@contextmanager
def preserved_random(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside the block leaves the generators as they were."""
    state = capture_random(device)
    try:
        yield
    finally:
        restore_random(state, device)
