"""Predictive densities of forecast coordinates, with the closed forms that scores need.

A density states one distribution per coordinate of every forecast point, [B, H, 3]; how steps and axes hang
together is left to sampled paths. Densities can be cut by window and strung together, so that a forecast
made in batches keeps its density.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
import scipy.special  # not scipy.stats, which takes seconds to import

from examples.trajectory_3d.arrays import Float64Array, FloatArray, IntArray

FamilyName: TypeAlias = Literal["gaussian", "laplace", "student_t"]
_Standard: TypeAlias = Callable[[Float64Array, float], Float64Array]


class Density(Protocol):
    """The stated distribution of every forecast coordinate."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Windows, steps and axes it speaks of: (B, H, 3)."""
        ...

    def log_density(self, points: FloatArray) -> Float64Array:
        """Logarithm of the density at `points`, [B, H, 3] m -> [B, H, 3] nats per coordinate."""
        ...

    def cdf(self, points: FloatArray) -> Float64Array:
        """Probability of a coordinate below that of `points`, [B, H, 3] -> [B, H, 3] in [0, 1]."""
        ...

    def crps(self, points: FloatArray) -> Float64Array:
        """Continuous ranked probability score, [B, H, 3] -> [B, H, 3] metres; see `probabilistic`."""
        ...

    def select(self, windows: slice | IntArray | list[int]) -> Density:
        """Return the density of some of the windows, in the order given."""
        ...

    def joined(self, others: Sequence[Density]) -> Density:
        """Return this density followed by the windows of others of its kind; ValueError for another kind."""
        ...


@dataclass(frozen=True)
class _Family:
    """Functions of the standard member (centre 0, scale 1) and of its shape parameter."""

    log_density: _Standard
    cdf: _Standard
    quantile: Callable[[float, float], float]
    crps: _Standard


