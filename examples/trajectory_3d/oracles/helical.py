"""Oracle of helices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from examples.trajectory_3d.motions.registry import FloatArray
from examples.trajectory_3d.oracles.base import Flavour, Oracle, register_oracle
from examples.trajectory_3d.oracles.family import Family, LikelihoodOracle, PosteriorOracle
from examples.trajectory_3d.oracles.harmonics import frequency_grid, harmonic_fits
from examples.trajectory_3d.oracles.priors import log_uniform_box, standardised, widened

FEWEST_POINTS = 6
STARTS = 4  # of the frequency grid, the best this many
INFORMED_RATES = 6  # turning rates spread over the known range


class FreeHelix(Family):
    """x(t) = o + r (cos ft u + sin ft v) + k t w, with nothing known: nine parameters.

    They are the rotation vector of the frame (u, v, w), which holds the start angle too, r in metres, the
    turning rate f in rad/s, the advance k in m/s (its sign is the handedness), and the point o of the axis.
    """

    def path(self, parameters: FloatArray, times: FloatArray) -> FloatArray:
        """Positions [N, T, 3] metres, times from the first point fitted."""
        frame = Rotation.from_rotvec(parameters[:, :3]).as_matrix()  # columns u, v, w
        radius, rate, advance = (parameters[:, i, None] for i in (3, 4, 5))
        angle = rate * times  # [N, T]
        local = np.stack([radius * np.cos(angle), radius * np.sin(angle), advance * times], axis=2)
        return local @ np.swapaxes(frame, 1, 2) + parameters[:, None, 6:9]

    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """The best frequencies of a grid, the rest from a linear fit: [S, N, 9]."""
        rates = frequency_grid(times)
        coefficients, cost = harmonic_fits(points, times, rates, drift=True)  # [G, N, 3, 4], [G, N]
        best = np.argsort(cost, axis=0)[:STARTS]  # [S, N]
        windows = np.arange(len(points))
        return np.stack([helix_start(coefficients[index, windows], rates[index]) for index in best])


class KnownHelix(Family):
    """The generator's helix, of known ranges.

    x(t) = c + r (cos ft u + sin ft v) + (q + k t) w, with f = 2 pi n / duration and, in terms of the
    generator's pitch p (negative for left hands) and start time s0, k = p n / duration and
    q = k (s0 - duration / 2). Parameters are the rotation vector of the frame (u, v, w) (3), r, f, k, q and,
    where the range of the centre has a width, c (3). Rather k and q than p and s0, since the path is linear
    in them. That the axis is known (``any_axis: false``) is not made use of.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._duration = float(options["duration"])
        self._ranges = [widened(options[name]) for name in ("radius", "turns", "pitch")]
        low, high = options["centre"]
        self._centre_free = high > low
        self._centre = (float(low), float(high))

    def path(self, parameters: FloatArray, times: FloatArray) -> FloatArray:
        """Positions [N, T, 3] metres, times from the first point fitted."""
        frame = Rotation.from_rotvec(parameters[:, :3]).as_matrix()  # columns u, v, w
        radius, rate, advance, along = (parameters[:, i, None] for i in (3, 4, 5, 6))
        angle = rate * times  # [N, T]
        local = np.stack([radius * np.cos(angle), radius * np.sin(angle), along + advance * times], axis=2)
        centre = parameters[:, None, 7:10] if self._centre_free else 0.5 * sum(self._centre)
        path: FloatArray = local @ np.swapaxes(frame, 1, 2) + centre
        return path

    def starts(self, points: FloatArray, times: FloatArray) -> FloatArray:
        """For each of several turning rates over the known range the fit of both hands: [S, N, P]."""
        low, high = (2.0 * np.pi / self._duration * value for value in self._ranges[1])
        rates = np.linspace(low, high, INFORMED_RATES)
        coefficients, _ = harmonic_fits(points, times, rates, drift=True)
        return np.stack(
            [
                self._from_free(helix_start(fit, np.full(len(points), rate)))
                for fit, rate in zip(coefficients, rates, strict=True)
            ]
        )

    def penalty(self, parameters: FloatArray) -> FloatArray:
        """Distances of r, n, |p|, q (and c) from their means in about their standard deviations, [N, R]."""
        values, ranges = self._bounded(parameters)
        # s0 = q / k + duration / 2 runs away where k is small, so q is held in place instead.
        typical = self._ranges[1][1] * self._ranges[2][1] / 2.0
        values[:, 3] = parameters[:, 6]
        ranges[3] = (-typical, typical)
        return standardised(values, ranges)

    def log_prior(self, parameters: FloatArray) -> FloatArray:
        """Uniform in r, n, |p|, s0 and c, and over rotations, [N].

        dn dp ds0 is proportional to df dk dq / (f |k|); the uniform (Haar) measure of rotations is
        (sin(a / 2) / (a / 2))^2 over rotation vectors of length a.
        """
        values, ranges = self._bounded(parameters)
        half = 0.5 * np.linalg.norm(parameters[:, :3], axis=1)
        with np.errstate(divide="ignore"):
            jacobian = -np.log(np.abs(parameters[:, 4] * parameters[:, 5]))
            haar = 2.0 * np.log(np.abs(np.sinc(half / np.pi)))
        density: FloatArray = log_uniform_box(values, ranges) + jacobian + haar
        return density

    def _bounded(self, parameters: FloatArray) -> tuple[FloatArray, list[tuple[float, float]]]:
        """r, n, |p|, s0 (and c), [N, R], and their ranges."""
        rate, advance, along = parameters[:, 4], parameters[:, 5], parameters[:, 6]
        turns = rate * self._duration / (2.0 * np.pi)
        with np.errstate(divide="ignore", invalid="ignore"):
            pitch = np.abs(advance * self._duration / turns)
            start = along / advance + 0.5 * self._duration
        columns = [parameters[:, 3], turns, pitch, start]
        ranges = [*self._ranges, (0.0, self._duration)]
        if self._centre_free:
            columns += [parameters[:, i] for i in (7, 8, 9)]
            ranges += [self._centre] * 3
        return np.stack(columns, axis=1), ranges

    def _from_free(self, free: FloatArray) -> FloatArray:
        """Parameters [N, P] from those of `FreeHelix`, [N, 9], about inside the ranges."""
        radius = np.clip(free[:, 3], *self._ranges[0])
        most = self._ranges[1][1] * self._ranges[2][1]  # metres of advance in the whole motion
        advance = np.clip(free[:, 5], -most / self._duration, most / self._duration)
        middle = 0.5 * sum(self._centre)
        axis = Rotation.from_rotvec(free[:, :3]).as_matrix()[:, :, 2]
        along = np.clip(((free[:, 6:9] - middle) * axis).sum(axis=1), -0.5 * most, 0.5 * most)
        columns = [*free[:, :3].T, radius, free[:, 4], advance, along]
        if self._centre_free:
            columns += [np.full(len(free), middle)] * 3
        return np.stack(columns, axis=1)


