"""What is read together: sequences, whatever is remembered of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from m.arrays import Array, Counts
from m.runtime.block import Block

Inputs = dict[str, NDArray[Any]]


class Rows(ABC):
    """N sequences to be read by a graph.

    Attributes:
        lengths: points of each, those included that a reading before has read, ``[N]``.
    """

    lengths: Counts

    @abstractmethod
    def take(self, index: Any) -> Self:
        """The sequences named, which may repeat."""

    @abstractmethod
    def append(self, points: Array) -> Self:
        """With P more points of each, ``[N, P, D]``."""

    @abstractmethod
    def after(self, block: Block) -> Self:
        """With what a reading of all of them left to remember."""

    @classmethod
    @abstractmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Several groups of sequences as one."""

    @abstractmethod
    def inputs(self) -> Inputs:
        """Of the graph, by name."""

    @property
    @abstractmethod
    def unread(self) -> Counts:
        """Points of each that will be read, ``[N]``."""

    @property
    @abstractmethod
    def size_class(self) -> tuple[int, ...]:
        """Sequences of one class waste little when they are padded to each other's size."""


def widened(values: NDArray[Any], size: int, axis: int = 1) -> NDArray[Any]:
    """Padded with zeros to a size."""
    missing = size - values.shape[axis]
    if missing == 0:
        return values
    return np.pad(values, [(0, missing if axis == each else 0) for each in range(values.ndim)])
