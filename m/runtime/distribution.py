"""Quantiles and drawn paths of a block: `m.heads.distribution` in NumPy, for where there is no torch.

Paths are drawn from the same distribution by NumPy's generator: the same seed gives the same paths here
always, but not those that torch draws.
"""

from __future__ import annotations

import math

import numpy as np

from m.arrays import Array
from m.heads.families import known_degrees, standard_quantile
from m.runtime.block import Block
from m.runtime.manifest import Manifest


def quantile(block: Block, level: float, manifest: Manifest) -> Array:
    """Marginal quantile of each coordinate, ``[B, P, K]``.

    Args:
        block: of B sequences.
        level: in (0, 1).
        manifest: says the family.
    """
    family = manifest.config.head.distribution
    standard = standard_quantile(family, level, manifest.degrees_of_freedom)
    return block.location + standard * block.marginal_scale()


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
        nu = known_degrees(manifest.degrees_of_freedom)
        deviation *= np.sqrt(nu / generator.chisquare(nu, count))
    result: Array = block.location + temperature * ((deviation * block.spread) @ block.axes)
    return result
