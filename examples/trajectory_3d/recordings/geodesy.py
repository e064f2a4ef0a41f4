"""Latitude, longitude and altitude as local metres, and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.recordings.trajectory import Origin


def to_local(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, altitude: npt.ArrayLike, origin: Origin | None = None
) -> tuple[Float64Array, Origin]:
    """East, north and up of the plane that touches the WGS-84 ellipsoid at the origin.

    Args:
        latitude: degrees, ``[N]``.
        longitude: degrees, ``[N]``.
        altitude: metres, ``[N]``; above the ellipsoid or the sea alike, since only differences count much.
        origin: by default the first sample whose three values are finite.

    Returns:
        ``[N, 3]`` metres, NaN where a value is missing, and the origin.

    Raises:
        ValueError: no origin given, and no sample is complete.
    """
    from pymap3d import geodetic2enu  # noqa: PLC0415  (not wanted by other formats)

    table = np.stack([np.asarray(each, dtype=np.float64) for each in (latitude, longitude, altitude)], axis=1)
    if origin is None:
        known = np.flatnonzero(np.isfinite(table).all(axis=1))
        if not len(known):
            raise ValueError("no sample has latitude, longitude and altitude")
        origin = Origin(*table[known[0]].tolist())
    parts = geodetic2enu(*table.T, origin.latitude, origin.longitude, origin.altitude)
    return np.stack([np.asarray(part, dtype=np.float64) for part in parts], axis=1), origin


def to_geodetic(points: Float64Array, origin: Origin) -> Float64Array:
    """Latitude and longitude in degrees and altitude in metres, ``[N, 3]``, of local points ``[N, 3]``."""
    from pymap3d import enu2geodetic  # noqa: PLC0415

    parts = enu2geodetic(*points.T, origin.latitude, origin.longitude, origin.altitude)
    return np.stack([np.asarray(part, dtype=np.float64) for part in parts], axis=1)
