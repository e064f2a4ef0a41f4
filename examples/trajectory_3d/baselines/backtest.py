"""Choosing a setting per window by back-testing, the one helper behind every tuned baseline.

A method comes as a `Family`: several settings that all continue the same paths. Each setting forecasts
points that were already observed, from several moments near the end of the context, and per window the
setting with the smallest mean distance makes the real forecast. No future point is ever used.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from examples.trajectory_3d.forecasters import FloatArray, PathForecast
from examples.trajectory_3d.metrics import Float64Array

# Continues anchored paths: ([B, L, 3], horizon) -> [B, horizon, 3].
Extend: TypeAlias = Callable[[Float64Array, int], Float64Array]

CHUNK_POINTS = 16_384  # observed points worked on at once; bounds the memory of the fits


class Family(Protocol):
    """Several settings of one method, tried side by side."""

    @property
    def settings(self) -> tuple[str, ...]:
        """What tells the C settings apart, in words, in order of preference among equals."""
        ...

    def continuations(self, points: Float64Array, horizon: int) -> Float64Array:
        """Continue each path with each setting: [B, L, 3] -> [C, B, horizon, 3], in the unit of the points.

        A setting for which L points are too few gives NaN. Windows do not influence each other.
        """
        ...


@dataclass(frozen=True)
class BackTest:
    """From which moments, and how far, settings forecast the known past.

    Attributes:
        moments: number of moments in the context from which each setting forecasts.
        spacing: points between two moments; the last moment is the latest that leaves enough points to
            compare with.
        share: part of the horizon that is forecast, in (0, 1]; at most half of the context is held out.
    """

    moments: int = 8
    spacing: int = 1
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.moments < 1 or self.spacing < 1 or not 0.0 < self.share <= 1.0:
            raise ValueError(
                f"BackTest needs moments >= 1, spacing >= 1 and a share in (0, 1], got moments="
                f"{self.moments}, spacing={self.spacing}, share={self.share}"
            )

    def held_out(self, length: int, horizon: int) -> int:
        """Steps forecast from each moment, at least 1."""
        return max(1, min(int(np.ceil(horizon * self.share)), length // 2))

    def ends(self, length: int, horizon: int) -> list[int]:
        """Numbers of points known at each moment, latest first; empty for a single point."""
        latest = length - self.held_out(length, horizon)
        return [end for end in range(latest, latest - self.moments * self.spacing, -self.spacing) if end >= 1]

    def scores(self, family: Family, points: Float64Array, horizon: int) -> Float64Array:
        """Mean distance of every setting over the moments at which it can be used.

        Args:
            family: the settings to compare.
            points: observed paths, [B, L, 3].
            horizon: steps that will be forecast in the end, >= 1.

        Returns:
            [C, B] in the unit of the points; inf where a setting could be used at no moment.
        """
        length = points.shape[1]
        steps = self.held_out(length, horizon)
        total = np.zeros((len(family.settings), len(points)))
        tests = np.zeros_like(total)
        for end in self.ends(length, horizon):
            error = family.continuations(points[:, :end], steps) - points[:, end : end + steps]
            distance = np.sqrt(np.square(error).sum(axis=-1)).mean(axis=-1)  # [C, B]
            usable = np.isfinite(distance)
            total += np.where(usable, distance, 0.0)
            tests += usable
        return np.divide(total, tests, out=np.full_like(total, np.inf), where=tests > 0)


@dataclass(frozen=True)
class BackTested:
    """A forecaster that uses, per window, the settings of a family that forecast the known past best.

    Attributes:
        name: how the forecaster is called in tables and titles.
        family: the settings to choose from.
        fallback: continues windows on which no setting could be tried, because the context is too short.
        back_test: how the settings are compared.
        sharpness: None takes the best setting alone; p > 0 averages all with weights (mean distance)^-p,
            the inverse-error weights of Bates and Granger, Operational Research Quarterly 20, 1969, with
            p = 2 there.
    """

    name: str
    family: Family
    fallback: Extend
    back_test: BackTest = BackTest()
    sharpness: float | None = None

    def __post_init__(self) -> None:
        if self.sharpness is not None and self.sharpness <= 0.0:
            raise ValueError(f"sharpness must be above 0, or None for the best alone, got {self.sharpness}")

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Continue each path: [B, L, 3] -> [B, horizon, 3] metres. ValueError on a wrong shape."""
        return PathForecast(mean=in_anchored_chunks(context, horizon, self.extend))

    def extend(self, points: Float64Array, horizon: int) -> Float64Array:
        """Continue anchored paths: [B, L, 3] -> [B, horizon, 3]."""
        scores = self.back_test.scores(self.family, points, horizon)  # [C, B]
        tried = np.isfinite(scores).any(axis=0)
        mean = np.empty((len(points), horizon, 3))
        if tried.any():
            paths = self.family.continuations(points[tried], horizon)
            mean[tried] = self._combine(paths, scores[:, tried])
        if not tried.all():
            mean[~tried] = self.fallback(points[~tried], horizon)
        return mean

    def _combine(self, paths: Float64Array, scores: Float64Array) -> Float64Array:
        """[C, B, H, 3] and [C, B] -> [B, H, 3]."""
        best = scores.argmin(axis=0)
        if self.sharpness is None:
            winners: Float64Array = paths[best, np.arange(len(best))]
            return winners
        least = scores.min(axis=0)
        # Relative to the best, so that neither tiny nor huge scores leave the range of a float; settings
        # without any error share the weight among themselves.
        relative = np.divide(least, scores, out=np.ones_like(scores), where=scores > least)
        weights = relative**self.sharpness  # 0 for settings never tried, whose score is inf
        weights /= weights.sum(axis=0)
        combined: Float64Array = np.einsum("cb,cbhk->bhk", weights, np.where(np.isfinite(paths), paths, 0.0))
        return combined


