"""Oracle of Kepler orbits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from examples.trajectory_3d.motions.orbital import eccentric_anomaly
from examples.trajectory_3d.motions.registry import FloatArray
from examples.trajectory_3d.oracles.base import Flavour, Oracle, register_oracle
from examples.trajectory_3d.oracles.family import Family, LikelihoodOracle, PosteriorOracle
from examples.trajectory_3d.oracles.priors import log_uniform_box, standardised, widened

FEWEST_POINTS = 5
MOST_ECCENTRIC = 0.999
LEAST_SLACK = 0.02  # of eccentricity, and of the semi-major axis relative to itself


class Orbit(Family):
    """Orbits about a focus at the origin under a known mu; parameters: position and velocity, six.

    The state at the first point has no singularity at circular or untilted orbits, unlike the elements.

    Args:
        mu: gravitational parameter, m^3/s^2.
    """

    def __init__(self, mu: float) -> None:
        self._mu = mu

    def path(self, parameters: FloatArray, times: FloatArray) -> FloatArray:
        """Positions [N, T, 3] metres by Lagrange's f and g; NaN where the state is not bound.

        Source: C. Murray and S. Dermott, "Solar System Dynamics" (1999), section 2.4.
        """
        position, velocity = parameters[:, :3], parameters[:, 3:]
        axis, eccentricity, e_cos, e_sin = self._shape(parameters)
        motion = np.sqrt(self._mu / axis**3)  # [N, 1] rad/s
        first = np.arctan2(e_sin, e_cos)
        anomaly = eccentric_anomaly(first - e_sin + motion * times, eccentricity) - first  # [N, T]
        distance = np.linalg.norm(position, axis=1)[:, None]
        f = 1.0 - axis / distance * (1.0 - np.cos(anomaly))
        g = times - (anomaly - np.sin(anomaly)) / motion
        path: FloatArray = f[:, :, None] * position[:, None] + g[:, :, None] * velocity[:, None]
        return path

    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """Position and velocity at the first point from polynomial fits of several lengths and degrees."""
        length = len(times)
        starts = []
        for degree, share in ((3, 0.2), (3, 0.4), (4, 0.7), (6, 1.0)):
            count = min(length, max(round(share * length), degree + 2))
            design = np.vander(times[:count], min(degree, count - 1) + 1, increasing=True)
            fit = np.einsum("kl,nlc->nkc", np.linalg.pinv(design), points[:, :count])
            starts.append(self._bound(fit[:, 0], fit[:, 1]))
        return np.stack(starts)

    def elements(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Semi-major axis and eccentricity, each [N]; NaN where the state is not bound."""
        axis, eccentricity, _, _ = self._shape(parameters)
        return axis[:, 0], eccentricity[:, 0]

    def _shape(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """a, e, e cos E, e sin E of the state, each [N, 1]."""
        position, velocity = parameters[:, :3], parameters[:, 3:]
        distance = np.linalg.norm(position, axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            axis = 1.0 / (2.0 / distance - np.square(velocity).sum(axis=1, keepdims=True) / self._mu)
            axis = np.where(axis > 0.0, axis, np.nan)
            e_cos = 1.0 - distance / axis
            e_sin = (position * velocity).sum(axis=1, keepdims=True) / np.sqrt(self._mu * axis)
        eccentricity = np.hypot(e_cos, e_sin)
        return axis, np.where(eccentricity < MOST_ECCENTRIC, eccentricity, np.nan), e_cos, e_sin

    def _bound(self, position: FloatArray, velocity: FloatArray) -> FloatArray:
        """States [N, 6], slowed below the escape velocity and, if too radial, sped up across."""
        distance = np.maximum(np.linalg.norm(position, axis=1, keepdims=True), 1e-9)
        fastest = 0.98 * np.sqrt(2.0 * self._mu / distance)
        speed = np.maximum(np.linalg.norm(velocity, axis=1, keepdims=True), 1e-9)
        state = np.concatenate([position, velocity * np.minimum(1.0, fastest / speed)], axis=1)
        radial = ~np.isfinite(self._shape(state)[1][:, 0])
        across = np.cross(position, np.cross(velocity, position))
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
        circular = np.concatenate([position, across * np.sqrt(self._mu / distance)], axis=1)
        return np.where(radial[:, None], circular, state)


class KnownOrbit(Orbit):
    """Orbits whose ranges of a and e are known; orientations are taken as uniform.

    Args:
        options: of the motion. Ranges of the angles, uniform over the sphere by default, are not used.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(float(options["mu"]))
        # a and e are not parameters but follow from the state: a range without width would leave a fit no way
        # to move, and gets a little.
        axis, eccentricity = options["semi_major_axis"], options["eccentricity"]
        self._ranges = [widened(axis, LEAST_SLACK * float(axis[1])), widened(eccentricity, LEAST_SLACK)]

    def penalty(self, parameters: FloatArray) -> FloatArray:
        """Distances of a and e from the middle of their ranges, in standard deviations, [N, 2]."""
        return standardised(np.stack(self.elements(parameters), axis=1), self._ranges)

    def log_prior(self, parameters: FloatArray) -> FloatArray:
        """Density of the state for uniform a, e, orientation and mean anomaly, [N].

        Position and velocity have the same volume element as the Delaunay variables, d^3x d^3v = dL dG dH
        dl dg dh with L = sqrt(mu a), G = L sqrt(1 - e^2), H = G cos i, and |d(L, G, H) / d(a, e, cos i)| =
        mu^(3/2) sqrt(a) e / 2; so the density is proportional to 1 / (e sqrt(a)) within the ranges.
        """
        axis, eccentricity = self.elements(parameters)
        inside = log_uniform_box(np.stack([axis, eccentricity], axis=1), self._ranges)
        return inside - 0.5 * np.log(axis) - np.log(np.maximum(eccentricity, 1e-9))


def _build(options: Mapping[str, Any], flavour: Flavour) -> Oracle:
    free = Orbit(float(options["mu"]))
    if flavour == "likelihood":
        return LikelihoodOracle(free, FEWEST_POINTS)
    return PosteriorOracle(free, KnownOrbit(options), FEWEST_POINTS)


register_oracle("orbital", _build)
