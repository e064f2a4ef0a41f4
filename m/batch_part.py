"""What a micro-batch is of the batch whose loss is wanted: all of it, or one process's part."""

from __future__ import annotations

import torch
from torch import Tensor


class BatchPart:
    """A micro-batch that is the whole batch.

    Losses take their means and draw their random numbers through it. A part of a larger batch overrides the
    methods, so that the mean of the parts' losses, and of their gradients, is the loss of the whole: terms of
    unequal number are divided by a number that all parts share, and each part takes its own rows of what
    is drawn for all.
    """

    def mean(self, values: Tensor) -> Tensor:
        """The part's contribution, [], to the mean over all values of all parts."""
        return values.mean()

    def mean_of_parts(self, values: Tensor) -> Tensor:
        """What each part has, averaged, without gradient, the same in all; sums are divided by it."""
        return values

    def rand(self, size: int, device: torch.device) -> Tensor:
        """Uniform numbers for this part's ``size`` sequences, ``[size]``."""
        return torch.rand(size, device=device)

    def randint(self, low: int, high: int, size: int, device: torch.device) -> Tensor:
        """Whole numbers of ``low`` to ``high - 1`` for this part's sequences, ``[size]`` int64."""
        return torch.randint(low, high, (size,), device=device)

    def randn_like(self, rows: Tensor) -> Tensor:
        """Normal numbers for this part's rows, as many as they have."""
        return torch.randn_like(rows)


WHOLE = BatchPart()
