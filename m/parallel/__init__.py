"""Training by many processes: data, weights and experts spread with PyTorch's own engine."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.parallel.config import ParallelConfig
    from m.parallel.engine import ParallelEngine
    from m.parallel.errors import LostProcessError
    from m.parallel.launched import started_together
    from m.parallel.world import World, joined_world

__all__ = [
    "LostProcessError",
    "ParallelConfig",
    "ParallelEngine",
    "World",
    "joined_world",
    "started_together",
]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "LostProcessError": "m.parallel.errors",
        "ParallelConfig": "m.parallel.config",
        "ParallelEngine": "m.parallel.engine",
        "World": "m.parallel.world",
        "joined_world": "m.parallel.world",
        "started_together": "m.parallel.launched",
    },
)
