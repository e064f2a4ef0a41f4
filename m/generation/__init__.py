"""Serving forecasts: many requests at once through one model, each answered as if it were alone."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.generation.engine import Engine
    from m.generation.errors import DeadlineExceededError, EngineStoppedError, QueueFullError
    from m.generation.job import Job
    from m.generation.result import GenerationResult
    from m.generation.worker import EngineWorker

__all__ = [
    "DeadlineExceededError",
    "Engine",
    "EngineStoppedError",
    "EngineWorker",
    "GenerationResult",
    "Job",
    "QueueFullError",
]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "DeadlineExceededError": "m.generation.errors",
        "Engine": "m.generation.engine",
        "EngineStoppedError": "m.generation.errors",
        "EngineWorker": "m.generation.worker",
        "GenerationResult": "m.generation.result",
        "Job": "m.generation.job",
        "QueueFullError": "m.generation.errors",
    },
)
