"""Measure forecasters on a fixed set of windows, per motion type and mixed.

The same windows, in the same order, go to every forecaster. Beside the forecasters the true path itself is
measured, as `EvaluationResult.true_path`: smoothness and temporal consistency describe a path alone, and
read only beside what the true motion scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.baselines import BASELINE_NAMES
from examples.trajectory_3d.forecasters import FloatArray, Forecaster, IntArray, PathForecast
from examples.trajectory_3d.metrics import Float64Array, compute_metrics, position_error

MIXED = "mixed"  # the group of all windows
INTERVAL_LEVELS = (0.1, 0.9)  # the stated 80 % interval whose coverage is measured
CONFIDENCE = 0.95
BOOTSTRAP_SAMPLES = 1000
BOOTSTRAP_CHUNK = 2_000_000  # resampled values held in memory at once


@dataclass(frozen=True)
class EvaluationSet:
    """Windows to forecast and their true continuation.

    Attributes:
        context: observed points, [N, L, 3] metres.
        targets: true continuation, [N, H, 3] metres.
        type_ids: index into `type_names` of each window, [N].
        type_names: names of the motion types; a type without windows is reported as absent.
        dt: seconds between points.

    Raises:
        ValueError: when the arrays do not belong together or hold a position that is not finite.
    """

    context: FloatArray
    targets: FloatArray
    type_ids: IntArray
    type_names: tuple[str, ...]
    dt: float

    def __post_init__(self) -> None:
        count = len(self.context)
        for name, values in (("context", self.context), ("targets", self.targets)):
            if values.ndim != 3 or values.shape[-1] != 3 or values.shape[1] < 1:
                raise ValueError(
                    f"EvaluationSet.{name} must have shape [N, points, 3], got {list(values.shape)}"
                )
            if not np.isfinite(values).all():
                window = int(np.argwhere(~np.isfinite(values))[0][0])
                raise ValueError(
                    f"EvaluationSet.{name} holds a position that is not finite in window {window}"
                )
        if count == 0 or len(self.targets) != count or self.type_ids.shape != (count,):
            raise ValueError(
                f"EvaluationSet needs a target and a type for each of N >= 1 windows, got {count} contexts, "
                f"{len(self.targets)} targets and type_ids of shape {list(self.type_ids.shape)}"
            )
        self._check_types()
        if not (np.isfinite(self.dt) and self.dt > 0):
            raise ValueError(f"EvaluationSet.dt must be a positive number of seconds, got {self.dt}")

    def _check_types(self) -> None:
        low, high = int(self.type_ids.min()), int(self.type_ids.max())
        if low < 0 or high >= len(self.type_names):
            raise ValueError(
                f"EvaluationSet.type_ids range from {low} to {high}, "
                f"but there are {len(self.type_names)} type_names: {list(self.type_names)}"
            )
        if len(set(self.type_names)) != len(self.type_names) or MIXED in self.type_names:
            raise ValueError(
                f"EvaluationSet.type_names must differ and not be {MIXED!r}, got {list(self.type_names)}"
            )

    @property
    def horizon(self) -> int:
        """Number of forecast steps H."""
        return int(self.targets.shape[1])

    def groups(self) -> dict[str, IntArray]:
        """Window numbers of every type that has any, in order of `type_names`, then of all windows."""
        members = {name: np.flatnonzero(self.type_ids == i) for i, name in enumerate(self.type_names)}
        present: dict[str, IntArray] = {name: windows for name, windows in members.items() if len(windows)}
        present[MIXED] = np.arange(len(self.context))
        return present


@dataclass(frozen=True)
class Uncertainty:
    """How the stated 80 % interval (quantiles 0.1 to 0.9 of each coordinate) fits the truth.

    Attributes:
        coverage: share of true coordinates inside; 0.8 is calibrated, less is overconfident.
        width: mean length of the interval, metres; narrower is better at equal coverage.
    """

    coverage: float
    width: float


@dataclass(frozen=True)
class GroupScores:
    """What one forecaster scored on one group of windows.

    Attributes:
        count: number of windows.
        metrics: name -> value over the windows (see `metrics.compute_metrics`); NaN where undefined.
        position_error_median: median over windows, metres.
        position_error_interval: 95 % bootstrap interval of the mean position error, metres; NaN for
            fewer than two windows.
        error_per_step: mean distance at each forecast step, [H] metres.
        uncertainty: None when the forecaster states no interval.
    """

    count: int
    metrics: Mapping[str, float]
    position_error_median: float
    position_error_interval: tuple[float, float]
    error_per_step: Float64Array
    uncertainty: Uncertainty | None


@dataclass(frozen=True)
class ForecasterScores:
    """Scores of one forecaster: type name (and 'mixed') -> scores. Absent types have no entry."""

    name: str
    is_baseline: bool
    groups: Mapping[str, GroupScores]


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of several forecasters on one set of windows.

    Attributes:
        forecasters: in the order given to `evaluate`.
        true_path: scores of the true continuation against itself, the reference for path properties.
        group_names: groups with windows, types first, 'mixed' last.
        absent_types: names of the types without windows.
        num_windows, context_length, horizon: N, L and H.
        dt: seconds between points.
    """

    forecasters: tuple[ForecasterScores, ...]
    true_path: ForecasterScores
    group_names: tuple[str, ...]
    absent_types: tuple[str, ...]
    num_windows: int
    context_length: int
    horizon: int
    dt: float

    def best_baseline(self, group: str) -> ForecasterScores | None:
        """Return the baseline with the smallest position error in the group, or None without baselines."""
        baselines = [scores for scores in self.forecasters if scores.is_baseline]
        return min(baselines, key=lambda s: s.groups[group].metrics["position_error"], default=None)

    def improvement(self, name: str, group: str) -> float | None:
        """Return by how many percent the position error is below that of the group's best baseline.

        None for a baseline, without baselines, or when the best baseline makes no error.

        Raises:
            ValueError: for a forecaster that was not evaluated.
        """
        scores = next((s for s in self.forecasters if s.name == name), None)
        if scores is None:
            raise ValueError(f"no forecaster named {name!r}; evaluated: {[s.name for s in self.forecasters]}")
        best = self.best_baseline(group)
        if scores.is_baseline or best is None:
            return None
        reference = best.groups[group].metrics["position_error"]
        return (
            100.0 * (1.0 - scores.groups[group].metrics["position_error"] / reference) if reference else None
        )