def helix_start(coefficients: FloatArray, rate: FloatArray) -> FloatArray:
    """The helix nearest to a drifting harmonic motion.

    Args:
        coefficients: [N, 3, 4] of 1, t, cos, sin for each coordinate.
        rate: [N] rad/s.

    Returns:
        [N, 9] parameters of `FreeHelix`.
    """
    offset, drift, cosine, sine = (coefficients[:, :, i] for i in range(4))
    # The nearest orthonormal pair, by the polar decomposition of the plane's two vectors.
    left, sizes, right = np.linalg.svd(np.stack([cosine, sine], axis=2), full_matrices=False)
    pair = left @ right  # [N, 3, 2]
    axis = np.cross(pair[:, :, 0], pair[:, :, 1])
    frame = np.concatenate([pair, axis[:, :, None]], axis=2)
    rotation = Rotation.from_matrix(frame).as_rotvec()
    advance = (drift * axis).sum(axis=1)
    return np.column_stack([rotation, sizes.mean(axis=1), rate, advance, offset])


def _build(options: Mapping[str, Any], flavour: Flavour) -> Oracle:
    if flavour == "likelihood":
        return LikelihoodOracle(FreeHelix(), FEWEST_POINTS)
    return PosteriorOracle(FreeHelix(), KnownHelix(options), FEWEST_POINTS)


register_oracle("helical", _build)
