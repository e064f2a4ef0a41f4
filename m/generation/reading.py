"""Reading contexts: one forward pass over those of several requests, each from where its past ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from m.attention.cache import KVCache
from m.generation.past import Past, Routes, fitted
from m.generation.prefix import Grid, PrefixCache, anchor_bytes, chain_of, weights_digest
from m.heads.distribution import StepDistribution
from m.moe.anchor import Anchor, compute_anchor, join_anchors
from m.moe.model import MoESequenceRegressor, SequenceOutput
from m.moe.seen import seen_points
from m.moe.spacing import cache_capacity, points_fed_back, token_spacing
from m.moe.window import Window
from m.routing.record import LayerRouting, RoutingRecord


@dataclass(frozen=True)
class Row:
    """One context to be read.

    Attributes:
        points: not read yet, ``[T, D]`` float64; at least one.
        context: all of its points.
        anchored: normalised by the end of the first so many, where there is no past.
        past: what has been read.
        keep: whether its past is wanted afterwards, for a session.
        shared: whether to look it up among contexts read before, and to remember it as one.
    """

    points: Tensor
    context: Tensor
    anchored: int
    past: Past | None = None
    keep: bool = False
    shared: bool = True

    @classmethod
    def whole(cls, context: Tensor, anchored: int) -> Row:
        """A context of which nothing has been read."""
        return cls(context, context, anchored)

    @property
    def start(self) -> int:
        """Points read before."""
        return 0 if self.past is None else self.past.points

    @property
    def length(self) -> int:
        """All points of the context."""
        return self.start + len(self.points)


@dataclass(frozen=True)
class Reading:
    """What the model made of the B contexts of a request.

    Attributes:
        anchor: of the contexts.
        next: distribution of the P points after each, ``[B, P, K]``, anchored.
        lengths: points of each, ``[B]``.
        window: their last points.
        cache: of the contexts, when own predictions will be added to it.
        routing: experts that served them.
        reused: points that had been read before.
        pasts: of rows that were to be kept.
    """

    anchor: Anchor
    next: StepDistribution
    lengths: Tensor
    window: Window
    cache: KVCache | None
    routing: RoutingRecord
    reused: int = 0
    pasts: tuple[Past | None, ...] = ()


@dataclass(frozen=True)
class Pass:
    """A forward pass that was made.

    Attributes:
        numbers: requests in it, by their place.
        readings: what came of each.
        rows: contexts in it.
        read: their points that were not known.
        reused: those that were.
        load: tokens of each expert, ``[layers, E]``; None for a dense model.
    """

    numbers: list[int]
    readings: list[Reading]
    rows: int
    read: int
    reused: int
    load: Tensor | None


@dataclass
class _Found:
    """A context before its pass, with what is known of it.

    Attributes:
        row: the context.
        anchor: of it, one of one sequence.
        grid: of its tokens.
        past: the session's, or what the prefix cache knows.
        chain: hashes of its blocks, when it may be remembered.
    """

    row: Row
    anchor: Anchor
    grid: Grid
    past: Past | None
    chain: list[bytes] = field(default_factory=list)

    @property
    def worth_knowing(self) -> bool:
        """Whether remembering it could save a token: the last one is always computed."""
        return self.row.shared and self.row.length > max(self.grid.every, self.grid.block)

    @property
    def start(self) -> int:
        """The first position to be fed; the last point always is, for its token tells what comes next."""
        return 0 if self.past is None else min(self.past.points, self.row.length - 1)

    def fed(self) -> Tensor:
        """Points to feed, ``[n, D]``."""
        missing = self.row.length - self.start
        if missing > len(self.row.points):
            raise RuntimeError("a session's push holds at least one new point")
        return self.row.points[-missing:]

    def missing(self) -> Tensor:
        """Positions whose tokens are to be computed: the grid's that are not known, and the last."""
        positions = self.grid.positions(0, self.row.length)
        if self.past is None:
            return positions
        known = fitted(self.past.known, self.row.length)[positions]
        known[-1] = False
        return positions[~known]


