"""The interval of a forecast in space: a tube around the path."""

import numpy as np

from examples.trajectory_3d.arrays import FloatArray

FAN = "#F3D2B8"  # vermillion on white, not translucent: where its parts overlap it stays one shape
_TUBE_SIDES = 12


def tube(centre: FloatArray, low: FloatArray, high: FloatArray) -> list[FloatArray]:
    """The skin of a path's interval: around each point, its interval ellipsoid cut across the path.

    Args:
        centre: the path, [H, 3] metres.
        low: lower end of each coordinate, [H, 3] metres.
        high: upper end, [H, 3] metres.

    Returns:
        Quadrilaterals between neighbouring points, each [4, 3]; none for a path of one point.
    """
    if len(centre) < 2:
        return []
    along = np.gradient(centre, axis=0)  # [H, 3]
    aside = np.eye(3)[np.argmin(np.ptp(centre, axis=0))]  # the axis along which the path moves least
    first = _unit(np.cross(along, aside))
    second = _unit(np.cross(along, first))
    angle = np.linspace(0.0, 2.0 * np.pi, _TUBE_SIDES + 1)[:, None, None]
    towards = np.cos(angle) * first + np.sin(angle) * second  # [sides + 1, H, 3]
    half = np.maximum((high - low) / 2, 1e-9)
    radius = 1.0 / np.maximum(np.linalg.norm(towards / half, axis=-1, keepdims=True), 1e-9)
    rings = (low + high) / 2 + radius * towards
    corners = np.stack([rings[:-1, :-1], rings[1:, :-1], rings[1:, 1:], rings[:-1, 1:]], axis=2)
    return list(corners.reshape(-1, 4, 3))


def _unit(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))
