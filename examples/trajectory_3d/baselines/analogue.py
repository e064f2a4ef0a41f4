"""Nearest analogues: find when the path last moved like now, and repeat what followed.

The last d points are compared with every earlier run of d points, both freed of their mean, and the
continuations of the nearest runs are moved to the present and averaged. A continuation that reaches the
present goes on with the forecast itself, so that a path of any period is continued for ever. Sources:
Lorenz, J. Atmos. Sci. 26, 1969 (analogues); Farmer and Sidorowich, Phys. Rev. Lett. 59, 1987 (delay
vectors); Zhang and Gilpin, "Context parroting", 2025, for its strength as a reference.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from examples.trajectory_3d.baselines.backtest import BackTested
from examples.trajectory_3d.baselines.polynomial import constant_velocity
from examples.trajectory_3d.baselines.ridge import delay_windows
from examples.trajectory_3d.metrics import Float64Array

DELAYS = (3, 6, 12)
NEIGHBOURS = (1, 3)
GAPS = (2, 8)


@dataclass(frozen=True)
class Analogues:
    """Analogue forecasts of several delay lengths, numbers of neighbours and gaps as a `Family`.

    Attributes:
        delays: numbers of points d compared.
        neighbours: numbers of analogues averaged, weighted by their inverse square distance.
        gaps: points by which an analogue ends before the present at least, so that it is not just the
            present moved by a point (Theiler's window).

    A context takes the settings that leave as many earlier runs as neighbours.
    """

    delays: tuple[int, ...] = DELAYS
    neighbours: tuple[int, ...] = NEIGHBOURS
    gaps: tuple[int, ...] = GAPS

    def __post_init__(self) -> None:
        if min(self.delays) < 2 or min(self.neighbours) < 1 or min(self.gaps) < 1:
            raise ValueError(
                "Analogues needs delays of at least 2 points, neighbours >= 1 and gaps >= 1, got "
                f"{self.delays}, {self.neighbours} and {self.gaps}"
            )

    @property
    def settings(self) -> tuple[str, ...]:
        """Delay, number of neighbours and gap of each setting."""
        return tuple(
            f"{d} points, {k} nearest, gap {g}"
            for d, k, g in product(self.delays, self.neighbours, self.gaps)
        )

    def continuations(self, points: Float64Array, horizon: int) -> Float64Array:
        """Repeat the analogues: [B, L, 3] -> [C, B, horizon, 3]; NaN where there are too few of them."""
        paths = np.full((len(self.settings), len(points), horizon, 3), np.nan)
        setting = iter(paths)
        for delay in self.delays:
            runs = compare_runs(points, delay) if points.shape[1] >= delay else None
            for count, gap in product(self.neighbours, self.gaps):
                path = next(setting)
                if runs is not None and points.shape[1] - delay - gap + 1 >= count:
                    path[...] = continue_analogues(points, horizon, runs, count, gap)
        return paths


@dataclass(frozen=True)
class Runs:
    """Every run of d points of each path, compared with the last one.

    Attributes:
        delay: d.
        middles: mean point of each run, [B, L - d + 1, 3].
        squares: sum of squared distances to the last run, both freed of their mean, [B, L - d + 1].
        floor: what rounding may leave of `squares` for an exact analogue, [B, 1].
    """

    delay: int
    middles: Float64Array
    squares: Float64Array
    floor: Float64Array


def compare_runs(points: Float64Array, delay: int) -> Runs:
    """Compare every run of `delay` <= L points of the paths [B, L, 3] with the last run."""
    runs = delay_windows(points, delay)  # [B, L - d + 1, d, 3]
    middles = runs.mean(axis=2)
    shapes = runs - middles[:, :, None]
    squares = np.square(shapes - shapes[:, -1:]).sum(axis=(2, 3))
    rounding = np.finfo(np.float64)
    extent = np.square(points).sum(axis=(1, 2))[:, None]  # bounds every run
    return Runs(delay, middles, squares, rounding.eps**2 * extent + rounding.tiny)


def continue_analogues(
    points: Float64Array, horizon: int, runs: Runs, neighbours: int, gap: int
) -> Float64Array:
    """Continue each path as its nearest analogues went on.

    Args:
        points: observed paths, [B, L, 3].
        horizon: steps to forecast, H.
        runs: of the paths; at least `gap + neighbours`.
        neighbours: analogues averaged.
        gap: points by which an analogue ends before the present at least.

    Returns:
        [B, H, 3].
    """
    batch, length = points.shape[:2]
    candidates = runs.squares[:, : length - runs.delay - gap + 1]
    nearest = np.argpartition(candidates, neighbours - 1, axis=1)[:, :neighbours]  # [B, k]
    # Exact analogues share the weight; without any, near ones weigh by their inverse square distance.
    weights = 1.0 / np.maximum(np.take_along_axis(candidates, nearest, axis=1), runs.floor)
    weights = (weights / weights.sum(axis=1, keepdims=True))[:, :, None]

    rows = np.arange(batch)[:, None]
    offset = runs.middles[:, -1:] - runs.middles[rows, nearest]  # [B, k, 3]
    last = nearest + runs.delay - 1  # last point of each analogue
    path = np.concatenate([points, np.empty((batch, horizon, 3))], axis=1)
    for step in range(1, horizon + 1):
        path[:, length - 1 + step] = (weights * (path[rows, last + step] + offset)).sum(axis=1)
    return path[:, length:]


def nearest_analogue() -> BackTested:
    """Nearest analogues, delay length, neighbours and gap back-tested per window."""
    return BackTested("nearest analogue", Analogues(), constant_velocity().extend)
