"""Ridge vector autoregression on a delay embedding.

The next increment of the path is a linear function of all three coordinates of the last d points, fitted to
the context of the window alone. Any motion that solves a linear recurrence (sums of sinusoids, polynomials,
damped oscillations, also coupled between axes) is continued exactly once d reaches the order of the
recurrence; the ridge penalty guards against fitting the noise. Source: Luetkepohl, New Introduction to
Multiple Time Series Analysis, 2005, chapter 3; Hoerl and Kennard, Technometrics 12, 1970.
"""

from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.baselines.backtest import BackTested
from examples.trajectory_3d.baselines.polynomial import constant_velocity
from examples.trajectory_3d.baselines.ridge import ridge_continuations
from examples.trajectory_3d.metrics import Float64Array

DELAYS = (4, 8, 16, 24)
STRENGTHS = (1e-8, 1e-4, 1e-3, 1e-2, 1.0)


@dataclass(frozen=True)
class LinearFeatures:
    """The coordinates of the last `reach` points as they are."""

    reach: int

    def __call__(self, recent: Float64Array) -> Float64Array:
        """[..., reach, 3] -> [..., 3 reach]."""
        return recent.reshape(*recent.shape[:-2], 3 * self.reach)


@dataclass(frozen=True)
class VectorAutoregressions:
    """Ridge vector autoregressions of several delays and strengths as a `Family`.

    Attributes:
        delays: numbers of past points d to choose from.
        strengths: ridge penalties to choose from.

    A context takes the delays that leave at least as many equations as delays, L >= 2 d.
    """

    delays: tuple[int, ...] = DELAYS
    strengths: tuple[float, ...] = STRENGTHS

    @property
    def settings(self) -> tuple[str, ...]:
        """Delay and strength of each setting."""
        return tuple(f"{d} delays, ridge {s:g}" for d in self.delays for s in self.strengths)

    def continuations(self, points: Float64Array, horizon: int) -> Float64Array:
        """Fit and roll on: [B, L, 3] -> [C, B, horizon, 3]; NaN for delays too long for the path."""
        shape = (len(self.delays), len(self.strengths), len(points), horizon, 3)
        paths = np.full(shape, np.nan)
        for path, delays in zip(paths, self.delays, strict=True):
            if points.shape[1] >= max(2 * delays, delays + 2):
                path[...] = ridge_continuations(points, horizon, LinearFeatures(delays), self.strengths)
        return paths.reshape(-1, *shape[2:])


def ridge_autoregression() -> BackTested:
    """Ridge vector autoregression, delays and strength back-tested per window."""
    return BackTested("ridge autoregression", VectorAutoregressions(), constant_velocity().extend)
