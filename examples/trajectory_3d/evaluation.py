"""Measure forecasters on a fixed set of windows, per motion type and mixed.

The same windows, in the same order, go to every forecaster. Beside the forecasters the true path itself is
measured, as `EvaluationResult.true_path`: smoothness and temporal consistency describe a path alone, and
read only beside what the true motion scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from examples.trajectory_3d.arrays import BoolArray, Float64Array, IntArray
from examples.trajectory_3d.baselines import baseline_names
from examples.trajectory_3d.bootstrap import bootstrap_interval
from examples.trajectory_3d.evaluation_set import MIXED, EvaluationSet
from examples.trajectory_3d.forecasters import Forecaster, PathForecast, join_forecasts
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.scores import (
    CENTRAL_INTERVALS,
    INTERVAL_LEVELS,
    DistributionScores,
    ForecasterScores,
    GroupScores,
    Uncertainty,
)
from examples.trajectory_3d.scoring import GroupScorer

__all__ = [
    "CENTRAL_INTERVALS",
    "INTERVAL_LEVELS",
    "MIXED",
    "DistributionScores",
    "EvaluationResult",
    "EvaluationSet",
    "ForecastError",
    "ForecasterScores",
    "GroupScores",
    "Uncertainty",
    "bootstrap_interval",
    "evaluate",
    "forecast_all",
]


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of several forecasters on one set of windows.

    Attributes:
        forecasters: in the order given to `evaluate`.
        true_path: scores of the true continuation against itself, for comparison of path properties.
        reference: scores of the reference, such as the parametric oracle, on the windows that it forecasts;
            None without one. Only types with such windows have an entry; 'mixed' means these windows.
        group_names: groups with windows, types first, 'mixed' last.
        absent_types: names of the types without windows.
        num_windows, context_length, horizon: N, L and H.
        dt: seconds between points.
        unit: of positions; see `EvaluationSet`.
        failed: name -> reason of the forecasters without scores, see `evaluate`.
    """

    forecasters: tuple[ForecasterScores, ...]
    true_path: ForecasterScores
    reference: ForecasterScores | None
    group_names: tuple[str, ...]
    absent_types: tuple[str, ...]
    num_windows: int
    context_length: int
    horizon: int
    dt: float
    unit: str = "m"
    failed: Mapping[str, str] = field(default_factory=dict)

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
    reference: PathForecast | None = None,
    reference_name: str = "oracle",
    keep_going: bool = False,
) -> EvaluationResult:
    """Forecast every window with every forecaster and measure the forecasts.

    Args:
        forecasters: at least one, with different names. Those named as a registered baseline count as
            one.
        evaluation_set: what to forecast.
        batch_size: windows handed to a forecaster at once.
        seed: of the bootstrap and of ties among ranks; the result depends on nothing else that is random.
        reference: a forecast of the same windows to compare errors with, as the oracles make; its mean is NaN
            throughout a window that it does not forecast.
        reference_name: how it is called in tables.
        keep_going: score the others when a forecaster fails, and say why in `EvaluationResult.failed`.

    Raises:
        ValueError: for no forecasters, equal names, a batch size below 1, or a reference for other windows.
        ForecastError: see `forecast_all`; with ``keep_going`` only when every forecaster fails.
    """
    names = [forecaster.name for forecaster in forecasters]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"evaluate needs one or more forecasters with different names, got {names}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    groups, classical = evaluation_set.groups(), baseline_names()
    errors, limit = None, None
    if reference is not None:
        errors = _reference_errors(reference, evaluation_set)
        covered = np.flatnonzero(np.isfinite(errors))
        limit = _score_reference(reference_name, reference, covered, evaluation_set, seed)

    def score(name: str, forecast: PathForecast) -> ForecasterScores:
        scorer = GroupScorer(forecast, evaluation_set, seed, errors)
        return ForecasterScores(name, name in classical, scorer.all_groups())

    scored, failed = [], {}
    for forecaster in forecasters:
        try:
            forecast = forecast_all(forecaster, evaluation_set, batch_size)
        except ForecastError as error:
            failed[forecaster.name] = str(error)
            if not keep_going or len(failed) == len(forecasters):
                raise ForecastError("; ".join(failed.values())) from error
        else:
            scored.append(score(forecaster.name, forecast))
    return EvaluationResult(
        forecasters=tuple(scored),
        true_path=score("true path", PathForecast(mean=evaluation_set.targets)),
        reference=limit,
        group_names=tuple(groups),
        absent_types=tuple(name for name in evaluation_set.type_names if name not in groups),
        num_windows=len(evaluation_set.context),
        context_length=evaluation_set.context.shape[1],
        horizon=evaluation_set.horizon,
        dt=evaluation_set.dt,
        unit=evaluation_set.unit,
        failed=failed,
    )


