"""The Lorenz attractor, each window under its own parameters."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from examples.trajectory_3d.motions.draw import check_scalar, uniform
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion
from examples.trajectory_3d.motions.taylor import LorenzParameters, integrate_lorenz

_SIGMA, _RHO, _BETA = 10.0, 28.0, 8.0 / 3.0  # the classical parameters, of the bank
_RELAXATION = 1.0  # time units under the window's own parameters before the window starts
_RELAXATION_TOLERANCE = 1e-6


@register_motion("lorenz")
def lorenz(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    sigma: Range = (9.0, 11.0),
    rho: Range = (26.0, 30.0),
    beta: Range = (2.5, 2.8),
    time_scale: float = 1.0,
    scale: float = 0.1,
    tolerance: float = 1e-10,
) -> FloatArray:
    """Draw windows of the Lorenz system, on its attractor.

    ::

        dx/dt = sigma (y - x)      dy/dt = x (rho - z) - y      dz/dt = x y - beta z

    Positions are ``scale`` times (x, y, z), neither centred nor turned. The integration is a
    Taylor series in double precision; over windows of 2 time units the error stays below 1e-8
    of the path's size (4.3e-10 at worst over 400 windows, against DOP853 at rtol 2.3e-14). Source: E. Lorenz,
    "Deterministic nonperiodic flow", J. Atmos. Sci. 20 (1963).

    A window starts from a point of the attractor of the classical parameters, moved so that the
    unstable fixed points (+-sqrt(beta (rho - 1)), same, rho - 1) fall on those of the window's
    parameters, then followed for 1 time unit under these, in which distances across the attractor
    shrink by about e^-(sigma + 1 + beta + 0.9), a factor of two million. Parameters for which
    the system is not chaotic are allowed; it then relaxes towards whatever it has instead.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window.
        sigma: range of sigma.
        rho: range of rho, above 1.
        beta: range of beta.
        time_scale: Lorenz time units per second; one loop around a wing takes about 0.7 units.
        scale: metres per Lorenz length unit.
        tolerance: truncation error allowed per integration step, relative.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an option is out of range.
    """
    parameters = LorenzParameters(
        sigma=uniform(rng, "sigma", sigma, count, minimum=1e-6),
        rho=uniform(rng, "rho", rho, count, minimum=1.0 + 1e-6),
        beta=uniform(rng, "beta", beta, count, minimum=1e-6),
    )
    metres = check_scalar("scale", scale)
    units = check_scalar("time_scale", time_scale) * (times - times[0])  # [T] time units
    if not 1e-15 <= check_scalar("tolerance", tolerance) <= 1e-3:
        raise ValueError(f"option 'tolerance' must lie between 1e-15 and 1e-3; got {tolerance!r}")
    start = attractor_points(rng, parameters)
    path = integrate_lorenz(start, parameters, units, tolerance=tolerance)  # [T, 3, N]
    return np.ascontiguousarray(np.moveaxis(path, 2, 0)) * metres


def attractor_points(rng: np.random.Generator, parameters: LorenzParameters) -> FloatArray:
    """Draw one point of the attractor per set of parameters, [3, N] in Lorenz units."""
    bank = _classical_attractor()
    count = len(parameters.rho)
    points = bank[:, rng.integers(bank.shape[1], size=count)]  # [3, N]
    # (x, y) -> (-x, -y) is a symmetry of the equations.
    wing = rng.choice((-1.0, 1.0), size=count)
    height = (parameters.rho - 1.0) / (_RHO - 1.0)
    width = wing * np.sqrt(height * parameters.beta / _BETA)
    moved = points * np.stack([width, width, height])
    relaxed = integrate_lorenz(moved, parameters, np.array([_RELAXATION]), tolerance=_RELAXATION_TOLERANCE)
    result: FloatArray = relaxed[0]
    return result


@lru_cache(maxsize=1)
def _classical_attractor() -> FloatArray:
    """Read-only sample of the attractor at the classical parameters, [3, 4096].

    512 paths that forget their start over 12 time units, then sampled 8 times, 1 unit apart.
    """
    paths = 512
    rng = np.random.default_rng(1963)
    start = np.array([[0.0], [0.0], [_RHO - 1.0]]) + 8.0 * rng.standard_normal((3, paths))
    parameters = LorenzParameters(np.full(paths, _SIGMA), np.full(paths, _RHO), np.full(paths, _BETA))
    sampled = integrate_lorenz(start, parameters, np.arange(12.0, 20.0), tolerance=_RELAXATION_TOLERANCE)
    bank = np.ascontiguousarray(np.moveaxis(sampled, 0, 1)).reshape(3, -1)  # [3, 8 x 512]
    bank.flags.writeable = False
    return bank
