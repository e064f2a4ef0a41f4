"""What the prediction head is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from m._checks import at_least, between, positive

DistributionKind = Literal["gaussian", "laplace", "student_t"]

_MOST_STEPS = 4096  # the cosine modes take its square in memory


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """The predictive distribution of the next points.

    Attributes:
        prediction_steps: points P that every position predicts at once.
        distribution: family of the per-step marginals.
        mode_decay: the head predicts cosine modes along the P steps, of which mode k weighs
            ``(1 + k) ** -mode_decay``: above 0, forecasts are smooth before they are exact.
        residual: predict offsets from the current point instead of places in the anchored frame.
            Needs targets that are input channels (``target_dim <= input_dim``).
        spread_weighting: in training each term of the likelihood counts by its stated scale to this
            power: the beta-NLL of Seitzer et al. 2022 (arXiv 2203.09168), whose beta, a power of the
            variance, is half of this. 0 is the likelihood, whose gradient is largest where forecasts are
            surest; towards 1 sure and unsure forecasts pull alike, as with the mean distance.
        min_scale: smallest scale parameter that training can reach, in anchored units, so that the
            likelihood stays bounded.
    """

    prediction_steps: int = 16
    distribution: DistributionKind = "laplace"
    mode_decay: float = 1.0
    residual: bool = True
    spread_weighting: float = 0.0
    min_scale: float = 1e-4

    def __post_init__(self) -> None:
        between("head.prediction_steps", self.prediction_steps, 1, _MOST_STEPS)
        at_least("head.mode_decay", self.mode_decay, 0.0)
        between("head.spread_weighting", self.spread_weighting, 0.0, 1.0)
        positive("head.min_scale", self.min_scale)
