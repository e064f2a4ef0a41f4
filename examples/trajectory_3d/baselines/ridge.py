"""Ridge regression of a path on its own past, rolled on: the core of two baselines.

Both the vector autoregression and the next-generation reservoir predict the next step of a path as a linear
function of features of its last points. They share the fit, the roll-out and the bound on a step.
"""

from typing import Protocol

import numpy as np

from examples.trajectory_3d.metrics import Float64Array

# A forecast step may be this many times as long as the longest observed one. Motion that speeds up is
# followed; a diverging roll-out grows linearly at worst, and stays finite at any horizon.
STEP_LIMIT = 2.0


class DelayFeatures(Protocol):
    """Features of the last few points of a path."""

    @property
    def reach(self) -> int:
        """Number of successive points looked at."""
        ...

    def __call__(self, recent: Float64Array) -> Float64Array:
        """[..., reach, 3] -> [..., P]; a constant is not among them, the fit adds it."""
        ...


def delay_windows(points: Float64Array, reach: int) -> Float64Array:
    """Every run of `reach` successive points: [B, L, 3] -> [B, L - reach + 1, reach, 3], a view."""
    runs = np.lib.stride_tricks.sliding_window_view(points, reach, axis=1)  # [B, L - reach + 1, 3, reach]
    return runs.swapaxes(-1, -2)


def ridge_weights(
    features: Float64Array, targets: Float64Array, strengths: tuple[float, ...]
) -> Float64Array:
    """Ridge regression without intercept for several strengths, window by window.

    Minimises |X W - Y|^2 + strength * m |W|^2 with m the mean square length of a column of X, so that the
    strength has no unit. Solved in whichever is smaller, the space of features or that of rows (Hoerl and
    Kennard 1970; dual form of Saunders et al. 1998).

    Args:
        features: X, [B, n, P].
        targets: Y, [B, n, K].
        strengths: penalties, each above 0.

    Returns:
        W, [S, B, P, K].
    """
    transposed = features.swapaxes(1, 2)
    rows, columns = features.shape[1:]
    dual = rows < columns
    gram = features @ transposed if dual else transposed @ features
    right = targets if dual else transposed @ targets
    mean_square = np.trace(gram, axis1=1, axis2=2)[:, None, None] / columns
    mean_square[mean_square == 0.0] = 1.0  # a path at rest: every weight is 0
    identity = np.eye(len(gram[0]) if len(gram) else min(rows, columns))
    solutions = np.stack([np.linalg.solve(gram + s * mean_square * identity, right) for s in strengths])
    return transposed @ solutions if dual else solutions


def ridge_continuations(
    points: Float64Array, horizon: int, features: DelayFeatures, strengths: tuple[float, ...]
) -> Float64Array:
    """Fit the increments of each path to features of its past, and roll on.

    The increment y[t+1] - y[t] is fitted, so that shrinking tends to uniform motion with the mean velocity.
    Steps are limited to `STEP_LIMIT` times the longest observed one.

    Args:
        points: anchored paths, [B, L, 3] with L >= reach + 2.
        horizon: steps to forecast, H.
        features: of the last `reach` points.
        strengths: ridge penalties, see `ridge_weights`.

    Returns:
        One continuation for each strength, [S, B, H, 3].
    """
    reach = features.reach
    design = features(delay_windows(points[:, :-1], reach))  # [B, n, P]
    increments = np.diff(points, axis=1)
    targets = increments[:, reach - 1 :]  # [B, n, 3]
    centre, drift = design.mean(axis=1), targets.mean(axis=1)  # [B, P], [B, 3]
    weights = ridge_weights(design - centre[:, None], targets - drift[:, None], strengths)  # [S, B, P, 3]
    longest = STEP_LIMIT * np.linalg.norm(increments, axis=-1).max(axis=1)[:, None]  # [B, 1]

    path = np.empty((len(strengths), len(points), reach + horizon, 3))
    path[:, :, :reach] = points[:, -reach:]
    for end in range(reach, reach + horizon):
        now = features(path[:, :, end - reach : end]) - centre  # [S, B, P]
        step = drift + (now[:, :, None] @ weights)[:, :, 0]
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        step *= np.divide(longest, length, out=np.ones_like(length), where=length > longest)
        path[:, :, end] = path[:, :, end - 1] + step
    return path[:, :, reach:]