@dataclass(frozen=True)
class LocationScaleDensity:
    """Gaussian, Laplace or Student's t marginals about a centre.

    Attributes:
        family: name of the family.
        location: centre, mean (where it exists) and median, [B, H, 3] metres.
        scale: standard deviation (gaussian), mean absolute deviation (laplace) or t scale (student_t), same
            shape, metres, >= 0. Zero is certainty: all probability on the centre.
        degrees_of_freedom: of student_t, > 0; not used by the others.

    Raises:
        ValueError: for an unknown family, shapes that differ, or a scale below zero.
    """

    family: FamilyName
    location: Float64Array
    scale: Float64Array
    degrees_of_freedom: float = math.inf

    def __post_init__(self) -> None:
        if self.family not in _FAMILIES:
            raise ValueError(f"unknown family {self.family!r}; known: {sorted(_FAMILIES)}")
        if self.location.shape != self.scale.shape or self.location.ndim != 3:
            raise ValueError(
                f"location and scale must both have shape [B, H, 3], got {list(self.location.shape)} and "
                f"{list(self.scale.shape)}"
            )
        if not (self.scale >= 0).all():
            where = np.argwhere(~(self.scale >= 0))[0].tolist()
            raise ValueError(f"scale must be a number >= 0, got {self.scale[tuple(where)]} at index {where}")
        if self.family == "student_t" and not 0 < self.degrees_of_freedom < math.inf:
            raise ValueError(f"student_t needs finite degrees_of_freedom > 0, got {self.degrees_of_freedom}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Windows, steps and axes: (B, H, 3)."""
        return self.location.shape

    def log_density(self, points: FloatArray) -> Float64Array:
        """Logarithm of the density, [B, H, 3]; +inf or -inf where the scale is zero."""
        standard, scale = self._standardised(points)
        values = _FAMILIES[self.family].log_density(standard, self.degrees_of_freedom) - np.log(scale)
        certain = np.where(points == self.location, np.inf, -np.inf)
        return np.where(self.scale > 0, values, certain)

    def cdf(self, points: FloatArray) -> Float64Array:
        """Probability below `points`, [B, H, 3]; one half at the centre, also of a certain forecast."""
        standard, _ = self._standardised(points)
        values = _FAMILIES[self.family].cdf(standard, self.degrees_of_freedom)
        return np.where(self.scale > 0, values, np.heaviside(points - self.location, 0.5))

    def crps(self, points: FloatArray) -> Float64Array:
        """Continuous ranked probability score, [B, H, 3] metres; NaN for student_t with nu <= 1."""
        standard, scale = self._standardised(points)
        values = scale * _FAMILIES[self.family].crps(standard, self.degrees_of_freedom)
        return np.where(self.scale > 0, values, np.abs(points - self.location))

    def quantile(self, level: float) -> Float64Array:
        """Marginal quantile at `level` in (0, 1), [B, H, 3] metres; ValueError for another level."""
        if not 0.0 < level < 1.0:
            raise ValueError(f"a quantile level must lie strictly between 0 and 1, got {level}")
        return self.location + self.scale * _FAMILIES[self.family].quantile(level, self.degrees_of_freedom)

    def select(self, windows: slice | IntArray | list[int]) -> LocationScaleDensity:
        """Return the density of some of the windows, in the order given."""
        return LocationScaleDensity(
            self.family, self.location[windows], self.scale[windows], self.degrees_of_freedom
        )

    def joined(self, others: Sequence[Density]) -> LocationScaleDensity:
        """Return this density followed by others of its family and shape parameter; else ValueError."""
        parts = [self]
        for other in others:
            if (
                not isinstance(other, LocationScaleDensity)
                or other.family != self.family
                or other.degrees_of_freedom != self.degrees_of_freedom
            ):
                raise ValueError(f"cannot join a {self.family} density with {other!r}: they differ in kind")
            parts.append(other)
        return LocationScaleDensity(
            self.family,
            np.concatenate([part.location for part in parts]),
            np.concatenate([part.scale for part in parts]),
            self.degrees_of_freedom,
        )

    def _standardised(self, points: FloatArray) -> tuple[Float64Array, Float64Array]:
        """(points - location) / scale and the scale, with 1 in place of a scale of zero."""
        if points.shape != self.location.shape:
            raise ValueError(
                f"points have shape {list(points.shape)}, the density speaks of {list(self.location.shape)}"
            )
        scale = np.where(self.scale > 0, self.scale, 1.0)
        return (points - self.location) / scale, scale


def _gaussian_log_density(z: Float64Array, _: float) -> Float64Array:
    return -0.5 * (z * z + math.log(2 * math.pi))


def _gaussian_crps(z: Float64Array, _: float) -> Float64Array:
    """Gneiting and Raftery, Strictly proper scoring rules, 2007, section 4.2."""
    density = np.exp(_gaussian_log_density(z, 0.0))
    return np.asarray(z * (2 * scipy.special.ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))


def _laplace_cdf(z: Float64Array, _: float) -> Float64Array:
    tail = 0.5 * np.exp(-np.abs(z))
    return np.where(z < 0, tail, 1.0 - tail)


def _student_log_density(z: Float64Array, nu: float) -> Float64Array:
    constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
    return np.asarray(constant - (nu + 1) / 2 * np.log1p(z * z / nu))


def _student_crps(z: Float64Array, nu: float) -> Float64Array:
    """Jordan, Krueger and Lerch, Evaluating probabilistic forecasts with scoringRules, 2019, table 2."""
    if nu <= 1:  # the expected distance that the closed form contains is infinite
        return np.full_like(z, np.nan)
    density = np.exp(_student_log_density(z, nu))
    log_ratio = scipy.special.betaln(0.5, nu - 0.5) - 2 * scipy.special.betaln(nu / 2, 0.5)
    spread = 2 * math.sqrt(nu) / (nu - 1) * math.exp(log_ratio)
    below = scipy.special.stdtr(nu, z)
    return np.asarray(z * (2 * below - 1) + 2 * density * (nu + z * z) / (nu - 1) - spread)


_FAMILIES: Mapping[str, _Family] = {
    "gaussian": _Family(
        _gaussian_log_density,
        lambda z, _: np.asarray(scipy.special.ndtr(z)),
        lambda level, _: float(scipy.special.ndtri(level)),
        _gaussian_crps,
    ),
    "laplace": _Family(
        lambda z, _: -np.abs(z) - math.log(2.0),
        _laplace_cdf,
        lambda level, _: math.copysign(math.log1p(-abs(2 * level - 1)), level - 0.5),
        lambda z, _: np.abs(z) + np.exp(-np.abs(z)) - 0.75,
    ),
    "student_t": _Family(
        _student_log_density,
        lambda z, nu: np.asarray(scipy.special.stdtr(nu, z)),
        lambda level, nu: float(scipy.special.stdtrit(nu, level)),
        _student_crps,
    ),
}
