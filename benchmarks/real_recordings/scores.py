"""What a forecaster scores on a recording, and who leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.evaluation import EvaluationSet, forecast_all
from examples.trajectory_3d.forecasters import Forecaster
from examples.trajectory_3d.scoring import GroupScorer
from examples.trajectory_3d.skill import context_std, log_ratios, normalised_distance

_ALL = "recording"
_BATCH = 250


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


def score(forecaster: Forecaster, windows: Float64Array, context: int) -> Score:
    """Forecast the last points of each window from its first ``context``.

    Args:
        forecaster: any.
        windows: [N, context + H, 3] metres.
        context: observed points.

    Raises:
        ForecastError: a forecast of wrong shape or one that is not finite; names forecaster and window.
    """
    track = EvaluationSet(
        context=windows[:, :context],
        targets=windows[:, context:],
        type_ids=np.zeros(len(windows), dtype=np.int64),
        type_names=(_ALL,),
        dt=1.0,  # nothing here is a speed
    )
    forecast = forecast_all(forecaster, track, _BATCH)
    scores = GroupScorer(forecast, track, seed=0).all_groups()[_ALL]
    ratios = log_ratios(normalised_distance(forecast.mean, track.targets, context_std(track.context)))
    return Score(
        forecaster=forecaster.name,
        gn=scores.skill.gn,
        gn_median=float(np.exp(np.median(ratios))),
        position_error=scores.metrics["position_error"],
        coverage=None if scores.uncertainty is None else scores.uncertainty.coverage,
    )


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


def _table(results: Sequence[RecordingScores]) -> tuple[list[str], Float64Array]:
    names = [each.forecaster for each in results[0].scores]
    return names, np.array([[each.gn for each in result.scores] for result in results])
