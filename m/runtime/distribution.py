"""Quantiles and drawn paths of a block: `m.heads.distribution` in NumPy, for where there is no torch.

Paths are drawn from the same distribution by NumPy's generator: the same seed gives the same paths here
always, but not those that torch draws.
"""

from __future__ import annotations

import math

import numpy as np

from m.arrays import Array
from m.runtime.manifest import Manifest
from m.runtime.model import Block


def quantile(block: Block, level: float, manifest: Manifest) -> Array:
    """Marginal quantile of each coordinate, ``[B, P, K]``.

    Args:
        block: of B sequences.
        level: in (0, 1).
        manifest: says the family.
    """
    return block.location + _standard_quantile(level, manifest) * block.marginal_scale()


def draw(block: Block, temperature: float, manifest: Manifest, generator: np.random.Generator) -> Array:
    """One path of P points of each sequence, ``[B, P, K]``, deviating ``temperature`` times as far.

    Gaussians with correlation ``rho ** |h - h'|`` between steps, times a random size that makes them the
    family's: see `m.heads.distribution`.
    """
    white = generator.standard_normal(block.location.shape)
    rho, deviation = manifest.step_correlation, white.copy()
    for step in range(1, white.shape[1]):
        deviation[:, step] = rho * deviation[:, step - 1] + math.sqrt(1 - rho * rho) * white[:, step]
    kind, count = manifest.config.head.distribution, (len(white), 1, 1)
    if kind == "laplace":
        deviation *= np.sqrt(2 * generator.standard_exponential(count))
    elif kind == "student_t":
        nu = _nu(manifest)
        deviation *= np.sqrt(nu / generator.chisquare(nu, count))
    result: Array = block.location + temperature * ((deviation * block.spread) @ block.axes)
    return result


def _standard_quantile(level: float, manifest: Manifest) -> float:
    import scipy.special  # noqa: PLC0415  (a tenth of a second, and only where quantiles are asked for)

    kind = manifest.config.head.distribution
    if kind == "gaussian":
        return float(scipy.special.ndtri(level))
    if kind == "laplace":
        return math.copysign(math.log1p(-abs(2 * level - 1)), level - 0.5)
    return float(scipy.special.stdtrit(_nu(manifest), level))


def _nu(manifest: Manifest) -> float:
    if manifest.degrees_of_freedom is None:
        raise ValueError("a Student's t needs its degrees of freedom, which exported.json does not tell")
    return manifest.degrees_of_freedom
