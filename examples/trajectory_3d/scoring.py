"""Scoring a forecast: what every window gives is computed once, then averaged over any group."""

from typing import Literal

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, FloatArray, IntArray
from examples.trajectory_3d.bootstrap import bootstrap_interval
from examples.trajectory_3d.evaluation_set import MIXED, EvaluationSet
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.metrics import compute_metrics, position_error
from examples.trajectory_3d.probabilistic import (
    crps_of_samples,
    energy_score,
    negative_log_likelihood,
    rank_histogram,
    ranks_of_samples,
    unevenness,
)
from examples.trajectory_3d.scores import (
    CENTRAL_INTERVALS,
    INTERVAL_LEVELS,
    RANK_BINS,
    DistributionScores,
    GroupScores,
    RankHistogram,
    ReferenceRatio,
    Uncertainty,
)
from examples.trajectory_3d.skill import context_std, normalised_distance, score_skill


class GroupScorer:
    """Scores groups of windows of one forecast; what each window gives is computed once.

    Args:
        forecast: of all windows of the set, finite.
        evaluation_set: the windows and the truth.
        seed: of the bootstrap and of ties among ranks.
        reference_errors: position error of the reference in each window, [N] metres, NaN where it has
            none; None without a reference.
    """

    def __init__(
        self,
        forecast: PathForecast,
        evaluation_set: EvaluationSet,
        seed: int,
        reference_errors: Float64Array | None = None,
    ) -> None:
        self._forecast = forecast
        self._set = evaluation_set
        self._seed = seed
        self._reference = reference_errors
        targets = np.asarray(evaluation_set.targets, dtype=np.float64)
        self._errors = position_error(forecast.mean, targets)  # [N]
        self._scale = context_std(evaluation_set.context)  # [N]
        self._distance = normalised_distance(forecast.mean, targets, self._scale)  # [N, H]
        self._distribution = _WindowDistribution(forecast, targets, self._scale, seed)

    def all_groups(self) -> dict[str, GroupScores]:
        """Score every type that has windows, then all windows together."""
        return {group: self._group(group, windows) for group, windows in self._set.groups().items()}

    def _group(self, group: str, windows: IntArray) -> GroupScores:
        types = {group: windows}
        if group == MIXED:
            types = {name: members for name, members in self._set.groups().items() if name != MIXED}
        mean, targets = self._forecast.mean[windows], self._set.targets[windows]
        distances = np.linalg.norm(mean.astype(np.float64) - targets, axis=-1)  # [n, H]
        errors = self._errors[windows]
        return GroupScores(
            count=len(windows),
            # The observed points are noisy, so differences start at the first forecast point.
            metrics=compute_metrics(mean, targets, None, self._set.dt),
            position_error_median=float(np.median(errors)),
            position_error_interval=bootstrap_interval(errors, self._seed),
            error_per_step=distances.mean(axis=0),
            uncertainty=_uncertainty(self._forecast, self._set.targets, windows),
            skill=score_skill(self._distance, types, self._seed),
            distribution=self._distribution.group(windows),
            reference_ratio=self._ratio(windows),
        )

    def _ratio(self, windows: IntArray) -> ReferenceRatio | None:
        if self._reference is None:
            return None
        shared = windows[np.isfinite(self._reference[windows])]
        if not len(shared):
            return None
        own, other = self._errors[shared], self._reference[shared]
        return ReferenceRatio(
            mean=_quotient(float(own.mean()), float(other.mean())),
            median=_quotient(float(np.median(own)), float(np.median(other))),
            count=len(shared),
        )


class _WindowDistribution:
    """What the distribution of each window scores, to be averaged over any group."""

    def __init__(self, forecast: PathForecast, targets: Float64Array, scale: Float64Array, seed: int) -> None:
        density, samples = forecast.density, forecast.samples
        enough = samples if samples is not None and samples.shape[1] >= 2 else None
        self._scale = scale
        self._nll = None if density is None else negative_log_likelihood(density, targets)
        self._crps: Float64Array | None = None
        if density is not None:
            self._crps = density.crps(targets).mean(axis=(1, 2))
        elif enough is not None:
            self._crps = crps_of_samples(enough, targets).mean(axis=(1, 2))
        self._energy = None if enough is None else energy_score(enough, targets)
        self._inside = _inside_per_step(forecast, targets)
        self._ranks: Float64Array | None = None
        self._source: Literal["samples", "density"] = "samples"
        if samples is not None:
            self._ranks = ranks_of_samples(samples, targets, seed)
        elif density is not None:
            self._ranks, self._source = density.cdf(targets), "density"

    def group(self, windows: IntArray) -> DistributionScores | None:
        if self._nll is None and self._crps is None and self._ranks is None and not self._inside:
            return None
        moving = windows[self._scale[windows] > 0]
        scale = self._scale[moving]
        return DistributionScores(
            nll=_mean_over(self._nll, windows),
            # The density of x / s at the truth is s times that of x.
            nll_normalised=None if self._nll is None else _mean_of(self._nll[moving] - np.log(scale)),
            crps=_mean_over(self._crps, windows),
            crps_normalised=None if self._crps is None else _mean_of(self._crps[moving] / scale),
            energy_score=_mean_over(self._energy, windows),
            coverage_per_step={level: inside[windows].mean(axis=0) for level, inside in self._inside.items()},
            ranks=self._histogram(windows),
        )

    def _histogram(self, windows: IntArray) -> RankHistogram | None:
        if self._ranks is None:
            return None
        shares = rank_histogram(self._ranks[windows], RANK_BINS)
        return RankHistogram(shares, unevenness(shares), self._source)


def _mean_over(values: Float64Array | None, windows: IntArray) -> float | None:
    return None if values is None else _mean_of(values[windows])


def _mean_of(values: Float64Array) -> float:
    return float(values.mean()) if values.size else float("nan")


def _inside_per_step(forecast: PathForecast, targets: Float64Array) -> dict[float, Float64Array]:
    """Nominal coverage -> share of the three coordinates inside, [N, H], for every interval stated."""
    quantiles = forecast.quantiles or {}
    return {
        nominal: ((quantiles[low] <= targets) & (targets <= quantiles[high])).mean(axis=-1)
        for nominal, (low, high) in CENTRAL_INTERVALS.items()
        if low in quantiles and high in quantiles
    }


def _uncertainty(forecast: PathForecast, targets: FloatArray, windows: IntArray) -> Uncertainty | None:
    quantiles = forecast.quantiles or {}
    if not all(level in quantiles for level in INTERVAL_LEVELS):
        return None
    low, high = (quantiles[level][windows] for level in INTERVAL_LEVELS)
    inside = (low <= targets[windows]) & (targets[windows] <= high)
    return Uncertainty(coverage=float(inside.mean()), width=float((high - low).mean()))


def _quotient(own: float, other: float) -> float:
    if other > 0:
        return own / other
    return float("inf") if own > 0 else float("nan")
