"""A request on its way through the engine of an exported model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from m.arrays import Array
from m.generation.result import GenerationResult
from m.generation.session import Continuation, SessionPush, SessionState, SessionStore
from m.generation.strands import (
    MEAN,
    POINTS,
    SAMPLES,
    SPREAD,
    OnBlock,
    Strand,
    check_lone,
    path_strand,
    plan_strands,
    read_levels,
)
from m.moe.request import ForecastOptions, ForecastRequest
from m.runtime.distribution import draw, quantile
from m.runtime.manifest import Manifest
from m.runtime.model import Block
from m.runtime.routing import ServedRouting, serve_record
from m.runtime.window import Rows


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


class ExportedJob:
    """A checked request, and what came of it so far; served once.

    It is read in rounds: first its contexts, then, as often as the horizon wants, all of its paths with
    the points drawn last. A round may be read in pieces.

    Args:
        manifest: of the model that will serve it.
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
        manifest: Manifest,
        request: ForecastRequest,
        quantiles: Sequence[float] = (),
        *,
        session: SessionPush | None = None,
        on_block: OnBlock | None = None,
    ) -> None:
        check_lone(request, session, on_block)
        self.request, self.session = request, session
        self.model_steps = 0
        self.admitted: float | None = None
        self.started: float | None = None
        self.failure: Exception | None = None
        self._manifest, self._on_block = manifest, on_block
        self._steps = manifest.config.head.prediction_steps
        self._levels = read_levels(quantiles)
        strands = plan_strands(request, self._levels, rolls=request.horizon > self._steps)
        self._paths = [_Paths(strand, _generator(strand)) for strand in strands]
        self._state: SessionState | None = None
        self._continuation: Continuation | None = None
        self._round: Rows | None = None
        self._read: list[Block] = []
        self._done = 0  # rows of the round that are read
        self._first: Block | None = None
        self.routing: ServedRouting | None = None  # once its contexts have been read

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
    def rows(self) -> int:
        """Contexts B."""
        return len(self.request.points)

    @property
    def left(self) -> int:
        """Rows of its round that are still to be read; 0 when it is finished."""
        return 0 if self._round is None else len(self._round.lengths) - self._done

    def begin(self, sessions: SessionStore) -> None:
        """Begin with its contexts.

        Raises:
            UnknownSessionError: its session is not open.
            TooManySessionsError: there is no room for its session.
        """
        request = self.request
        if self.session is not None:
            what = sessions.continuation(self.session, request.points[0], int(request.anchored[0]))
            self._continuation = what
            lengths = np.array([len(what.context)])
            request = ForecastRequest(
                what.context[None], lengths, np.array([what.anchored]), request.batched, request.horizon
            )
        self._round = Rows.of(request, self._manifest.config)

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
        whole, lengths = _joined(self._read), self._round.lengths
        self._read, self._done = [], 0
        if self._first is None:
            self._started(whole, lengths, sessions)
        else:
            self._draw(whole)
        self._advance()

    def _started(self, whole: Block, lengths: NDArray[np.int64], sessions: SessionStore) -> None:
        """All contexts have been read."""
        self.started = time.monotonic()
        self._first = whole
        self.routing = serve_record(whole, lengths, self._manifest)
        if self.session is not None and self._continuation is not None:
            self._state = sessions.commit(self.session, self._continuation, None)
        index = [np.repeat(np.arange(self.rows), paths.strand.paths) for paths in self._paths]
        owner = np.concatenate(index)  # the context of each path
        if self._round is not None:
            self._round = self._round.take(owner)
        self._draw(whole.rows(owner))

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
        self._announce()

    def _announce(self) -> None:
        """Tell of the last points of the forecast path."""
        if self._on_block is None:
            return
        blocks = self._named(path_strand(self.request)).blocks
        first = (len(blocks) - 1) * self._steps
        self._on_block(first, self.request.arrange(blocks[-1][:, : self.request.horizon - first]))

    def _advance(self) -> None:
        """Begin the next round, if the horizon wants one."""
        if self._round is None:
            return
        if len(self._paths[0].blocks) * self._steps >= self.request.horizon:
            self._round = None
            return
        last = np.concatenate([paths.blocks[-1] for paths in self._paths])
        self._round = self._round.append(last)

    def result(self) -> GenerationResult:
        """What was asked for; the job must be finished."""
        if self._first is None or self.routing is None or self._round is not None:
            raise RuntimeError("the job has rows to be read; its result is not known yet")
        drawn = {paths.strand.name: self._gather(paths) for paths in self._paths}
        arrange = self.request.arrange
        mean = arrange(drawn[MEAN][:, 0])
        return GenerationResult(
            points=arrange(drawn[POINTS][:, 0]) if POINTS in drawn else mean,
            mean=mean,
            samples=arrange(drawn[SAMPLES]) if SAMPLES in drawn else None,
            quantiles={level: self._quantile(level, drawn, self._first) for level in self._levels},
            routing=self.routing,
            model_steps=self.model_steps,
            session=self._state,
        )

    def _named(self, name: str) -> _Paths:
        return next(paths for paths in self._paths if paths.strand.name == name)

    def _gather(self, paths: _Paths) -> Array:
        """``[B, paths, H, K]``."""
        whole = np.concatenate(paths.blocks, axis=1)[:, : self.request.horizon]
        return whole.reshape(self.rows, paths.strand.paths, *whole.shape[1:])

    def _quantile(self, level: float, drawn: dict[str, Array], first: Block) -> Array:
        if SPREAD in drawn:
            result: Array = np.quantile(self.request.arrange(drawn[SPREAD]), level, axis=-3)
            return result
        return self.request.arrange(quantile(first, level, self._manifest)[:, : self.request.horizon])


def _generator(strand: Strand) -> np.random.Generator | None:
    """What draws the paths of a strand; None where they are the centre."""
    return np.random.default_rng(strand.seed) if strand.temperature else None


def _joined(blocks: Sequence[Block]) -> Block:
    """Pieces of a round as one; the tokens of each counted back from its last."""
    if len(blocks) == 1:
        return blocks[0]
    tokens = max(block.experts.shape[1] for block in blocks)

    def wide(part: NDArray[Any]) -> NDArray[Any]:
        return np.pad(part, ((0, 0), (0, tokens - part.shape[1]), (0, 0), (0, 0)))

    return Block(
        np.concatenate([block.location for block in blocks]),
        np.concatenate([block.spread for block in blocks]),
        np.concatenate([block.axes for block in blocks]),
        np.concatenate([wide(block.experts) for block in blocks]),
        np.concatenate([wide(block.weights) for block in blocks]),
    )
