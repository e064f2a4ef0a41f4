"""How a model does away from the window it was trained on: other context lengths, other horizons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.evaluation import MIXED, evaluate
from examples.trajectory_3d.forecasters import Forecaster
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.windows import evaluation_windows
from m.moe import MoESequenceRegressor


@dataclass(frozen=True)
class Condition:
    """One row of the card's table.

    Attributes:
        context: observed points.
        horizon: points forecast.
        windows: how many were forecast.
        position_error: mean over windows and steps, metres.
        gn: position error relative to the context's spread; see `examples.trajectory_3d.skill`.
        best_baseline: name of the classical forecaster with the smallest mean position error.
        best_baseline_error: its mean position error, metres.
    """

    context: int
    horizon: int
    windows: int
    position_error: float
    gn: float
    best_baseline: str
    best_baseline_error: float


def measure_conditions(
    model: MoESequenceRegressor, baselines: Sequence[Forecaster], dataset: DatasetConfig, windows: int
) -> list[dict[str, Any]]:
    """Forecast test windows of a quarter to eight times the trained context, and one to four horizons.

    Args:
        model: forecasts.
        baselines: classical forecasters, at least one.
        dataset: the trained window and the motion; its test stream is used.
        windows: per condition.
    """
    length, horizon = dataset.sequence_length, dataset.prediction_length
    lengths = [max(2, length // 4), max(2, length // 2), length, 2 * length, 8 * length]
    pairs = [(each, horizon) for each in lengths] + [(length, 2 * horizon), (length, 4 * horizon)]
    # Blocks no larger than needed: long windows are costly to make. They then differ from the windows of
    # the card's main table, which nothing here is compared with.
    altered = [
        replace(dataset, sequence_length=context, prediction_length=ahead, windows_per_block=windows)
        for context, ahead in pairs
    ]
    return [asdict(_measure(model, baselines, each, windows)) for each in altered]


def _measure(
    model: MoESequenceRegressor, baselines: Sequence[Forecaster], dataset: DatasetConfig, count: int
) -> Condition:
    windows = evaluation_windows(dataset, "test", count)
    scored = evaluate([ModelForecaster(model, "model"), *baselines], windows).forecasters
    own, *rivals = (each.groups[MIXED] for each in scored)
    errors = {
        baseline.name: rival.metrics["position_error"]
        for baseline, rival in zip(baselines, rivals, strict=True)
    }
    best = min(errors, key=lambda name: errors[name])
    return Condition(
        context=dataset.sequence_length,
        horizon=windows.horizon,
        windows=count,
        position_error=own.metrics["position_error"],
        gn=own.skill.gn,
        best_baseline=best,
        best_baseline_error=errors[best],
    )