class Reader:
    """Reads contexts with one model.

    Args:
        model: in eval mode.
        prefixes: contexts read before; None to remember none.
    """

    def __init__(self, model: MoESequenceRegressor, prefixes: PrefixCache | None = None) -> None:
        self.model = model
        self.prefixes = prefixes
        self._salt = weights_digest(model) if prefixes is not None else b""

    def capacity(self, rows: Sequence[Row], horizon: int) -> int:
        """Slots that a request needs; requests of one capacity are read together."""
        return cache_capacity(self.model.config, max(row.length for row in rows), horizon)

    def read(self, requests: Sequence[Sequence[Row]], horizon: int) -> Iterator[Pass]:
        """Read the contexts of requests that are alike in capacity and in whether they roll on.

        Those of which something is known, and those of which nothing is, are read in a pass each.

        Args:
            requests: the rows of each.
            horizon: of one of them.
        """
        every = token_spacing(self.model.config, horizon)
        looked_up = iter(self._look_up([row for request in requests for row in request], every))
        found = [[next(looked_up) for _ in request] for request in requests]
        warm = [any(each.past is not None for each in request) for request in found]
        for kind in (False, True):
            chosen = [n for n, is_warm in enumerate(warm) if is_warm is kind]
            if chosen:
                yield self._pass(chosen, [found[n] for n in chosen], horizon, warm=kind)

    # ---- before the pass ----

    def _look_up(self, rows: Sequence[Row], every: int) -> list[_Found]:
        """Anchors of all contexts, and what is known of them."""
        found = {n: self._known(row, every) for n, row in enumerate(rows) if row.past is not None}
        fresh = [n for n, row in enumerate(rows) if row.past is None]
        if fresh:
            points = _stacked([rows[n].points for n in fresh]).to(self.model.device)
            counts = torch.tensor([rows[n].anchored for n in fresh], device=self.model.device)
            anchors = compute_anchor(points, counts, self.model.config.anchor)
            for n, anchor in zip(fresh, anchors.rows(), strict=True):
                found[n] = _Found(rows[n], anchor, Grid.of(rows[n].length, every), None)
            if self.prefixes is not None and any(found[n].worth_knowing for n in fresh):
                self._recall(self.prefixes, [found[n] for n in fresh], anchors, points)
        return [found[n] for n in range(len(rows))]

    @staticmethod
    def _known(row: Row, every: int) -> _Found:
        if row.past is None:
            raise RuntimeError("this row has no past")
        return _Found(row, row.past.anchor, Grid.of(row.length, every), row.past)

    def _recall(
        self, prefixes: PrefixCache, found: Sequence[_Found], anchors: Anchor, points: Tensor
    ) -> None:
        """Look contexts up among those read before."""
        seen = anchors.normalise(points).to(self.model.dtype).cpu()
        for each, salt, path in zip(found, anchor_bytes(anchors), seen, strict=True):
            if not each.worth_knowing:
                continue
            each.chain = chain_of(self._salt + salt, path[: each.row.length], each.grid)
            each.past = prefixes.find(self.model, each.chain, each.anchor, each.grid)

    # ---- the pass ----

    def _pass(
        self, numbers: list[int], requests: Sequence[Sequence[_Found]], horizon: int, *, warm: bool
    ) -> Pass:
        found = [each for request in requests for each in request]
        cache = self._cache(found, horizon, warm=warm)
        missing = [each.missing() for each in found]
        output = self._forward(found, missing, cache, warm=warm)
        rows = torch.arange(len(found), device=self.model.device)
        last = torch.tensor([len(tokens) - 1 for tokens in missing], device=self.model.device)
        outcome = _Outcome(
            output.distribution.at((rows, last)),
            output.anchor,
            output.routing,
            self._window(found),
            cache,
            self._routes(found, missing, output.routing),
        )
        if self.prefixes is not None and cache is not None:
            for row, each in enumerate(found):
                self.prefixes.keep(each.chain, cache, row, each.grid, outcome.routes.get(row))
        ends = list(accumulate(len(request) for request in requests))
        parts = [range(end - len(request), end) for request, end in zip(requests, ends, strict=True)]
        rolls = points_fed_back(self.model.config, horizon) > 0
        readings = [
            outcome.reading(request, mine, missing, rolls=rolls, warm=warm)
            for request, mine in zip(requests, parts, strict=True)
        ]
        reused = sum(each.start for each in found)
        read = sum(each.row.length for each in found) - reused
        return Pass(numbers, readings, len(found), read, reused, output.routing.load())

    def _cache(self, found: Sequence[_Found], horizon: int, *, warm: bool) -> KVCache | None:
        """A cache with what is known of each context; None when nobody needs one."""
        config = self.model.config
        wanted = any(each.row.keep or each.chain for each in found)
        if not (warm or wanted or points_fed_back(config, horizon)):
            return None
        # Rows with a past have any number of tokens to compute; those that pad the others need a free slot.
        longest = max(each.row.length for each in found) + warm
        capacity = cache_capacity(config, longest, horizon)
        if not warm:
            return self.model.allocate_cache(len(found), capacity)
        empty = self.model.allocate_cache(1, capacity)
        return KVCache.joined(
            [empty if each.past is None else each.past.cache.resized(capacity) for each in found]
        )

    def _window(self, found: Sequence[_Found]) -> Window:
        """The last points of all contexts."""
        most = seen_points(self.model.config) or max(len(each.row.context) for each in found)
        ends = [each.row.context[-most:] for each in found]
        lengths = torch.tensor([len(path) for path in ends], device=self.model.device)
        return Window.of(_stacked(ends).to(self.model.device), lengths, self.model.config)

    def _forward(
        self, found: Sequence[_Found], missing: Sequence[Tensor], cache: KVCache | None, *, warm: bool
    ) -> SequenceOutput:
        device = self.model.device
        fed = [each.fed() for each in found]
        points = _stacked(fed).to(device)
        counts = torch.tensor([len(path) for path in fed], device=device)
        positions = None
        if warm and cache is not None:
            starts = torch.tensor([each.start for each in found], device=device)
            positions = starts[:, None] + torch.arange(points.shape[1], device=device)
            positions = positions.clamp_max(cache.capacity - 1)  # padding; the last slot is free
            tokens = _padded([each.row.length for each in found], missing).to(device)
        else:
            tokens = self.model.token_positions(counts, every=found[0].grid.every)
        output: SequenceOutput = self.model(
            points,
            anchor=join_anchors([each.anchor for each in found]),
            lengths=counts,
            positions=positions,
            tokens=tokens,
            cache=cache,
        )
        return output

    def _routes(
        self, found: Sequence[_Found], missing: Sequence[Tensor], routing: RoutingRecord
    ) -> dict[int, Routes]:
        """Who served all tokens on the grid of those contexts that have a past, or will be one."""
        new = Routes.of(routing)
        chosen = [n for n, each in enumerate(found) if each.past or each.chain or each.row.keep]
        if new is None:
            return {}
        return {n: _on_grid(found[n], new.at(n).at(slice(len(missing[n]))), missing[n]) for n in chosen}


