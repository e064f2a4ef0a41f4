"""Expert networks, how tokens reach them, and the kernel that multiplies them."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.experts.config import ExpertsConfig
    from m.experts.experts import Experts, FeedForward
    from m.experts.matmul import grouped_matmul

__all__ = ["Experts", "ExpertsConfig", "FeedForward", "grouped_matmul"]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "Experts": "m.experts.experts",
        "ExpertsConfig": "m.experts.config",
        "FeedForward": "m.experts.experts",
        "grouped_matmul": "m.experts.matmul",
    },
)
