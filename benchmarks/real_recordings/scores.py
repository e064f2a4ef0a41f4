"""What a forecaster scores on a recording, and who leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.real_recordings.tracks import Array
from examples.trajectory_3d.forecasters import FloatArray, Forecaster, PathForecast
from examples.trajectory_3d.metrics import position_error
from m.moe import MoESequenceRegressor

# A forecast of a smooth orbit can be exact to rounding, where a geometric mean would be 0 or undefined.
SMALLEST = 1e-12
INTERVAL = (0.1, 0.9)


@dataclass(frozen=True)
class Score:
    """One forecaster on one recording.

    Attributes:
        forecaster: its name.
        gn: geometric mean over windows of position error / standard deviation of the context.
        gn_median: median over windows of the same ratio.
        position_error: mean over windows and steps, metres.
        coverage: share of coordinates inside the stated 80 % interval; None when none is stated.
    """

    forecaster: str
    gn: float
    gn_median: float
    position_error: float
    coverage: float | None


@dataclass(frozen=True)
class RecordingScores:
    """All forecasters on one recording, in the order given."""

    recording: str
    moves: str
    windows: int
    context: int
    horizon: int
    scores: tuple[Score, ...]

    @property
    def leader(self) -> Score:
        """The forecaster with the smallest gn."""
        return min(self.scores, key=lambda score: score.gn)


class ZeroShotModel:
    """A trained model as a forecaster of centre and 80 % interval.

    Args:
        model: forecasts.
        name: in tables.
    """

    def __init__(self, model: MoESequenceRegressor, name: str) -> None:
        self._model, self._name = model, name

    @property
    def name(self) -> str:
        """Name in tables."""
        return self._name

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Continue paths ``[B, L, 3]`` by ``horizon`` points, [B, horizon, 3] metres."""
        forecast = self._model.forecast(context, horizon)
        return PathForecast(
            mean=forecast.mean, quantiles={level: forecast.quantile(level) for level in INTERVAL}
        )


def relative_errors(mean: Array, targets: Array, context: Array) -> Array:
    """Position error averaged over the horizon / standard deviation of the context, ``[N]``, no unit.

    Args:
        mean: forecast, [N, H, 3] metres.
        targets: what happened, [N, H, 3] metres.
        context: observed points, [N, L, 3] metres; its deviation is one for the three axes (the root of
            their mean variance).
    """
    spread = np.sqrt(context.var(axis=1).mean(axis=-1))
    ratio: Array = np.maximum(position_error(mean, targets) / spread, SMALLEST)
    return ratio


def score(forecaster: Forecaster, windows: Array, context: int) -> Score:
    """Forecast the last points of each window from its first ``context``.

    Args:
        forecaster: any.
        windows: [N, context + H, 3] metres.
        context: observed points.

    Raises:
        ValueError: a forecast that is not finite; names the forecaster.
    """
    observed, targets = windows[:, :context], windows[:, context:]
    forecast = forecaster.forecast(observed, targets.shape[1])
    mean = np.asarray(forecast.mean, dtype=np.float64)
    if not np.isfinite(mean).all():
        window = int(np.argwhere(~np.isfinite(mean))[0][0])
        raise ValueError(f"forecaster {forecaster.name!r} is not finite in window {window}")
    ratios = relative_errors(mean, targets, observed)
    return Score(
        forecaster=forecaster.name,
        gn=float(np.exp(np.log(ratios).mean())),
        gn_median=float(np.median(ratios)),
        position_error=float(position_error(mean, targets).mean()),
        coverage=_coverage(forecast, targets),
    )


def _coverage(forecast: PathForecast, targets: Array) -> float | None:
    quantiles = forecast.quantiles or {}
    if not all(level in quantiles for level in INTERVAL):
        return None
    low, high = (quantiles[level] for level in INTERVAL)
    return float(((low <= targets) & (targets <= high)).mean())


def overall(results: Sequence[RecordingScores]) -> dict[str, float]:
    """Geometric mean over recordings of gn, by forecaster; a recording counts once, whatever its length.

    A few computed orbits without noise, forecast to 1e-4 and below by what can fit them, weigh much in it;
    `overall_median` says what the typical recording does.
    """
    names, table = _table(results)
    return dict(zip(names, np.exp(np.log(table).mean(axis=0)).tolist(), strict=True))


def overall_median(results: Sequence[RecordingScores]) -> dict[str, float]:
    """Median over recordings of gn, by forecaster."""
    names, table = _table(results)
    return dict(zip(names, np.median(table, axis=0).tolist(), strict=True))


def _table(results: Sequence[RecordingScores]) -> tuple[list[str], Array]:
    names = [each.forecaster for each in results[0].scores]
    return names, np.array([[each.gn for each in result.scores] for result in results])
