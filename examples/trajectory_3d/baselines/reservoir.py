"""Next-generation reservoir: ridge regression on delays and their products.

The next increment of the path is a quadratic function of a few delayed points, fitted to the context of the
window alone. It learns flows with quadratic equations, such as Lorenz', from short noise-free data; noise
takes most of that lead. Source: Gauthier, Bollt, Griffith and Barbosa, "Next generation reservoir
computing", Nature Communications 12, 5564, 2021.
"""

from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.baselines.backtest import BackTested
from examples.trajectory_3d.baselines.polynomial import constant_velocity
from examples.trajectory_3d.baselines.ridge import ridge_continuations
from examples.trajectory_3d.metrics import Float64Array

# (delayed points, steps between them)
TAPS = ((1, 1), (2, 1), (2, 4))
STRENGTHS = (1e-9, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True)
class QuadraticFeatures:
    """A few delayed points and all products of two of their coordinates.

    Products of different coordinates are weighted by sqrt(2): the features then have the scalar product
    u.v + (u.v)^2, and a ridge fit on them turns with the path.

    Attributes:
        taps: delayed points k.
        spacing: steps between them.
    """

    taps: int
    spacing: int

    @property
    def reach(self) -> int:
        """Points from the oldest tap to the present."""
        return (self.taps - 1) * self.spacing + 1

    def __call__(self, recent: Float64Array) -> Float64Array:
        """[..., reach, 3] -> [..., 3k + 3k (3k + 1) / 2]."""
        linear = recent[..., :: self.spacing, :].reshape(*recent.shape[:-2], 3 * self.taps)
        first, second = np.triu_indices(3 * self.taps)
        weight = np.where(first == second, 1.0, np.sqrt(2.0))
        return np.concatenate([linear, linear[..., first] * linear[..., second] * weight], axis=-1)


@dataclass(frozen=True)
class Reservoirs:
    """Next-generation reservoirs of several taps and strengths as a `Family`.

    Attributes:
        taps: (delayed points, steps between them) to choose from.
        strengths: ridge penalties to choose from.

    A context takes the taps that leave at least eight equations.
    """

    taps: tuple[tuple[int, int], ...] = TAPS
    strengths: tuple[float, ...] = STRENGTHS

    @property
    def settings(self) -> tuple[str, ...]:
        """Taps and strength of each setting."""
        return tuple(f"{k} taps every {s}, ridge {r:g}" for k, s in self.taps for r in self.strengths)

    def continuations(self, points: Float64Array, horizon: int) -> Float64Array:
        """Fit and roll on: [B, L, 3] -> [C, B, horizon, 3]; NaN for taps too long for the path."""
        shape = (len(self.taps), len(self.strengths), len(points), horizon, 3)
        paths = np.full(shape, np.nan)
        centre = points.mean(axis=1, keepdims=True)  # products are taken about the middle of the path
        for path, (taps, spacing) in zip(paths, self.taps, strict=True):
            features = QuadraticFeatures(taps, spacing)
            if points.shape[1] >= features.reach + 8:
                path[...] = ridge_continuations(points - centre, horizon, features, self.strengths) + centre
        return paths.reshape(-1, *shape[2:])


def next_generation_reservoir() -> BackTested:
    """Next-generation reservoir, taps and ridge strength back-tested per window."""
    return BackTested("next-generation reservoir", Reservoirs(), constant_velocity().extend)
