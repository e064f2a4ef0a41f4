"""What a request on its way through an engine is, whatever computes it. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from m.arrays import Array
from m.generation.result import GenerationResult
from m.generation.session import SessionPush, SessionState
from m.generation.strands import (
    MEAN,
    POINTS,
    SAMPLES,
    SPREAD,
    OnBlock,
    check_lone,
    path_strand,
    plan_strands,
    read_levels,
)
from m.moe.config import ModelConfig
from m.moe.request import ForecastRequest

if TYPE_CHECKING:
    from m.generation.interface import RoutingView


class ForecastJob(ABC):
    """A checked request, and what came of it so far; served once.

    Args:
        config: of the model that will serve it.
        request: what is asked for.
        quantiles: levels to state, each in (0, 1).
        session: that the request's points belong to: of one context, without padding.
        on_block: told of every P points of the forecast path as soon as they are known, ``[P, K]``, with the
            number of the first; of one context. Called from the engine's thread.

    Raises:
        ValueError: a level outside (0, 1), or several contexts where one is needed.
    """

    def __init__(
        self,
        config: ModelConfig,
        request: ForecastRequest,
        quantiles: Sequence[float] = (),
        *,
        session: SessionPush | None = None,
        on_block: OnBlock | None = None,
    ) -> None:
        check_lone(request, session, on_block)
        self.request = request
        self.session = session
        self.session_state: SessionState | None = None
        self.model_steps = 0
        self.admitted: float | None = None  # when the engine took it up, on the clock of time.monotonic
        self.started: float | None = None  # when its contexts had been read
        self.failure: Exception | None = None
        self._on_block = on_block
        self._config = config
        self._levels = read_levels(quantiles)
        rolls = request.horizon > config.head.prediction_steps
        self._strands = plan_strands(request, self._levels, rolls=rolls)

    @property
    def rows(self) -> int:
        """Contexts B."""
        return len(self.request.points)

    @abstractmethod
    def result(self) -> GenerationResult:
        """What was asked for, once the job is finished."""

    @property
    def _path_name(self) -> str:
        """The strand that is the forecast path."""
        return path_strand(self.request)

    def _tell(self, blocks: int, block: Any) -> None:
        """Tell of the forecast path's last block, ``[1, P, K]``; so many are known."""
        if self._on_block is None:
            return
        first = (blocks - 1) * self._config.head.prediction_steps
        self._on_block(first, self.request.arrange(block[:, : self.request.horizon - first]))

    def _answer(
        self,
        paths: Mapping[str, Any],
        exact: Callable[[float], Any],
        routing: RoutingView,
        *,
        reused_points: int = 0,
    ) -> GenerationResult:
        """The result.

        Args:
            paths: of each strand, ``[B, paths, H, K]``, tensors or arrays.
            exact: quantile at a level of the first P points, ``[B, P, K]``.
            routing: who served the contexts.
            reused_points: of the contexts, those that had been read before.
        """
        arrange = self.request.arrange
        mean = arrange(paths[MEAN][:, 0])

        def quantile(level: float) -> Array:
            if SPREAD not in paths:
                return arrange(exact(level)[:, : self.request.horizon])
            drawn: Array = np.quantile(arrange(paths[SPREAD]), level, axis=-3)
            return drawn

        return GenerationResult(
            points=arrange(paths[POINTS][:, 0]) if POINTS in paths else mean,
            mean=mean,
            samples=arrange(paths[SAMPLES]) if SAMPLES in paths else None,
            quantiles={level: quantile(level) for level in self._levels},
            routing=routing,
            model_steps=self.model_steps,
            reused_points=reused_points,
            session=self.session_state,
        )
