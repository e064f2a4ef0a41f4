"""A request on its way through the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Unpack

import torch
from torch import Tensor

from m.attention.cache import KVCache
from m.generation.forecast_job import ForecastJob
from m.generation.lane import Lane
from m.generation.reading import Reading
from m.generation.result import GenerationResult
from m.generation.session import SessionPush
from m.generation.strands import OnBlock, Strand
from m.moe.forecast import rows_at_once
from m.moe.model import MoESequenceRegressor
from m.moe.request import ForecastOptions, ForecastRequest
from m.moe.spacing import rolls_on
from m.moe.window import Window


class Job(ForecastJob):
    """A request, the lanes it still has to run, and what came of those that did.

    Args:
        model: that will serve it.
        request: what is asked for.
        quantiles, session, on_block: see `ForecastJob`.

    Raises:
        ValueError: a level outside (0, 1), or several contexts where one is needed.
    """

    def __init__(
        self,
        model: MoESequenceRegressor,
        request: ForecastRequest,
        quantiles: Sequence[float] = (),
        *,
        session: SessionPush | None = None,
        on_block: OnBlock | None = None,
    ) -> None:
        super().__init__(model.config, request, quantiles, session=session, on_block=on_block)
        self._taken = False
        self._reading: Reading | None = None
        self._coming: dict[str, Iterator[Lane]] = {}  # by strand: lanes that are not made yet
        self._running: dict[str, Lane] = {}
        self._drawn: dict[str, list[Tensor]] = {strand.name: [] for strand in self._strands}

    @classmethod
    def read(
        cls,
        model: MoESequenceRegressor,
        context: Any,
        horizon: int,
        *,
        quantiles: Sequence[float] = (),
        session: SessionPush | None = None,
        on_block: OnBlock | None = None,
        **options: Unpack[ForecastOptions],
    ) -> Job:
        """Check the arguments of `MoESequenceRegressor.forecast`, and what serving adds.

        Raises:
            ValueError: what is asked for is malformed, or the model cannot do it.
        """
        request = ForecastRequest.read(model, context, horizon, **options)
        return cls(model, request, quantiles, session=session, on_block=on_block)

    @property
    def finished(self) -> bool:
        """Whether every lane has run."""
        return self._reading is not None and not self._running

    @property
    def paths(self) -> int:
        """Paths of all contexts that may run at once."""
        return self.rows * sum(strand.paths for strand in self._strands)

    def take(self, model: MoESequenceRegressor) -> None:
        """Mark the job as being served, which it can be once.

        Raises:
            ValueError: it has been before, or was read for another model.
        """
        if model.config is not self._config:
            raise ValueError("this job was read for another model; read it for the one that serves it")
        if self._taken:
            raise ValueError("a job is served once; read the request anew to ask again")
        self._taken = True

    def begin(self, reading: Reading) -> list[Lane]:
        """Take what was read; the lanes to run first."""
        self._reading = reading
        self.started = time.monotonic()
        for strand in self._strands:
            # Made when their turn comes: each holds copies of the contexts' caches.
            self._coming[strand.name] = self._lanes(strand, reading)
            self._running[strand.name] = next(self._coming[strand.name])
        return list(self._running.values())

    def announce(self, lane: Lane) -> None:
        """Tell of the points that a lane emitted last, if they are those of the forecast path."""
        if self._running.get(self._path_name) is lane:
            self._tell(lane.blocks, lane.last_block)

    def accept(self, lane: Lane) -> Lane | None:
        """Keep the paths of a lane that is done; the lane to run after it, if there is one.

        Raises:
            ValueError: the job is not running this lane.
        """
        name = next((name for name, running in self._running.items() if running is lane), None)
        if name is None:
            raise ValueError("this lane is none of those that the job is running")
        self._drawn[name].append(lane.paths())
        after = next(self._coming[name], None)
        if after is None:
            del self._running[name]
            if not self._running and self._reading is not None:
                self._reading = replace(self._reading, cache=None)  # the largest part, and of no more use
        else:
            self._running[name] = after
        return after

    def result(self) -> GenerationResult:
        """What was asked for; the job must be `finished`."""
        if self._reading is None or not self.finished:
            raise RuntimeError("the job has lanes to run; its result is not known yet")
        paths = {name: self._gather(parts) for name, parts in self._drawn.items()}
        target = self._reading.anchor.for_targets(self._config.target_dim)
        exact = target.in_units(self._reading.next).quantile
        return self._answer(paths, exact, self._reading.routing, reused_points=self._reading.reused)

    def _lanes(self, strand: Strand, reading: Reading) -> Iterator[Lane]:
        """The strand's paths in pieces, as `m.moe.forecast.Rollout` draws them."""
        generator = torch.Generator().manual_seed(strand.seed) if strand.seed is not None else None
        device = reading.next.location.device
        index = torch.arange(self.rows, device=device).repeat_interleave(strand.paths)
        for rows in torch.split(index, rows_at_once(self._config, reading.window, reading.cache)):
            yield Lane(
                self._config,
                anchor=reading.anchor.take(rows),
                distribution=reading.next.at((rows,)),
                position=reading.lengths[rows],
                horizon=self.request.horizon,
                temperature=strand.temperature,
                generator=generator,
                held=self._held(reading, rows),
            )

    def _held(self, reading: Reading, rows: Tensor) -> KVCache | Window | None:
        """What paths of the contexts named go on from, if they do."""
        if not rolls_on(self._config, self.request.horizon):
            return None
        return (reading.window if reading.cache is None else reading.cache).take(rows)

    def _gather(self, parts: Sequence[Tensor]) -> Tensor:
        """``[B, paths, H, K]``."""
        return torch.cat(list(parts)).view(self.rows, -1, self.request.horizon, self._config.target_dim)
