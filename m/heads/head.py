"""From hidden states to the distribution of the next P points."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from m.batch_part import WHOLE, BatchPart
from m.heads.config import HeadConfig
from m.heads.distribution import StepDistribution
from m.modes import cosine_modes

_CORRELATION_MOMENTUM = 0.99
_CALIBRATED_INTERVAL = 0.8  # central interval whose coverage decides how wide distributions are stated
_SPREAD_RATE = 0.01
_INITIAL_SCALE = 0.3  # anchored units; about the error of an untrained forecaster
_INITIAL_NU_ABOVE_TWO = 4.0


def _inverse_softplus(value: float) -> float:
    return value + math.log(-math.expm1(-value))


class DistributionHead(nn.Module):
    """Linear map to location (in cosine modes) and scale of P steps of K channels.

    Two things are not predicted but measured on the training residuals. The buffer ``step_correlation``
    is the correlation of neighbouring steps, as a running average. The buffer ``spread [P]`` corrects
    the scales of each step where the likelihood alone leaves them too wide or too narrow (residuals need
    not follow the family): it is moved until 80 % of the truth lies in the central 80 % interval, and
    applied outside of training.
    """

    step_correlation: Tensor
    spread: Tensor
    modes: Tensor

    def __init__(self, dim: int, target_dim: int, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.target_dim = target_dim
        self.part: BatchPart = WHOLE
        self.projection = nn.Linear(dim, config.prediction_steps * target_dim * 2)
        self.register_buffer("step_correlation", torch.zeros(()))
        self.register_buffer("spread", torch.ones(config.prediction_steps))
        modes = cosine_modes(config.prediction_steps, -config.mode_decay)
        self.register_buffer("modes", modes, persistent=False)  # follows from the configuration
        if config.distribution == "student_t":
            self.raw_nu = nn.Parameter(torch.tensor(_inverse_softplus(_INITIAL_NU_ABOVE_TWO)))

    def reset_parameters(self, std: float) -> None:
        """Small weights; biases that start every scale at a sensible width."""
        nn.init.normal_(self.projection.weight, std=std)
        bias = torch.zeros(2, self.target_dim, self.config.prediction_steps)
        bias[1] = _inverse_softplus(_INITIAL_SCALE)
        with torch.no_grad():
            self.projection.bias.copy_(bias.flatten())

    def forward(self, hidden: Tensor, reference: Tensor | None) -> StepDistribution:
        """Predict.

        Args:
            hidden: ``[..., D]``.
            reference: current point in anchored units ``[..., K]``, to which offsets are added.
        """
        # In float32 at least: a bf16 location would round positions to 1 part in 256.
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        with torch.autocast(hidden.device.type, enabled=False):
            raw = self.projection(hidden.to(self.projection.weight.dtype)).to(dtype)
        raw = raw.unflatten(-1, (2, self.target_dim, self.config.prediction_steps))  # [..., 2, K, P]
        location = F.linear(raw[..., 0, :, :], self.modes.to(dtype)).transpose(-1, -2)  # [..., P, K]
        if reference is not None:
            location = location + reference.unsqueeze(-2).to(dtype)
        scale = F.softplus(raw[..., 1, :, :].transpose(-1, -2)) + self.config.min_scale
        if not self.training:
            scale = scale * self.spread.to(dtype)[:, None]
        nu = self.degrees_of_freedom
        return StepDistribution(self.config.distribution, location, scale, self.step_correlation, nu)

    @property
    def degrees_of_freedom(self) -> Tensor | None:
        """Of a Student's t, above 2 so that the variance exists; None for other families."""
        return 2.0 + F.softplus(self.raw_nu) if self.config.distribution == "student_t" else None

    @torch.no_grad()
    def observe(self, target: Tensor, stated: StepDistribution) -> None:
        """Update what is measured.

        Args:
            target: truth of N training forecasts, ``[N, P, K]``.
            stated: their distributions as predicted in training, without `spread`.
        """
        if target.shape[0] == 0:
            return
        residual = target - stated.location
        self._measure_correlation(residual)
        # Stochastic approximation of a quantile (Robbins and Monro 1951), in logarithms.
        reach = stated.quantile((1 + _CALIBRATED_INTERVAL) / 2) - stated.location  # [N, P, K]
        inside = (residual.abs() <= reach * self.spread[:, None]).to(self.spread)  # [N, P, K]
        inside = self.part.mean_of_parts(inside.mean((0, 2)))  # [P]
        self.spread.mul_(torch.exp(_SPREAD_RATE * (_CALIBRATED_INTERVAL - inside)))

    def _measure_correlation(self, residual: Tensor) -> None:
        """Running correlation of neighbouring steps from residuals ``[N, P, K]``.

        For a Gaussian (or any elliptical) copula ``rho = sin(pi/2 * E[sign(r_h) sign(r_h+1)])``
        (Greiner's relation for Kendall's tau about the known centre), which no outlier can spoil.
        """
        if residual.shape[-2] < 2:
            return
        signs = residual.sign()
        agreement = self.part.mean_of_parts((signs[..., 1:, :] * signs[..., :-1, :]).mean())
        rho = torch.sin(agreement * math.pi / 2).clamp(-0.999, 0.999).to(self.step_correlation)
        self.step_correlation.lerp_(rho, 1 - _CORRELATION_MOMENTUM)