@dataclass(frozen=True)
class JoinedFamily:
    """The settings of several families as one."""

    families: tuple[Family, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """Those of each family, one family after another."""
        return tuple(setting for family in self.families for setting in family.settings)

    def continuations(self, points: Float64Array, horizon: int) -> Float64Array:
        """Continue each path with each setting of each family: [B, L, 3] -> [C, B, horizon, 3]."""
        return np.concatenate([family.continuations(points, horizon) for family in self.families])


def checked_context(context: FloatArray, horizon: int) -> Float64Array:
    """The context in float64.

    Raises:
        ValueError: unless it is [B, L, 3] with L >= 1, finite, and the horizon at least 1.
    """
    points = np.asarray(context, dtype=np.float64)
    if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] < 1:
        raise ValueError(f"context must have shape [B, L, 3] with L >= 1, got {list(points.shape)}")
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1 step, got {horizon}")
    if not np.isfinite(points).all():
        window, point, _ = np.argwhere(~np.isfinite(points))[0].tolist()
        raise ValueError(
            f"context holds a position that is not finite in window {window} at point {point}; "
            "fill or cut gaps before forecasting"
        )
    return points


def anchored(points: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Move the last point to the origin and divide by the spread of the path.

    Returns:
        Anchored points [B, L, 3], location [B, 1, 3] and scale [B, 1, 1] in metres: one standard deviation
        for the three axes, 1 for a path at rest. Fits then neither lose digits far from the origin nor
        depend on the unit.
    """
    location = points[:, -1:]
    offsets = points - location
    spread = np.sqrt(
        np.square(offsets - offsets.mean(axis=1, keepdims=True)).mean(axis=(1, 2), keepdims=True)
    )
    scale = np.where(spread > 0.0, spread, 1.0)
    return offsets / scale, location, scale


def chunks(count: int, length: int) -> Iterator[slice]:
    """Slices over `count` windows of `length` points: `CHUNK_POINTS` points at most, or one window."""
    size = max(1, CHUNK_POINTS // length)
    for first in range(0, count, size):
        yield slice(first, first + size)


def in_anchored_chunks(context: FloatArray, horizon: int, extend: Extend) -> Float64Array:
    """Continue windows a chunk at a time, in anchored units, and return to metres.

    Args:
        context: [B, L, 3] metres.
        horizon: number of steps H, >= 1.
        extend: continues anchored points.

    Returns:
        [B, H, 3] metres.

    Raises:
        ValueError: for a wrong shape or a horizon below 1.
    """
    points = checked_context(context, horizon)
    mean = np.empty((len(points), horizon, 3))
    for windows in chunks(*points.shape[:2]):
        offsets, location, scale = anchored(points[windows])
        mean[windows] = location + scale * extend(offsets, horizon)
    return mean
