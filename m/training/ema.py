"""Exponential moving average of the weights: evaluated and shipped in place of the raw ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Ema:
    """Running mean of parameters; buffers are taken from the model as they are.

    Args:
        parameters: trainable ones by name, or what this process holds of them.
        decay: d below.

    shadow <- d shadow + (1 - d) weights, with d = min(decay, (1 + n) / (10 + n)) after n updates, so that
    the random weights of the start are forgotten within a short run (the warm-up of TensorFlow's
    ``ExponentialMovingAverage``).
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._parameters = dict(parameters)
        self._shadow = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's present weights; once after each optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        weights = [p.detach() for p in self._parameters.values()]
        torch._foreach_lerp_(list(self._shadow.values()), weights, 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block the model holds the averaged weights; after it, its own again, to the bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        # Exchanging the storages copies nothing; the Parameter objects, which the optimizer keys on, stay.
        for name, parameter in self._parameters.items():
            own = parameter.data
            parameter.data = self._shadow[name]
            self._shadow[name] = own

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The averaged weights, or what this process holds of them."""
        return self._shadow

    def state_dict(self) -> dict[str, Tensor | int | dict[str, Tensor]]:
        """Averaged weights by name and the number of updates behind them."""
        return {"updates": self.updates, "weights": dict(self._shadow)}

    @torch.no_grad()
    def load_state_dict(self, updates: int, weights: Mapping[str, Tensor]) -> None:
        """Put back a state.

        Raises:
            ValueError: other parameters than the model's.
        """
        if set(weights) != set(self._shadow):
            different = sorted(set(weights) ^ set(self._shadow))
            raise ValueError(f"averaged weights do not match the model: {different[:5]}")
        self.updates = updates
        for name, value in weights.items():
            self._shadow[name].copy_(value)
