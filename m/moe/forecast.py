"""Continuing a path: the roll-out, and the `Forecast` that users get."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from m.arrays import Array
from m.attention.cache import KVCache
from m.heads.distribution import StepDistribution
from m.moe.anchor import Anchor, compute_anchor
from m.moe.config import ModelConfig
from m.moe.request import QUANTILE_PATHS, ForecastRequest, at_least_one
from m.moe.spacing import cache_capacity, points_fed_back, token_spacing
from m.moe.window import Window
from m.routing.record import RoutingRecord

if TYPE_CHECKING:
    from m.moe.model import MoESequenceRegressor

_MOST_TOKENS = 2**11  # in a pass, while paths are drawn; others wait so long at most
_CACHE_BUDGET = 2**28  # bytes of copied caches held at once while paths are drawn


@dataclass(frozen=True)
class Forecast:
    """A continued path, in the units it came in.

    Arrays have no batch axis when the context had none.

    Attributes:
        points: the forecast at the asked temperature, ``[B, H, K]``.
        mean: centre of the predictive distribution (temperature 0), ``[B, H, K]``.
        samples: sampled paths ``[B, S, H, K]``, or None when none were asked for.
        routing: experts that served the context's tokens, per layer ``[B, T', ...]``; the forecast
            comes from the last one. Tokens lie `ModelConfig.stride` points apart, or closer when a
            long horizon needs them.
    """

    points: Array
    mean: Array
    samples: Array | None
    routing: RoutingRecord
    _first: StepDistribution
    _draw: Callable[[int, int | None], Array]
    _batched: bool

    def sample(self, n: int, seed: int | None = None) -> Array:
        """Draw n paths at temperature 1, ``[B, n, H, K]``."""
        return self._draw(n, seed)

    def quantile(self, q: float) -> Array:
        """Quantile of each coordinate at level ``q`` in (0, 1), ``[B, H, K]``.

        Exact within the head's P steps; beyond them from 100 sampled paths (seed 0).

        Raises:
            ValueError: a level outside (0, 1).
        """
        if not 0.0 < q < 1.0:
            raise ValueError(f"a quantile level must lie strictly between 0 and 1, got {q}")
        steps, horizon = self._first.location.shape[-2], self.points.shape[-2]
        if horizon <= steps:
            exact = self._first.quantile(q)[:, :horizon].cpu().numpy()
            return exact if self._batched else exact[0]
        result: Array = np.quantile(self._quantile_paths, q, axis=-3)
        return result

    @property
    def marginals(self) -> StepDistribution | None:
        """Stated distribution of every coordinate, ``[B, H, K]``; None beyond the head's P steps.

        Rolled-on points follow from sampled paths and have no density in closed form.
        """
        horizon = self.points.shape[-2]
        if horizon > self._first.location.shape[-2]:
            return None
        location, scale = self._first.location[:, :horizon], self._first.scale[:, :horizon]
        if not self._batched:
            location, scale = location[0], scale[0]
        return replace(self._first, location=location, scale=scale)

    @cached_property
    def _quantile_paths(self) -> Array:
        return self.sample(QUANTILE_PATHS, seed=0)


def make_forecast(model: MoESequenceRegressor, request: ForecastRequest) -> Forecast:
    """See `MoESequenceRegressor.forecast`."""
    rollout = Rollout(model, request)
    arrange = request.arrange

    seed, temperature = request.seed, request.temperature
    mean = arrange(rollout.run(0.0, 1, None)[:, 0])
    samples = None
    if request.num_samples:
        samples = arrange(rollout.run(temperature or 1.0, request.num_samples, seed))
    return Forecast(
        points=arrange(rollout.run(temperature, 1, seed)[:, 0]) if temperature > 0 else mean,
        mean=mean,
        samples=samples,
        routing=rollout.routing,
        _first=rollout.first,
        _draw=lambda n, new_seed: arrange(rollout.run(1.0, at_least_one(n), new_seed)),
        _batched=request.batched,
    )


class Rollout:
    """A context read once, from which any number of continuations are drawn.

    Args:
        model: the forecaster.
        request: contexts, and how many points to predict.
    """

    def __init__(self, model: MoESequenceRegressor, request: ForecastRequest) -> None:
        self.model, self.horizon = model, request.horizon
        self.steps = model.config.head.prediction_steps
        points, self.lengths, anchored = (
            torch.from_numpy(part).to(model.device)
            for part in (request.points, request.lengths, request.anchored)
        )
        self.anchor = compute_anchor(points, anchored, model.config.anchor)
        batch, length, _ = points.shape
        self._cache = None
        if points_fed_back(model.config, self.horizon):
            capacity = cache_capacity(model.config, length, self.horizon)
            self._cache = model.allocate_cache(batch, capacity)
        self._every = token_spacing(model.config, self.horizon)
        tokens = model.token_positions(self.lengths, every=self._every)
        with inference(model):
            output = model(points, anchor=self.anchor, lengths=self.lengths, tokens=tokens, cache=self._cache)
        self.routing: RoutingRecord = output.routing
        last = (torch.arange(batch, device=model.device), (self.lengths - 1) // self._every)
        self._next = output.distribution.at(last)  # [B, P, K], anchored
        target = self.anchor.for_targets(model.config.target_dim)
        self.first: StepDistribution = target.in_units(self._next)
        self._window = Window.of(points, self.lengths, model.config)

    def run(self, temperature: float, paths: int, seed: int | None) -> Tensor:
        """Continue each context ``paths`` times, ``[B, paths, H, K]`` in the inputs' units."""
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        index = torch.arange(len(self._window), device=self.model.device).repeat_interleave(paths)
        with inference(self.model):
            # In pieces: hundreds of paths of hundreds of contexts would take too much memory at once.
            pieces = torch.split(index, rows_at_once(self.model.config, self._window, self._cache))
            drawn = [self._continue(rows, temperature, generator) for rows in pieces]
        return torch.cat(drawn).view(-1, paths, self.horizon, self.model.config.target_dim)

    def _continue(self, rows: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
        """One path for each of the contexts named, ``[N, H, K]``."""
        path = self._path(rows)
        blocks: list[Tensor] = []
        while True:
            known = path.next
            block = known.sample(temperature, generator) if temperature else known.location
            target = path.anchor.for_targets(self.model.config.target_dim)
            blocks.append(target.restore(block.to(target.location.dtype)))
            if len(blocks) * self.steps >= self.horizon:
                return torch.cat(blocks, 1)[:, : self.horizon]
            path.extend(self.model, blocks[-1])

    def _path(self, rows: Tensor) -> FreshPath | HeldPath:
        anchor, known = self.anchor.take(rows), self._next.at((rows,))
        if self._cache is None:
            return FreshPath(anchor, known, self._window.take(rows))
        return HeldPath(anchor, known, self.lengths[rows], self._cache.take(rows), self._every)


@dataclass
class FreshPath:
    """Paths whose last points are read anew, by a new anchor, with every block.

    Attributes:
        anchor: of ``next``.
        next: distribution of the P points that follow, ``[N, P, K]``, anchored.
        window: the last points.
    """

    anchor: Anchor
    next: StepDistribution
    window: Window

    def extend(self, model: MoESequenceRegressor, block: Tensor) -> None:
        """Go on from P more points ``[N, P, D]``."""
        self.window = self.window.append(block)
        self.anchor, self.next = read_window(model, self.window)


@dataclass
class HeldPath:
    """Paths that keep their anchor, and a cache of what was read.

    Attributes:
        anchor: of all points.
        next: distribution of the P points that follow, ``[N, P, K]``, anchored.
        position: slot of the next point, ``[N]``.
        cache: of what was read.
        every: points between tokens.
    """

    anchor: Anchor
    next: StepDistribution
    position: Tensor
    cache: KVCache
    every: int

    def extend(self, model: MoESequenceRegressor, block: Tensor) -> None:
        """Go on from P more points ``[N, P, D]``."""
        self.next = feed_back(model, block, self.anchor, self.position, self.cache)
        self.position = self.position + block.shape[1]


def read_window(model: MoESequenceRegressor, window: Window) -> tuple[Anchor, StepDistribution]:
    """Read the last points of N sequences by an anchor of their own: it, and the P points that follow."""
    anchor = compute_anchor(window.points, window.lengths, model.config.anchor)
    tokens = model.token_positions(window.lengths)
    output = model(window.points, anchor=anchor, lengths=window.lengths, tokens=tokens)
    rows = torch.arange(len(window), device=model.device)
    return anchor, output.distribution.at((rows, (window.lengths - 1) // model.config.stride))


def feed_back(
    model: MoESequenceRegressor, block: Tensor, anchor: Anchor, position: Tensor, cache: KVCache
) -> StepDistribution:
    """Read P points ``[N, P, D]`` at slots from ``position [N]`` on: the P points that follow."""
    steps = model.config.head.prediction_steps
    every = token_spacing(model.config, steps + 1)
    ahead = torch.arange(steps, device=block.device)
    grid = ahead[every - 1 :: every]  # of the P new points, those that become tokens
    output = model(
        block,
        anchor=anchor,
        positions=position[:, None] + ahead,
        tokens=position[:, None] + grid,
        cache=cache,
    )
    rows = torch.arange(len(block), device=block.device)
    known: StepDistribution = output.distribution.at((rows, torch.full_like(rows, len(grid) - 1)))
    return known


def rows_at_once(config: ModelConfig, window: Window, cache: KVCache | None) -> int:
    """Paths that are drawn together: so many that copies of a context's cache, or tokens, fit the memory."""
    if cache is None:
        tokens = -(-window.points.shape[1] // config.stride)
        return max(1, _MOST_TOKENS // tokens)
    return max(1, _CACHE_BUDGET // (cache.bytes_per_row() or 1))


@contextmanager
def inference(model: MoESequenceRegressor) -> Iterator[None]:
    """Evaluation mode without gradients; the model's mode is put back afterwards."""
    training = model.training
    if training:  # else there is nothing to switch, and a walk over all modules costs as much as a layer
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if training:
            model.train()