def _reference_errors(reference: PathForecast, evaluation_set: EvaluationSet) -> Float64Array:
    """Position error of the reference, [N] metres; NaN where it has no forecast."""
    if reference.mean.shape != evaluation_set.targets.shape:
        raise ValueError(
            f"the reference has shape {list(reference.mean.shape)}, the windows to forecast have "
            f"{list(evaluation_set.targets.shape)}"
        )
    return position_error(reference.mean, evaluation_set.targets)


def _score_reference(
    name: str, reference: PathForecast, windows: IntArray, evaluation_set: EvaluationSet, seed: int
) -> ForecasterScores | None:
    if not len(windows):
        return None
    scorer = GroupScorer(reference.select(windows), evaluation_set.select(windows), seed)
    return ForecasterScores(name, False, scorer.all_groups())


def forecast_all(forecaster: Forecaster, evaluation_set: EvaluationSet, batch_size: int) -> PathForecast:
    """Forecast all windows in batches and check the result.

    Returns:
        Forecast of the N windows in order. What every batch states beside the mean is kept.

    Raises:
        ForecastError: a forecast that is refused, of wrong shape, or not finite; names forecaster and
            windows.
    """
    parts = []
    for first in range(0, len(evaluation_set.context), batch_size):
        context = evaluation_set.context[first : first + batch_size]
        windows = f"windows {first} to {first + len(context) - 1}"
        try:
            part = forecaster.forecast(context, evaluation_set.horizon)
        except ValueError as error:
            raise ForecastError(
                f"forecaster {forecaster.name!r} cannot forecast {windows}: {error}"
            ) from error
        expected = (len(context), evaluation_set.horizon, 3)
        if part.mean.shape != expected:
            raise ForecastError(
                f"forecaster {forecaster.name!r} returned shape {list(part.mean.shape)} for {windows}, "
                f"expected {list(expected)}"
            )
        parts.append(part)
    forecast = join_forecasts(parts)
    _check_finite(forecast, forecaster.name, evaluation_set)
    return forecast


def _check_finite(forecast: PathForecast, name: str, evaluation_set: EvaluationSet) -> None:
    parts = [("position", forecast.mean)]
    parts += [(f"{level} quantile", values) for level, values in (forecast.quantiles or {}).items()]
    if forecast.samples is not None:
        parts.append(("sampled position", forecast.samples))
    for label, values in parts:
        broken: BoolArray = np.logical_not(np.isfinite(values))
        if broken.any():
            window, *_, step, _ = np.argwhere(broken)[0].tolist()
            kind = evaluation_set.type_names[int(evaluation_set.type_ids[window])]
            raise ForecastError(
                f"forecaster {name!r} returned a {label} that is not finite for window {window} ({kind}) at "
                f"step {step + 1}, and such forecasts for {_counted(broken, evaluation_set)}; no metric is "
                "computed from them. Check the weights and the input"
            )


def _counted(broken: BoolArray, evaluation_set: EvaluationSet) -> str:
    """How many windows hold a True, [N, ...], in all and by motion type."""
    windows = np.any(broken.reshape(broken.shape[0], -1), axis=1)
    counts = {group: int(windows[rows].sum()) for group, rows in evaluation_set.groups().items()}
    total = counts.pop(MIXED)
    kinds = ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)
    return f"{total} of {len(windows)} windows ({kinds})"
