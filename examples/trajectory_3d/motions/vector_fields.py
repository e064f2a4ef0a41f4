"""Random smooth vector fields: paths carried by steady flows that no two windows share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.motions.draw import check_scalar, phases
from examples.trajectory_3d.motions.ranges import chosen, log_uniform, whole_range
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion
from examples.trajectory_3d.motions.runge_kutta import clock, integrate

_LEAD = 1.0  # length scales travelled, on average, before the window starts


@register_motion("vector_fields", own_times=True)
def vector_fields(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    features: tuple[int, int] = (4, 10),
    length_scale: Range = (0.7, 2.5),
    speed: Range = (0.7, 5.0),
    confined_share: float = 0.5,
    confinement: Range = (0.2, 1.0),
    tolerance: float = 1e-6,
) -> FloatArray:
    """Draw windows of paths x' = v(x) in fields of a few random waves.

    ::

        v(x) = sum over k of b_k cos(w_k . x + phi_k)  -  c s (x / r) (|x| / r)^2

    with wave vectors w_k Gaussian of standard deviation 1 / l per axis, phases uniform, and b_k
    perpendicular to w_k, so that the sum is free of divergence: an incompressible flow. With
    many waves it tends to a Gaussian random field of covariance length l (A. Rahimi and
    B. Recht, "Random features for large-scale kernel machines", 2007). A share ``confined_share`` of the
    windows also has the second term, which is not: it pulls paths back at r = 3 l and lets
    them settle on fixed points, cycles or strange sets. The waves are bounded, and the pull grows
    outwards, so no path can run away.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window, or [N, T], rows in proportion.
        features: fewest and most waves, both included, at least 2.
        length_scale: range of l, metres, drawn log-uniformly.
        speed: range of the root mean square s of the waves' velocity, m/s, drawn log-uniformly.
        confined_share: share of windows with the confining term.
        confinement: range of c, drawn log-uniformly.
        tolerance: error allowed per integration step, relative to l.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
        FloatingPointError: the tolerance is too small to be met.
    """
    if not 1e-12 <= check_scalar("tolerance", tolerance) <= 1e-3:
        raise ValueError(f"option 'tolerance' must lie between 1e-12 and 1e-3; got {tolerance!r}")
    fewest, most = whole_range("features", features, minimum=2)
    length = log_uniform(rng, "length_scale", length_scale, count)
    rate = log_uniform(rng, "speed", speed, count)
    confined = chosen(rng, "confined_share", confined_share, count)
    pull = np.where(confined, log_uniform(rng, "confinement", confinement, count), 0.0)
    field = draw_waves(rng, rng.integers(fewest, most, size=count, endpoint=True), most, pull)
    start = rng.standard_normal((3, count))
    fractions, seconds = clock(times, count)
    unit = np.ones(count)
    # Lengths in l and times in l / s: all windows then obey fields of scale 1 and speed 1.
    lead = integrate(field, start, _LEAD * unit, np.ones(1), size=unit, tolerance=tolerance)
    path = integrate(
        field,
        np.ascontiguousarray(lead[:, 0].T),
        seconds * rate / length,
        fractions,
        size=unit,
        tolerance=tolerance,
    )
    if not np.isfinite(path).all():
        raise FloatingPointError(f"option 'tolerance' {tolerance!r} could not be met; choose a larger one")
    path *= length[:, None, None]
    return path


_RADIUS = 3.0  # r, in length scales


@dataclass(frozen=True)
class WaveField:
    """Fields of scale 1 and root mean square speed 1, one for each of N paths.

    Attributes:
        waves: [3, K, N] wave vectors w.
        strengths: [3, K, N] vectors b, each perpendicular to its wave vector; zero for waves
            that a field does not have.
        phases: [K, N] radians.
        pull: [N] confinement c >= 0.
    """

    waves: FloatArray
    strengths: FloatArray
    phases: FloatArray
    pull: FloatArray

    def __call__(self, state: FloatArray) -> FloatArray:
        """Velocities [3, N] at positions [3, N]."""
        angle = self.phases.copy()  # [K, N]
        for axis in range(3):
            angle += self.waves[axis] * state[axis]
        np.cos(angle, out=angle)
        velocity: FloatArray = np.einsum("dkn,kn->dn", self.strengths, angle)
        inward = self.pull / _RADIUS**3 * (state * state).sum(axis=0)
        velocity -= inward * state
        return velocity

    def select(self, rows: NDArray[np.int64]) -> WaveField:
        """The same for some of the N."""
        return WaveField(*(np.ascontiguousarray(part[..., rows]) for part in vars(self).values()))


def draw_waves(rng: np.random.Generator, counts: NDArray[np.int64], most: int, pull: FloatArray) -> WaveField:
    """Draw one field per entry of ``counts``, with that many of at most ``most`` waves."""
    shape = (3, most, len(counts))
    waves = rng.standard_normal(shape)
    strengths = np.cross(rng.standard_normal(shape), waves, axis=0)  # perpendicular to the waves
    strengths *= np.arange(most)[:, None] < counts
    strengths *= np.sqrt(2.0 / (strengths**2).sum(axis=(0, 1)))  # a cosine squared is 1/2 on average
    return WaveField(waves, strengths, phases(rng, shape[1:]), pull)