class ForecastError(ValueError):
    """A forecaster returned something that cannot be measured."""


def evaluate(
    forecasters: Sequence[Forecaster],
    evaluation_set: EvaluationSet,
    *,
    batch_size: int = 256,
    seed: int = 0,
) -> EvaluationResult:
    """Forecast every window with every forecaster and measure the forecasts.

    Args:
        forecasters: at least one, with different names. Those named as in `BASELINE_NAMES` count as
            baselines.
        evaluation_set: what to forecast.
        batch_size: windows handed to a forecaster at once.
        seed: of the bootstrap; the result depends on nothing else that is random.

    Raises:
        ValueError: for no forecasters, equal names or a batch size below 1.
        ForecastError: for a forecast of wrong shape or one that is not finite; names forecaster and window.
    """
    names = [forecaster.name for forecaster in forecasters]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"evaluate needs one or more forecasters with different names, got {names}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    truth = PathForecast(mean=evaluation_set.targets)
    groups = evaluation_set.groups()
    return EvaluationResult(
        forecasters=tuple(
            _score(f.name, forecast_all(f, evaluation_set, batch_size), evaluation_set, seed)
            for f in forecasters
        ),
        true_path=_score("true path", truth, evaluation_set, seed),
        group_names=tuple(groups),
        absent_types=tuple(name for name in evaluation_set.type_names if name not in groups),
        num_windows=len(evaluation_set.context),
        context_length=evaluation_set.context.shape[1],
        horizon=evaluation_set.horizon,
        dt=evaluation_set.dt,
    )


