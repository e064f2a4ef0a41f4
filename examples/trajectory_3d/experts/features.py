"""What a token saw: how fast, how curved, and where its points lie in the model's own frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from examples.trajectory_3d.arrays import Float64Array, FloatArray, IntArray
from m.moe import MoESequenceRegressor, compute_anchor

_FIT_POINTS = 15
_SLOWEST = 1e-9  # m/s below which a path has no direction to bend

OCTANTS = tuple(f"{a}{b}{c}" for c in "-+" for b in "-+" for a in "-+")  # signs of the frame's three axes


def speed_and_curvature(
    context: FloatArray, positions: IntArray, dt: float
) -> tuple[Float64Array, Float64Array]:
    """Speed and curvature of observed paths just before some points.

    From a parabola fitted to the last 15 points, or as many as there are, in its middle: single steps would
    show noise alone, and the ends of a parabola are the least sure.

    Args:
        context: [N, L, 3] metres.
        positions: [T] indices of the points, from 0; those with fewer than two points before them have no
            parabola.
        dt: seconds between points.

    Returns:
        Speed in m/s and curvature in 1/m, |v x a| / |v|^3, [N, T] each; NaN where undefined.
    """
    speed, curvature = (np.full((len(context), len(positions)), np.nan) for _ in range(2))
    for column, position in enumerate(positions):
        points = min(_FIT_POINTS, int(position) + 1)
        if points < 3:
            continue
        seen = context[:, position + 1 - points : position + 1].astype(np.float64)
        offset = dt * (np.arange(points) - (points - 1) / 2)  # [l] seconds from the middle
        parabola = np.stack([np.ones(points), offset, offset**2 / 2], axis=1)
        _, velocity, acceleration = np.moveaxis(np.linalg.pinv(parabola) @ seen, 1, 0)  # [N, 3] each
        pace = np.linalg.norm(velocity, axis=1)
        bend = np.linalg.norm(np.cross(velocity, acceleration), axis=1)
        speed[:, column] = pace
        moving = pace > _SLOWEST
        curvature[moving, column] = bend[moving] / pace[moving] ** 3
    return speed, curvature


def in_own_frame(model: MoESequenceRegressor, context: FloatArray) -> Float64Array:
    """Contexts [N, L, 3] as the model sees them: moved, scaled and perhaps turned by their anchors."""
    points = torch.as_tensor(np.asarray(context, dtype=np.float64))
    lengths = torch.full((len(points),), points.shape[1], dtype=torch.int64)
    anchored: Float64Array = compute_anchor(points, lengths, model.config.anchor).normalise(points).numpy()
    return anchored


def window_middles(model: MoESequenceRegressor, context: FloatArray, positions: IntArray) -> Float64Array:
    """Where the points that a token sees lie in the anchored frame: their mean from the token's point on.

    Args:
        model: whose anchor and window count.
        context: [N, L, 3].
        positions: [T] of the tokens' points.

    Returns:
        [N, T, 3] in units of the context's spread, along the anchor's axes. The first axis is the direction
        of motion where the anchor is oriented.
    """
    anchored = in_own_frame(model, context)
    window = model.config.window
    middles = [
        anchored[:, max(0, p + 1 - window) : p + 1].mean(axis=1) - anchored[:, p] for p in positions.tolist()
    ]
    return np.stack(middles, axis=1)


def octants(places: Float64Array) -> IntArray:
    """Octant of places [..., 3]: index into `OCTANTS`, by the signs of the three coordinates."""
    result: IntArray = ((places >= 0) * np.array([1, 2, 4])).sum(axis=-1)
    return result


def quantile_bins(values: Float64Array, count: int) -> tuple[IntArray, Float64Array]:
    """Sort values into ``count`` bins of equal numbers.

    Args:
        values: any shape; values that are not finite get bin -1.
        count: bins wanted; ties may leave some empty.

    Returns:
        Bin of each value, and the ``count + 1`` edges (NaN without finite values).
    """
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(values.shape, -1, dtype=np.int64), np.full(count + 1, np.nan)
    edges = np.quantile(values[finite], np.linspace(0.0, 1.0, count + 1))
    bins = np.searchsorted(edges[1:-1], np.where(finite, values, 0.0), side="right")
    return np.where(finite, bins, -1).astype(np.int64), edges


def bin_names(edges: Float64Array, unit: str) -> tuple[str, ...]:
    """Names of bins between edges, such as ``0.1-0.5 m/s``."""
    return tuple(f"{low:.2g} to {high:.2g} {unit}".rstrip() for low, high in _pairs(edges))


def _pairs(edges: Float64Array) -> Sequence[tuple[float, float]]:
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
