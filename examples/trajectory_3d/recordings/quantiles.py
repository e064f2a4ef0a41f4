"""Medians and percentiles of a stream of numbers in bounded memory."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.arrays import Float64Array

_EXACT = 16_384  # values kept as they are; a histogram takes over beyond
_WIDTH = 0.002  # relative width of its bins


class Quantiles:
    """Quantiles of numbers from zero up.

    Exact for the first 16 384 values, as `numpy.quantile` has them; then a histogram whose bins are 0.2 %
    wide, so that a quantile is right to 0.1 %. Zeros are counted apart. Least and greatest are exact.
    """

    def __init__(self) -> None:
        self.count = 0
        self.least, self.greatest = float("inf"), float("-inf")
        self._kept: list[Float64Array] = []
        self._zeros = 0
        self._first = 0  # number of the first bin
        self._bins: np.ndarray[tuple[int], np.dtype[np.int64]] | None = None

    def add(self, values: Float64Array) -> None:
        """Count values ``[n]``, finite and not negative."""
        if not len(values):
            return
        self.count += len(values)
        self.least = min(self.least, float(values.min()))
        self.greatest = max(self.greatest, float(values.max()))
        if self._bins is None:
            self._kept.append(np.array(values, dtype=np.float64))
            if self.count > _EXACT:
                kept, self._kept = np.concatenate(self._kept), []
                self._bins = np.zeros(1, dtype=np.int64)
                self._first = self._numbers(kept[kept > 0])[0].item() if (kept > 0).any() else 0
                self._bin(kept)
        else:
            self._bin(values)

    def quantile(self, share: float) -> float:
        """The value below which a share from 0 to 1 of the values lies; NaN if there is none."""
        if not self.count:
            return float("nan")
        if self._bins is None:
            return float(np.quantile(np.concatenate(self._kept), share))
        rank = share * (self.count - 1)
        if rank < self._zeros:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._bins), rank - self._zeros, side="right"))
        middle = float(np.exp((self._first + min(place, len(self._bins) - 1) + 0.5) * _WIDTH))
        return min(max(middle, self.least), self.greatest)

    def above(self, limit: float) -> int:
        """How many values are greater; where a histogram took over, to within the bin of the limit."""
        if self._bins is None:
            return int(sum((kept > limit).sum() for kept in self._kept))
        edges = self.edges()
        return int(self._bins[edges[:-1] >= limit].sum())

    def edges(self) -> Float64Array:
        """Borders of the bins ``[b + 1]`` once there are bins."""
        bins = 0 if self._bins is None else len(self._bins)
        return np.asarray(np.exp((self._first + np.arange(bins + 1)) * _WIDTH), dtype=np.float64)

    def sample(self, most: int = 10_000) -> Float64Array:
        """Values that are spread as all of them are, for a picture, ``[most or fewer]``."""
        if self._bins is None:
            values = np.concatenate(self._kept) if self._kept else np.zeros(0)
            return values[:: max(1, len(values) // most)]
        shares = (np.arange(most) + 0.5) / most
        zeros = np.zeros(round(most * self._zeros / self.count))
        places = np.searchsorted(np.cumsum(self._bins), shares[len(zeros) :] * self.count - self._zeros)
        middles = np.exp((self._first + np.minimum(places, len(self._bins) - 1) + 0.5) * _WIDTH)
        return np.concatenate([zeros, middles])

    @staticmethod
    def _numbers(values: Float64Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.floor(np.log(values) / _WIDTH).astype(np.int64)

    def _bin(self, values: Float64Array) -> None:
        assert self._bins is not None
        positive = values[values > 0]
        self._zeros += len(values) - len(positive)
        if not len(positive):
            return
        numbers = self._numbers(positive)
        low, high = min(int(numbers.min()), self._first), max(int(numbers.max()), self._first)
        below, above = self._first - low, high - (self._first + len(self._bins) - 1)
        if below or above > 0:
            self._bins = np.pad(self._bins, (below, max(above, 0)))
            self._first = low
        self._bins += np.bincount(numbers - self._first, minlength=len(self._bins))
