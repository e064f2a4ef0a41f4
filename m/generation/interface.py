"""What a worker's thread needs of an engine, and faces of a routing. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from m.generation.counts import EngineCounts
from m.generation.session import SessionStore

if TYPE_CHECKING:
    from m.generation.forecast_job import ForecastJob
    from m.generation.prefix import PrefixCache


class LayerView(Protocol):
    """Routing of one layer, as tensors or arrays."""

    @property
    def experts(self) -> Any:
        """``[B, T', K]``, best first."""

    @property
    def weights(self) -> Any:
        """Their gates, ``[B, T', K]``."""

    @property
    def valid(self) -> Any:
        """``[B, T']``; False marks padding."""

    @property
    def load(self) -> Any:
        """Tokens that each expert served, ``[E]``."""


class RoutingView(Protocol):
    """Routing of a model's mixtures."""

    @property
    def layers(self) -> Sequence[LayerView]:
        """Of every mixture, input side first."""


class ForecastEngine(Protocol):
    """Serves jobs through one model, some steps at a time; belongs to one thread.

    Attributes:
        counts: what it has done so far.
        sessions: those that are open.
    """

    counts: EngineCounts
    sessions: SessionStore

    @property
    def prefixes(self) -> PrefixCache | None:
        """Contexts read before; None where none are remembered."""

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""

    def submit(self, job: Any) -> None:
        """Let a job join at one of the next steps."""

    def drop(self, jobs: Iterable[Any]) -> None:
        """Forget jobs, wherever they are."""

    def step(self) -> Sequence[ForecastJob]:
        """Do some work; the jobs that ended by it."""
