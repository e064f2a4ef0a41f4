"""A request on its way through the engine of an exported model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Unpack

import numpy as np

from m.arrays import Array
from m.generation.forecast_job import ForecastJob
from m.generation.result import GenerationResult
from m.generation.session import Continuation, SessionPush, SessionStore
from m.generation.strands import OnBlock, Strand
from m.moe.request import ForecastOptions, ForecastRequest
from m.moe.spacing import rolls_on, token_spacing
from m.runtime.block import Block
from m.runtime.distribution import draw, quantile
from m.runtime.held import HeldPast, HeldRows
from m.runtime.manifest import Manifest
from m.runtime.model import ExportedModel
from m.runtime.routing import ServedRouting, serve_record
from m.runtime.rows import Rows


@dataclass
class _Paths:
    """The paths of a strand, as far as they are drawn.

    Attributes:
        strand: which.
        generator: draws them; None for the centre, which nothing draws.
        blocks: so far, each ``[B * paths, P, K]``.
    """

    strand: Strand
    generator: np.random.Generator | None
    blocks: list[Array] = field(default_factory=list)


class ExportedJob(ForecastJob):
    """A request that is read in rounds.

    First its contexts are read, then, as often as the horizon wants, all of its paths with the points drawn
    last. A round may be read in pieces.

    Args:
        manifest: of the model that will serve it.
        request: what is asked for.
        quantiles, session, on_block: see `ForecastJob`.

    Raises:
        ValueError: a level outside (0, 1), or several contexts where one is needed.
    """

    def __init__(
        self,
        manifest: Manifest,
        request: ForecastRequest,
        quantiles: Sequence[float] = (),
        *,
        session: SessionPush | None = None,
        on_block: OnBlock | None = None,
    ) -> None:
        super().__init__(manifest.config, request, quantiles, session=session, on_block=on_block)
        self.routing: ServedRouting | None = None  # once its contexts have been read
        self._manifest = manifest
        self._paths = [_Paths(strand, _generator(strand)) for strand in self._strands]
        self._continuation: Continuation | None = None
        self._every = token_spacing(manifest.config, request.horizon)
        self._past: HeldPast | None = None  # of its session, where its reading goes on from there
        self._round: Rows | None = None
        self._read: list[Block] = []
        self._done = 0  # rows of the round that are read
        self._first: Block | None = None

    @classmethod
    def read(
        cls,
        manifest: Manifest,
        context: Any,
        horizon: int,
        *,
        quantiles: Sequence[float] = (),
        session: SessionPush | None = None,
        on_block: OnBlock | None = None,
        **options: Unpack[ForecastOptions],
    ) -> ExportedJob:
        """Check the arguments of `MoESequenceRegressor.forecast`, and what serving adds.

        Raises:
            ValueError: what is asked for is malformed, or the model cannot do it.
        """
        request = ForecastRequest.of(manifest.config, context, horizon, **options)
        return cls(manifest, request, quantiles, session=session, on_block=on_block)

    @property
    def left(self) -> int:
        """Rows of its round that are still to be read; 0 when it is finished."""
        return 0 if self._round is None else len(self._round.lengths) - self._done

    def begin(self, model: ExportedModel, sessions: SessionStore) -> None:
        """Begin with its contexts.

        Args:
            model: that will read them.
            sessions: its session is one of these.

        Raises:
            UnknownSessionError: its session is not open.
            TooManySessionsError: there is no room for its session.
        """
        if self.session is None:
            self._round = model.begin(self.request)
            return
        what = sessions.continuation(self.session, self.request.points[0], int(self.request.anchored[0]))
        self._continuation = what
        if isinstance(what.past, HeldPast):
            self._round = what.past.continued(what.context, self._every)
            self._past = what.past if self._round is not None else None
        if self._round is None:
            lengths, anchored = np.array([len(what.context)]), np.array([what.anchored])
            batched, horizon = self.request.batched, self.request.horizon
            self._round = model.begin(
                ForecastRequest(what.context[None], lengths, anchored, batched, horizon)
            )

    def next_rows(self, most: int) -> Rows:
        """The next rows of the round, so many at most."""
        if self._round is None:
            raise RuntimeError("the job has no rows to be read")
        return self._round.take(slice(self._done, self._done + most))

    def supply(self, block: Block, sessions: SessionStore) -> None:
        """Take what was read of the rows handed out last."""
        if self._round is None:
            raise RuntimeError("the job has no rows to be read")
        self.model_steps += 1
        self._read.append(block)
        self._done += len(block.location)
        if self.left:
            return
        whole = Block.join(self._read)
        self._read, self._done = [], 0
        self._round = self._round.after(whole)
        if self._first is None:
            self._started(whole, self._round, sessions)
        else:
            self._draw(whole)
        self._advance()

    def _started(self, whole: Block, read: Rows, sessions: SessionStore) -> None:
        """All contexts have been read."""
        self.started = time.monotonic()
        self._first = whole.without_memory()
        experts, weights = whole.experts, whole.weights
        if self._past is not None:
            experts = np.concatenate([self._past.experts, experts], axis=1)
            weights = np.concatenate([self._past.weights, weights], axis=1)
        self.routing = serve_record(experts, weights, read.lengths, self._every, self._manifest)
        if self.session is not None and self._continuation is not None:
            past = None
            if isinstance(read, HeldRows) and sessions.may_continue(self._continuation):
                past = HeldPast(read, experts, weights)
            self.session_state = sessions.commit(self.session, self._continuation, past)
        index = [np.repeat(np.arange(self.rows), paths.strand.paths) for paths in self._paths]
        owner = np.concatenate(index)  # the context of each path
        if self._more_rounds:
            self._round = read.take(owner)
        self._draw(self._first.rows(owner))

    @property
    def _more_rounds(self) -> bool:
        """Whether the horizon wants points that the first reading does not give."""
        return rolls_on(self._config, self.request.horizon)

    def _draw(self, known: Block) -> None:
        """The next P points of every path."""
        at = 0
        for paths in self._paths:
            count = self.rows * paths.strand.paths
            mine = known.rows(slice(at, at + count))
            at += count
            paths.blocks.append(
                mine.location
                if paths.generator is None
                else draw(mine, paths.strand.temperature, self._manifest, paths.generator)
            )
        told = next(paths for paths in self._paths if paths.strand.name == self._path_name)
        self._tell(len(told.blocks), told.blocks[-1])

    def _advance(self) -> None:
        """Begin the next round, if the horizon wants one."""
        if self._round is None:
            return
        if len(self._paths[0].blocks) * self._config.head.prediction_steps >= self.request.horizon:
            self._round = None
            return
        last = np.concatenate([paths.blocks[-1] for paths in self._paths])
        self._round = self._round.append(last)

    def result(self) -> GenerationResult:
        """What was asked for; the job must be finished."""
        if self._first is None or self.routing is None or self._round is not None:
            raise RuntimeError("the job has rows to be read; its result is not known yet")
        drawn = {paths.strand.name: self._gather(paths) for paths in self._paths}
        exact = partial(quantile, self._first, manifest=self._manifest)
        reused = 0 if self._past is None else int(self._past.rows.lengths[0])
        return self._answer(drawn, exact, self.routing, reused_points=reused)

    def _gather(self, paths: _Paths) -> Array:
        """``[B, paths, H, K]``."""
        whole = np.concatenate(paths.blocks, axis=1)[:, : self.request.horizon]
        return whole.reshape(self.rows, paths.strand.paths, *whole.shape[1:])


def _generator(strand: Strand) -> np.random.Generator | None:
    """What draws the paths of a strand; None where they are the centre."""
    return np.random.default_rng(strand.seed) if strand.temperature else None
