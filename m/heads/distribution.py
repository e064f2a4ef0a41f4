"""Location-scale families: densities, quantiles, and paths sampled with the right smoothness.

Each family is a Gaussian times a random size, drawn once for a path: fixed (gaussian), Rayleigh
(laplace: the symmetric multivariate Laplace of Kotz, Kozubowski and Podgorski, "The Laplace
Distribution and Generalizations", 2001, section 5) or from a chi-square (student_t). Contours are
therefore ellipsoids, and along any rotated axis the marginal stays in the family. Across the P steps
of one prediction the Gaussians have correlation ``rho ** |h - h'|``, because forecast errors of
smooth motion do: a path sampled step by step independently would be a jagged line that no body
follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import scipy.special  # not scipy.stats, which takes seconds to import
import torch
from torch import Tensor

from m.heads.config import DistributionKind
from m.heads.families import standard_quantile

_TINY = 1e-6  # keeps the copula's uniforms inside (0, 1) in float32


@dataclass(frozen=True)
class StepDistribution:
    """Predictive distribution of the next P points.

    Attributes:
        kind: family of the marginals.
        location: centre (mean and median), ``[..., P, K]``.
        scale: scale parameter, ``[..., P, K]``: standard deviation (gaussian), mean absolute
            deviation (laplace), or the t scale (student_t).
        degrees_of_freedom: scalar, student_t only.
        step_correlation: rho of neighbouring steps, scalar in (-1, 1).
    """

    kind: DistributionKind
    location: Tensor
    scale: Tensor
    step_correlation: Tensor
    degrees_of_freedom: Tensor | None = None

    def at(self, index: tuple[Tensor | slice, ...]) -> StepDistribution:
        """Select leading positions, as indexing a tensor does."""
        return replace(self, location=self.location[index], scale=self.scale[index])

    def negative_log_likelihood(self, target: Tensor) -> Tensor:
        """``-log p(target)`` of each marginal, in nats, ``[..., P, K]``."""
        residual = (target - self.location) / self.scale
        if self.kind == "gaussian":
            return 0.5 * residual.square() + self.scale.log() + 0.5 * math.log(2 * math.pi)
        if self.kind == "laplace":
            return residual.abs() + self.scale.log() + math.log(2.0)
        nu = self._nu()
        constant = torch.lgamma(nu / 2) - torch.lgamma((nu + 1) / 2) + 0.5 * torch.log(nu * math.pi)
        return constant + self.scale.log() + (nu + 1) / 2 * torch.log1p(residual.square() / nu)

    def standard_deviation(self) -> Tensor:
        """Standard deviation of each marginal, ``[..., P, K]`` (infinite for student_t with nu <= 2)."""
        if self.kind == "gaussian":
            return self.scale
        if self.kind == "laplace":
            return self.scale * math.sqrt(2.0)
        nu = self._nu()
        return self.scale * torch.where(nu > 2, nu / (nu - 2).clamp_min(_TINY), torch.inf).sqrt()

    def quantile(self, q: float) -> Tensor:
        """Marginal quantile at level ``q`` in (0, 1), ``[..., P, K]``."""
        nu = None if self.degrees_of_freedom is None else self.degrees_of_freedom.item()
        standard = standard_quantile(self.kind, q, nu)
        return self.location + self.scale * standard

    def sample(self, temperature: float, generator: torch.Generator | None = None) -> Tensor:
        """One path per leading position, ``[..., P, K]``, deviating ``temperature`` times as far."""
        deviation = self._correlated_normal(generator)
        if self.kind != "gaussian":
            shape = self.location[..., :1, :1].shape
            uniform = torch.rand(shape, generator=generator, dtype=torch.float64).clamp(_TINY, 1 - _TINY)
            deviation = deviation * self._size(uniform).to(deviation)
        return self.location + temperature * self.scale * deviation

    def _correlated_normal(self, generator: torch.Generator | None) -> Tensor:
        """Standard normals, AR(1) along the step axis."""
        white = torch.randn(self.location.shape, generator=generator, dtype=torch.float64)
        rho = float(self.step_correlation)
        steps = [white[..., 0, :]]
        for step in range(1, white.shape[-2]):
            steps.append(rho * steps[-1] + math.sqrt(1 - rho * rho) * white[..., step, :])
        return torch.stack(steps, dim=-2).to(self.location)

    def _size(self, uniform: Tensor) -> Tensor:
        """The random size of a path's deviation, by inversion."""
        if self.kind == "laplace":
            return torch.sqrt(-2 * torch.log(uniform))  # twice an exponential, as variance
        nu = self._nu().item()
        chi2 = 2 * scipy.special.gammaincinv(nu / 2, uniform.numpy())
        return torch.from_numpy((nu / chi2) ** 0.5)

    def _nu(self) -> Tensor:
        if self.degrees_of_freedom is None:
            raise ValueError("a student_t distribution needs degrees_of_freedom")
        return self.degrees_of_freedom
