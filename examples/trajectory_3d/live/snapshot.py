"""What a model forecasts now."""

from __future__ import annotations

from typing import Any

import numpy as np

from examples.trajectory_3d.evaluation import MIXED, EvaluationSet
from examples.trajectory_3d.experts.analysis import type_labels
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.report.payload import rounded
from m.moe import MoESequenceRegressor

SHOWN_OF_TYPE = 3  # windows of each type whose forecast is shown


class Snapshots:
    """Forecasts of the same validation windows, whenever asked.

    Args:
        model: being trained; its present weights forecast.
        windows: to choose from: the first of each motion type that has any.
    """

    def __init__(self, model: MoESequenceRegressor, windows: EvaluationSet) -> None:
        self._model = model
        self._forecaster = ModelForecaster(model, "model")
        self._shown = _first_of_types(windows, SHOWN_OF_TYPE)
        labels, self.types = type_labels(self._shown)
        self._kinds = [self.types[label] for label in labels]

    def windows(self) -> list[dict[str, Any]]:
        """The windows whose forecasts are shown: type, context and truth."""
        shown = self._shown
        return [
            {"type": kind, "context": rounded(context), "truth": rounded(truth)}
            for kind, context, truth in zip(self._kinds, shown.context, shown.targets, strict=True)
        ]

    def take(self) -> list[dict[str, Any]]:
        """Forecasts of `windows`, in their order: mean, ends of the 80 % interval, position error."""
        shown = self._shown
        forecast = self._forecaster.forecast(shown.context, shown.horizon)
        errors = position_error(forecast.mean, shown.targets)
        quantiles = forecast.quantiles or {}
        return [
            {
                "mean": rounded(forecast.mean[row]),
                "low": rounded(quantiles[0.1][row]),
                "high": rounded(quantiles[0.9][row]),
                "error": float(errors[row]),
            }
            for row in range(len(errors))
        ]


def _first_of_types(windows: EvaluationSet, count: int) -> EvaluationSet:
    members = [rows[:count] for name, rows in windows.groups().items() if name != MIXED]
    return windows.select(np.concatenate(members))
