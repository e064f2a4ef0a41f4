"""A trained model as a `Forecaster`, beside the classical baselines."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.forecasters import FloatArray, IntArray, PathForecast
from m.moe import MoESequenceRegressor

INTERVAL = (0.1, 0.9)


class ModelForecaster:
    """Forecasts with a mixture-of-experts model: centre, 80 % interval, and the expert that led.

    Args:
        model: maps 3 coordinates to 3.
        name: as it appears in tables and titles.
    """

    def __init__(self, model: MoESequenceRegressor, name: str) -> None:
        self._model = model
        self._name = name

    @property
    def name(self) -> str:
        """Name in tables and titles."""
        return self._name

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Continue paths ``[B, L, 3]`` by ``horizon`` points.

        ``expert_ids`` is, for all points of a window, the expert with the largest gate weight in the
        last layer at the window's last observed point, from which the points are predicted.
        """
        forecast = self._model.forecast(context, horizon)
        return PathForecast(
            mean=forecast.mean,
            quantiles={level: forecast.quantile(level) for level in INTERVAL},
            expert_ids=self._leading_experts(forecast.routing.layers, horizon),
        )

    @staticmethod
    def _leading_experts(layers: tuple, horizon: int) -> IntArray | None:  # type: ignore[type-arg]
        if not layers:
            return None
        leading = layers[-1].experts[:, -1, 0].cpu().numpy()  # [B]
        return np.repeat(leading[:, None], horizon, axis=1)
