"""Prediction heads: the distribution of the next points."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.heads.config import HeadConfig
    from m.heads.distribution import StepDistribution
    from m.heads.head import DistributionHead

__all__ = ["DistributionHead", "HeadConfig", "StepDistribution"]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "DistributionHead": "m.heads.head",
        "HeadConfig": "m.heads.config",
        "StepDistribution": "m.heads.distribution",
    },
)
