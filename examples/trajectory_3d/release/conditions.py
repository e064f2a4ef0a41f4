"""How a model does away from the window it was trained on: other context lengths, other horizons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.evaluation import EvaluationSet
from examples.trajectory_3d.forecasters import FloatArray, Forecaster
from examples.trajectory_3d.metrics import Float64Array, position_error
from examples.trajectory_3d.windows import evaluation_windows
from m.moe import MoESequenceRegressor

_BATCH = 250


@dataclass(frozen=True)
class Condition:
    """One row of the card's table.

    Attributes:
        context: observed points.
        horizon: points forecast.
        windows: how many were forecast.
        position_error: mean over windows and steps, metres.
        relative_error: geometric mean over windows of position error / context spread (see `spread`).
        best_baseline: name of the classical forecaster with the smallest mean position error.
        best_baseline_error: its mean position error, metres.
    """

    context: int
    horizon: int
    windows: int
    position_error: float
    relative_error: float
    best_baseline: str
    best_baseline_error: float


def measure_conditions(
    model: MoESequenceRegressor, baselines: Sequence[Forecaster], dataset: DatasetConfig, windows: int
) -> list[dict[str, Any]]:
    """Forecast test windows of a quarter to four times the trained context, and one to four horizons.

    Args:
        model: forecasts.
        baselines: classical forecasters, at least one.
        dataset: the trained window and the motion; its test stream is used.
        windows: per condition.
    """
    length, horizon = dataset.sequence_length, dataset.prediction_length
    lengths = [max(2, length // 4), max(2, length // 2), length, 2 * length, 4 * length]
    pairs = [(each, horizon) for each in lengths] + [(length, 2 * horizon), (length, 4 * horizon)]
    # Blocks no larger than needed: long windows are costly to make. They then differ from the windows of
    # the card's main table, which nothing here is compared with.
    altered = [
        replace(dataset, sequence_length=context, prediction_length=ahead, windows_per_block=windows)
        for context, ahead in pairs
    ]
    return [asdict(_measure(model, baselines, each, windows)) for each in altered]


def spread(context: FloatArray) -> Float64Array:
    """Standard deviation of each context ``[B, L, 3]``, one for the three axes, ``[B]`` metres."""
    deviation: Float64Array = np.sqrt(np.var(np.asarray(context, dtype=np.float64), axis=1).mean(axis=-1))
    return deviation


def forecast_means(model: MoESequenceRegressor, windows: EvaluationSet) -> Float64Array:
    """Centre of the forecast of every window, ``[N, H, 3]`` metres."""
    parts: Iterable[Float64Array] = (
        model.forecast(windows.context[first : first + _BATCH], windows.horizon).mean
        for first in range(0, len(windows.context), _BATCH)
    )
    return np.concatenate(list(parts))


def _measure(
    model: MoESequenceRegressor, baselines: Sequence[Forecaster], dataset: DatasetConfig, count: int
) -> Condition:
    windows = evaluation_windows(dataset, "test", count)
    errors = position_error(forecast_means(model, windows), windows.targets)  # [N]
    rivals = {
        baseline.name: float(
            position_error(baseline.forecast(windows.context, windows.horizon).mean, windows.targets).mean()
        )
        for baseline in baselines
    }
    best = min(rivals, key=lambda name: rivals[name])
    return Condition(
        context=dataset.sequence_length,
        horizon=windows.horizon,
        windows=count,
        position_error=float(errors.mean()),
        relative_error=float(np.exp(np.log(errors / spread(windows.context)).mean())),
        best_baseline=best,
        best_baseline_error=rivals[best],
    )
