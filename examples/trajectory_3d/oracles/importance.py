"""Posterior means by importance sampling around a least-squares fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray
from examples.trajectory_3d.oracles.least_squares import BoolArray, Fits

ROUNDS = 3  # each draws from what the one before found
FREEDOM = 6.0  # of the t distribution drawn from; its tails reach past a Gaussian posterior's
FEWEST_EFFECTIVE = 8.0  # draws that must carry the weight for an average to be trusted
WINDOWS_AT_ONCE = 128


@dataclass(frozen=True)
class Observed:
    """What is known of N windows.

    Attributes:
        points: [N, L, 3] metres.
        noise: standard deviation per coordinate, [N] metres.
        times: [L] seconds.
    """

    points: FloatArray
    noise: FloatArray
    times: FloatArray

    def some(self, rows: slice) -> Observed:
        """The windows of some rows."""
        return Observed(self.points[rows], self.noise[rows], self.times)


class Curves(Protocol):
    """Paths by parameters, with a prior."""

    def path(self, parameters: FloatArray, times: FloatArray) -> FloatArray:
        """Positions [N, T, 3] at parameters [N, P] and times [T]."""
        ...

    def log_prior(self, parameters: FloatArray) -> FloatArray:
        """Logarithm of the prior density, [N]."""
        ...


def posterior_mean(
    curves: Curves, observed: Observed, fits: Fits, future: FloatArray, draws: int
) -> tuple[FloatArray, BoolArray]:
    """Average continuations over the posterior of the parameters.

    Draws come from a t distribution around the fit with the fit's covariance, and weigh
    exp(-|residual|^2 / 2 noise^2) prior / density of the draw; the weighted mean and covariance of one
    round make the distribution of the next (adaptive importance sampling; O. Cappé et al., "Population Monte
    Carlo", J. Comput. Graph. Statist. 13, 2004). All windows use the same standardised draws, so that a
    window's result does not depend on the others.

    Args:
        curves: the paths and the prior of their parameters.
        observed: what was seen of N windows.
        fits: where to begin, N fits to the same windows with residuals in metres.
        future: [H] seconds.
        draws: per window and round.

    Returns:
        The mean continuation [N, H, 3], and [N] whether it is trusted; where it is not, the
        continuation of the fit itself is returned.
    """
    mean = curves.path(fits.parameters, future)
    trusted = np.zeros(len(mean), dtype=np.bool_)
    standard = _standard_draws(draws, fits.parameters.shape[1])
    for first in range(0, len(mean), WINDOWS_AT_ONCE):
        rows = slice(first, first + WINDOWS_AT_ONCE)
        part = observed.some(rows)
        centre, root = fits.parameters[rows], _covariance_root(fits.normal[rows], part.noise)
        for _ in range(ROUNDS):
            parameters = centre[:, None] + np.einsum("npq,sq->nsp", root, standard)  # [n, S, P]
            weights = _weights(curves, part, parameters, standard)
            effective = _effective(weights)
            centre, root = _adapt(centre, root, parameters, weights, effective)
        good = effective >= FEWEST_EFFECTIVE
        paths = curves.path(parameters.reshape(-1, parameters.shape[2]), future)
        paths = paths.reshape(*parameters.shape[:2], len(future), 3)
        average = np.einsum("ns,nshc->nhc", weights, np.where(weights[:, :, None, None] > 0.0, paths, 0.0))
        mean[rows][good] = average[good]
        trusted[rows] = good
    return mean, trusted


def _standard_draws(draws: int, width: int) -> FloatArray:
    """Draws [S, P] from the standard t distribution, the same at every call, in pairs +z and -z."""
    rng = np.random.default_rng(0)
    half = (draws + 1) // 2
    z = rng.standard_normal((half, width))
    z *= np.sqrt(FREEDOM / rng.chisquare(FREEDOM, size=(half, 1)))
    return np.concatenate([z, -z])


def _covariance_root(normal: FloatArray, noise: FloatArray) -> FloatArray:
    """Roots R [N, P, P] with R R^T = noise^2 (J^T J)^-1, however ill-conditioned."""
    scale = np.sqrt(np.maximum(np.diagonal(normal, axis1=1, axis2=2), 1e-30))
    scaled = normal / (scale[:, :, None] * scale[:, None, :]) + 1e-10 * np.eye(normal.shape[1])
    values, vectors = np.linalg.eigh(scaled)
    root = vectors / np.sqrt(np.maximum(values, 1e-10))[:, None, :]
    result: FloatArray = noise[:, None, None] * root / scale[:, :, None]
    return result


def _weights(curves: Curves, observed: Observed, parameters: FloatArray, standard: FloatArray) -> FloatArray:
    """Normalised importance weights [n, S]; all zero where no draw is possible."""
    count, draws, width = parameters.shape
    flat = parameters.reshape(-1, width)
    paths = curves.path(flat, observed.times).reshape(count, draws, -1)
    misfit = np.square(paths - observed.points.reshape(count, 1, -1)).sum(axis=2)  # [n, S]
    log_density = -0.5 * (FREEDOM + width) * np.log1p(np.square(standard).sum(axis=1) / FREEDOM)  # [S]
    log_weight = curves.log_prior(flat).reshape(count, draws) - log_density
    log_weight -= misfit / (2.0 * observed.noise[:, None] ** 2)
    log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    top = log_weight.max(axis=1, keepdims=True)
    weights = np.exp(log_weight - np.where(np.isfinite(top), top, 0.0))
    total = weights.sum(axis=1, keepdims=True)
    normalised: FloatArray = weights / np.where(total > 0.0, total, 1.0)
    return normalised


def _effective(weights: FloatArray) -> FloatArray:
    """How many equal weights these are worth, [n] (Kish): 1 / sum of squares; 0 without weights."""
    squares = np.square(weights).sum(axis=1)
    return np.where(squares > 0.0, 1.0 / np.where(squares > 0.0, squares, 1.0), 0.0)


def _adapt(
    centre: FloatArray, root: FloatArray, parameters: FloatArray, weights: FloatArray, effective: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Centre and covariance root of the next round; a window without weights keeps its own."""
    width = parameters.shape[2]
    mean = np.einsum("ns,nsp->np", weights, parameters)
    apart = parameters - mean[:, None]
    covariance = np.einsum("ns,nsp,nsq->npq", weights, apart, apart)
    old = root @ np.swapaxes(root, 1, 2)
    # Few draws say little about a covariance: blend in the former one, more of it the fewer there are.
    share = (effective / (effective + 2.0 * width))[:, None, None]
    blended = share * covariance + (1.0 - share) * old
    scale = np.sqrt(np.maximum(np.diagonal(blended, axis1=1, axis2=2), 1e-300))
    values, vectors = np.linalg.eigh(blended / (scale[:, :, None] * scale[:, None, :]))
    new = scale[:, :, None] * vectors * np.sqrt(np.maximum(values, 1e-12))[:, None, :]
    usable = effective > 0.0
    return np.where(usable[:, None], mean, centre), np.where(usable[:, None, None], new, root)