@dataclass(frozen=True)
class _Outcome:
    """What came of a pass over rows."""

    next: StepDistribution
    anchor: Anchor
    routing: RoutingRecord
    window: Window
    cache: KVCache | None
    routes: dict[int, Routes]

    def reading(
        self, request: Sequence[_Found], numbers: range, missing: Sequence[Tensor], *, rolls: bool, warm: bool
    ) -> Reading:
        """The part of one request."""
        mine = slice(
            numbers.start, numbers.stop
        )  # views: an index for each part would cost more than the rest
        device = self.window.lengths.device
        kept = any(each.row.keep for each in request)
        cache = None
        if self.cache is not None and (rolls or kept):  # a copy: what is remembered must not hold the others
            cache = self.cache.take(torch.arange(numbers.start, numbers.stop, device=device))
        if warm and self.routes:
            routing = Routes.record([self.routes[n] for n in numbers])
        else:
            routing = _select(self.routing, mine, max(len(missing[n]) for n in numbers))
        pasts = [
            self._past(each, cache, at, missing[n], self.routes.get(n))
            for at, (each, n) in enumerate(zip(request, numbers, strict=True))
        ]
        return Reading(
            self.anchor.take(mine),
            self.next.at((mine,)),
            torch.tensor([each.row.length for each in request], device=device),
            self.window.take(mine),
            cache if rolls else None,
            routing,
            sum(each.start for each in request),
            tuple(pasts),
        )

    @staticmethod
    def _past(
        each: _Found, cache: KVCache | None, at: int, missing: Tensor, routes: Routes | None
    ) -> Past | None:
        """What a session goes on from."""
        if not each.row.keep or cache is None:
            return None
        before = each.past
        known = torch.zeros(cache.capacity, dtype=torch.bool)
        if before is not None:
            known = fitted(before.known, cache.capacity)
        known[missing] = True
        slots = None
        if routes is not None:
            held = before.routes if before is not None and before.routes is not None else routes.at(slice(0))
            slots = held.resized(cache.capacity)
            slots.put(each.grid.positions(0, each.row.length), routes)
        own = cache if len(cache.points) == 1 else cache.take(torch.tensor([at], device=cache.points.device))
        return Past(each.anchor, own, each.row.length, known, slots)


def _on_grid(each: _Found, new: Routes, missing: Tensor) -> Routes:
    """Who served the tokens of a context's grid, ``[T', L, ...]``: those known before, and new ones."""
    if each.past is None or each.past.routes is None:
        return new
    slots = each.past.routes.resized(each.row.length)
    slots.put(missing, new)
    return slots.at(each.grid.positions(0, each.row.length))


def _padded(lengths: Sequence[int], missing: Sequence[Tensor]) -> Tensor:
    """Positions of tokens ``[B, T']``, the rest of each row just beyond its last point."""
    longest = max(len(tokens) for tokens in missing)
    return torch.stack(
        [
            F.pad(tokens, (0, longest - len(tokens)), value=n)
            for n, tokens in zip(lengths, missing, strict=True)
        ]
    )


def _stacked(paths: Sequence[Tensor]) -> Tensor:
    """Paths ``[T_b, D]`` as ``[B, T, D]``, with zeros to the longest, which the model never looks at."""
    longest = max(len(path) for path in paths)
    return torch.stack(
        [path if len(path) == longest else F.pad(path, (0, 0, 0, longest - len(path))) for path in paths]
    )


def _select(routing: RoutingRecord, rows: slice, tokens: int) -> RoutingRecord:
    """Some sequences of a record, and their first tokens."""
    layers = [
        LayerRouting(
            layer.experts[rows, :tokens],
            layer.weights[rows, :tokens],
            layer.probabilities[rows, :tokens],
            layer.valid[rows, :tokens],
        )
        for layer in routing.layers
    ]
    return RoutingRecord(tuple(layers))