def forecast_all(forecaster: Forecaster, evaluation_set: EvaluationSet, batch_size: int) -> PathForecast:
    """Forecast all windows in batches and check the result.

    Returns:
        Forecast of the N windows in order. Quantile levels and experts are kept if every batch has them.

    Raises:
        ForecastError: for a forecast of wrong shape or one that is not finite; names forecaster and window.
    """
    parts = []
    for first in range(0, len(evaluation_set.context), batch_size):
        context = evaluation_set.context[first : first + batch_size]
        part = forecaster.forecast(context, evaluation_set.horizon)
        _check_forecast(part, forecaster.name, first, evaluation_set, len(context))
        parts.append(part)
    experts = [part.expert_ids for part in parts if part.expert_ids is not None]
    levels = set.intersection(*(set(part.quantiles or ()) for part in parts))
    return PathForecast(
        mean=np.concatenate([part.mean for part in parts]),
        quantiles={
            level: np.concatenate([part.quantiles[level] for part in parts if part.quantiles is not None])
            for level in sorted(levels)
        }
        or None,
        expert_ids=np.concatenate(experts) if len(experts) == len(parts) else None,
    )


def _check_forecast(
    forecast: PathForecast, name: str, first: int, evaluation_set: EvaluationSet, count: int
) -> None:
    expected = (count, evaluation_set.horizon, 3)
    if forecast.mean.shape != expected:
        raise ForecastError(
            f"forecaster {name!r} returned shape {list(forecast.mean.shape)} for windows {first} to "
            f"{first + count - 1}, expected {list(expected)}"
        )
    quantiles = forecast.quantiles or {}
    for label, values in (("position", forecast.mean), *((f"{q} quantile", quantiles[q]) for q in quantiles)):
        if not np.isfinite(values).all():
            window, step, _ = np.argwhere(~np.isfinite(values))[0].tolist()
            kind = evaluation_set.type_names[int(evaluation_set.type_ids[first + window])]
            raise ForecastError(
                f"forecaster {name!r} returned a {label} that is not finite for window {first + window} "
                f"({kind}) at step {step + 1}; no metric is computed from it. Check the weights and the input"
            )


def _score(name: str, forecast: PathForecast, evaluation_set: EvaluationSet, seed: int) -> ForecasterScores:
    groups = {
        group: _score_group(
            forecast.select(windows), evaluation_set.targets[windows], evaluation_set.dt, seed
        )
        for group, windows in evaluation_set.groups().items()
    }
    return ForecasterScores(name=name, is_baseline=name in BASELINE_NAMES, groups=groups)


def _score_group(forecast: PathForecast, targets: FloatArray, dt: float, seed: int) -> GroupScores:
    errors = position_error(forecast.mean, targets)
    distances = np.linalg.norm(forecast.mean.astype(np.float64) - targets, axis=-1)  # [N, H]
    return GroupScores(
        count=len(targets),
        # The observed points are noisy, so differences start at the first forecast point.
        metrics=compute_metrics(forecast.mean, targets, None, dt),
        position_error_median=float(np.median(errors)),
        position_error_interval=bootstrap_interval(errors, seed),
        error_per_step=distances.mean(axis=0),
        uncertainty=_uncertainty(forecast, targets),
    )


def _uncertainty(forecast: PathForecast, targets: FloatArray) -> Uncertainty | None:
    quantiles = forecast.quantiles or {}
    if not all(level in quantiles for level in INTERVAL_LEVELS):
        return None
    low, high = (quantiles[level] for level in INTERVAL_LEVELS)
    inside = (low <= targets) & (targets <= high)
    return Uncertainty(coverage=float(inside.mean()), width=float((high - low).mean()))


def bootstrap_interval(values: Float64Array, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of `values`, [N]; NaN for fewer than two values.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
    """
    count = len(values)
    if count < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    rows = max(1, BOOTSTRAP_CHUNK // count)
    means = [
        values[rng.integers(count, size=(min(rows, BOOTSTRAP_SAMPLES - done), count))].mean(axis=1)
        for done in range(0, BOOTSTRAP_SAMPLES, rows)
    ]
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(np.concatenate(means), [tail, 1.0 - tail])
    return float(low), float(high)
