"""A trained model as a `Forecaster`, and a forecast of its own as a `PathForecast`."""

from __future__ import annotations

import zlib

import numpy as np
import torch

from examples.trajectory_3d.arrays import Float64Array, FloatArray, IntArray
from examples.trajectory_3d.densities import LocationScaleDensity
from examples.trajectory_3d.forecasters import QUANTILE_LEVELS, PathForecast
from m.heads.distribution import StepDistribution
from m.moe import Forecast, MoESequenceRegressor
from m.routing import RoutingRecord


class ModelForecaster:
    """Forecasts with a mixture-of-experts model: centre, distribution, and the expert that led.

    Args:
        model: maps 3 coordinates to 3.
        name: as it appears in tables and titles.
        samples: paths to draw per window; 0 draws none, which pictures and quick checks do not need.

    Raises:
        ValueError: for a negative number of samples.
    """

    def __init__(self, model: MoESequenceRegressor, name: str, *, samples: int = 0) -> None:
        if samples < 0:
            raise ValueError(f"samples must be 0 (none) or more, got {samples}")
        self._model = model
        self._name = name
        self._samples = samples

    @property
    def name(self) -> str:
        """Name in tables and titles."""
        return self._name

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Continue paths ``[B, L, 3]`` by ``horizon`` points.

        Quantiles at `QUANTILE_LEVELS` always; a density for horizons within the head's steps (points that
        the model rolled on to have none in closed form). Sampled paths repeat for the same batch.

        ``expert_ids`` is, for all points of a window, the expert with the largest gate weight in the
        last layer at the window's last observed point, from which the points are predicted.
        """
        # A seed of the batch's own: one seed for all would give their windows the same random numbers.
        seed = zlib.crc32(np.ascontiguousarray(context).tobytes())
        forecast = self._model.forecast(context, horizon, num_samples=self._samples or None, seed=seed)
        return path_forecast(forecast)


def path_forecast(forecast: Forecast) -> PathForecast:
    """What a model's own ``forecast`` returned, in the form that metrics and pictures take.

    Args:
        forecast: of one path ``[H, 3]`` or of several ``[B, H, 3]``; one becomes B = 1.

    Returns:
        Centre, quantiles at `QUANTILE_LEVELS`, and what else the forecast holds (see
        `ModelForecaster.forecast`).
    """

    def batched(values: Float64Array, axes: int) -> Float64Array:
        return values if values.ndim == axes else values[None]

    mean = batched(forecast.mean, 3)
    samples = forecast.samples
    return PathForecast(
        mean=mean,
        quantiles={level: batched(forecast.quantile(level), 3) for level in QUANTILE_LEVELS},
        expert_ids=_leading_experts(forecast.routing, mean.shape[1]),
        samples=None if samples is None else batched(samples, 4),
        density=_density(forecast.marginals, mean.shape),
    )


def _leading_experts(routing: RoutingRecord, horizon: int) -> IntArray | None:
    if not routing.layers:
        return None
    leading = routing.layers[-1].experts[:, -1, 0].cpu().numpy()  # [B]
    return np.repeat(leading[:, None], horizon, axis=1)


def _density(marginals: StepDistribution | None, shape: tuple[int, ...]) -> LocationScaleDensity | None:
    # Weights that are not finite give no density; who evaluates sees it in the mean or the quantiles.
    if marginals is None or not all(
        bool(torch.isfinite(part).all()) for part in (marginals.location, marginals.scale)
    ):
        return None
    freedom = marginals.degrees_of_freedom
    return LocationScaleDensity(
        marginals.kind,
        marginals.location.double().cpu().numpy().reshape(shape),
        marginals.scale.double().cpu().numpy().reshape(shape),
        float("inf") if freedom is None else float(freedom),
    )
