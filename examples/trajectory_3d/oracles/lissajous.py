"""Oracle of Lissajous curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray
from examples.trajectory_3d.oracles.base import Flavour, Oracle, register_oracle
from examples.trajectory_3d.oracles.family import Family, LikelihoodOracle, PosteriorOracle
from examples.trajectory_3d.oracles.harmonics import frequency_grid, harmonic_fits
from examples.trajectory_3d.oracles.priors import log_uniform_box, standardised, widened

FEWEST_POINTS = 4
GRID = 40  # frequencies over the known range


class Swings(Family):
    """x_i(t) = a_i cos w_i t + b_i sin w_i t on each axis; parameters a, b, w (3 each), nine."""

    def path(self, parameters: FloatArray, times: FloatArray) -> FloatArray:
        """Positions [N, T, 3] metres."""
        cosine, sine, rate = (parameters[:, None, i : i + 3] for i in (0, 3, 6))  # [N, 1, 3]
        angle = times[:, None] * rate  # [N, T, 3]
        result: FloatArray = cosine * np.cos(angle) + sine * np.sin(angle)
        return result

    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """The best rate of a grid for each axis by itself: [1, N, 9]."""
        return best_swings(points, times, frequency_grid(times))


class KnownSwings(Swings):
    """The same with known ranges of amplitude, base frequency and frequency ratios.

    Rounding of the ratios (``integer_ratios``) is not made use of.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._amplitude = widened(options["amplitude"])
        self._base = widened(options["base_frequency"])
        self._ratio = widened(options["frequency_ratio"])

    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """The best rate of the known range for each axis by itself: [1, N, 9]."""
        low = self._base[0] * min(self._ratio[0], 1.0)
        high = self._base[1] * max(self._ratio[1], 1.0)
        return best_swings(points, times, 2.0 * np.pi * np.linspace(low, high, GRID))

    def penalty(self, parameters: FloatArray) -> FloatArray:
        """Distances of amplitudes and frequencies from their means in standard deviations, [N, 6]."""
        amplitudes = np.hypot(parameters[:, :3], parameters[:, 3:6])
        mean, deviation = self._frequency_moments()
        frequencies = np.abs(parameters[:, 6:]) / (2.0 * np.pi)
        return np.concatenate(
            [standardised(amplitudes, [self._amplitude] * 3), (frequencies - mean) / deviation], axis=1
        )

    def log_prior(self, parameters: FloatArray) -> FloatArray:
        """Uniform A and phase (density 1 / A over a, b), and the joint law of the three frequencies, [N].

        One axis k of the three at equal odds has the base frequency f, uniform in its range, the others f r:
        the density is the sum over k of p(f_k) and, for each j other than k, p(f_j / f_k) / f_k.
        """
        amplitudes = np.hypot(parameters[:, :3], parameters[:, 3:6])
        in_range = log_uniform_box(amplitudes, [self._amplitude] * 3)
        of_swings: FloatArray = in_range - np.log(amplitudes + 1e-300).sum(axis=1)
        frequencies = parameters[:, 6:] / (2.0 * np.pi)
        density = np.zeros(len(parameters))
        with np.errstate(divide="ignore", invalid="ignore"):
            for k in range(3):
                base = frequencies[:, k]
                others = np.delete(frequencies, k, axis=1) / base[:, None]
                inside = log_uniform_box(others, [self._ratio] * 2)
                inside += log_uniform_box(base[:, None], [self._base])
                density += np.where(np.isfinite(inside), 1.0 / np.square(base), 0.0)
            of_frequencies: FloatArray = np.log(density)
        return of_swings + of_frequencies

    def _frequency_moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the frequency of an axis that may be the base or not, Hz."""
        base, ratio = self._base, self._ratio
        first = np.array([1.0, _moment(ratio, 1)])
        second = np.array([1.0, _moment(ratio, 2)])
        odds = np.array([1.0, 2.0]) / 3.0
        mean = _moment(base, 1) * float(odds @ first)
        square = _moment(base, 2) * float(odds @ second)
        return mean, float(np.sqrt(max(square - mean * mean, 1e-18)))


def best_swings(points: FloatArray, times: FloatArray, rates: FloatArray) -> FloatArray:
    """Parameters [1, N, 9] with, for each axis, the rate of the grid [G] that leaves the least residual."""
    coefficients, cost = harmonic_fits(points, times, rates, drift=False)  # [G, N, 3, 2], [G, N, 3]
    best = np.argmin(cost, axis=0)  # [N, 3]
    chosen = np.take_along_axis(coefficients, best[None, :, :, None], axis=0)[0]  # [N, 3, 2]
    return np.concatenate([chosen[:, :, 0], chosen[:, :, 1], rates[best]], axis=1)[None]


def _moment(bounds: tuple[float, float], power: int) -> float:
    """Mean of value^power, uniform on the range."""
    low, high = bounds
    return (high ** (power + 1) - low ** (power + 1)) / ((power + 1) * (high - low))


def _build(options: Mapping[str, Any], flavour: Flavour) -> Oracle:
    if flavour == "likelihood":
        return LikelihoodOracle(Swings(), FEWEST_POINTS)
    return PosteriorOracle(Swings(), KnownSwings(options), FEWEST_POINTS)


register_oracle("lissajous", _build)
