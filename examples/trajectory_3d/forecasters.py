"""What a forecaster is: a name, and a function from an observed path to its continuation.

A trained network, a classical baseline and a remote server all fit this protocol, so evaluation and
pictures treat them alike. Arrays are numpy; positions are metres.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from examples.trajectory_3d.arrays import FloatArray, IntArray
from examples.trajectory_3d.densities import Density, LocationScaleDensity

__all__ = [
    "QUANTILE_LEVELS",
    "FloatArray",
    "Forecaster",
    "IntArray",
    "PathForecast",
    "gaussian_forecast",
    "join_forecasts",
]

# What a forecaster that knows its uncertainty states: ends of the central 95, 80 and 50 %, and the median.
QUANTILE_LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)


@dataclass(frozen=True)
class PathForecast:
    """The continuation of B observed paths over H steps.

    Attributes:
        mean: centre of the forecast, [B, H, 3] metres.
        quantiles: per probability level in (0, 1), the marginal quantile of each coordinate,
            [B, H, 3] metres; None when the forecaster states no uncertainty.
        expert_ids: for each forecast point, the expert that contributed most to it, [B, H] integers;
            None when the forecaster has no experts.
        samples: S paths drawn from the forecast distribution, [B, S, H, 3] metres; None when it draws none.
        density: the stated distribution of each coordinate; None when the forecaster states none.

    Raises:
        ValueError: if the parts disagree in shape or a level lies outside (0, 1).
    """

    mean: FloatArray
    quantiles: Mapping[float, FloatArray] | None = None
    expert_ids: IntArray | None = None
    samples: FloatArray | None = None
    density: Density | None = None

    def __post_init__(self) -> None:
        if self.mean.ndim != 3 or self.mean.shape[-1] != 3:
            raise ValueError(f"PathForecast.mean must have shape [B, H, 3], got {list(self.mean.shape)}")
        for level, values in (self.quantiles or {}).items():
            if not 0.0 < level < 1.0:
                raise ValueError(f"PathForecast.quantiles has level {level}; levels lie within (0, 1)")
            if values.shape != self.mean.shape:
                raise ValueError(
                    f"PathForecast.quantiles[{level}] has shape {list(values.shape)}, "
                    f"but mean has {list(self.mean.shape)}; give one value per coordinate"
                )
        if self.expert_ids is not None and self.expert_ids.shape != self.mean.shape[:2]:
            raise ValueError(
                f"PathForecast.expert_ids has shape {list(self.expert_ids.shape)}, "
                f"expected one expert per forecast point, {list(self.mean.shape[:2])}"
            )
        self._check_distribution()

    def _check_distribution(self) -> None:
        batch, horizon, _ = self.mean.shape
        drawn = None if self.samples is None else self.samples.shape
        if drawn is not None and (len(drawn) != 4 or drawn[1] < 1 or drawn != (batch, drawn[1], horizon, 3)):
            raise ValueError(
                f"PathForecast.samples has shape {list(drawn)}, "
                f"expected S >= 1 whole paths per window, [{batch}, S, {horizon}, 3]"
            )
        if self.density is not None and self.density.shape != self.mean.shape:
            raise ValueError(
                f"PathForecast.density speaks of {list(self.density.shape)}, "
                f"but mean has shape {list(self.mean.shape)}"
            )

    def select(self, windows: slice | IntArray | list[int]) -> "PathForecast":
        """Return the forecast of some of the windows, in the order given."""
        quantiles = self.quantiles
        return PathForecast(
            mean=self.mean[windows],
            quantiles=None if quantiles is None else {q: values[windows] for q, values in quantiles.items()},
            expert_ids=None if self.expert_ids is None else self.expert_ids[windows],
            samples=None if self.samples is None else self.samples[windows],
            density=None if self.density is None else self.density.select(windows),
        )


def gaussian_forecast(mean: FloatArray, std: FloatArray) -> PathForecast:
    """Forecast of independent normal coordinates.

    Args:
        mean: [B, H, 3] metres.
        std: standard deviation of each coordinate, [B, H, 3] metres, >= 0; 0 is certainty.

    Returns:
        A forecast with density, and quantiles at `QUANTILE_LEVELS`.

    Raises:
        ValueError: for shapes that differ or a standard deviation below zero.
    """
    density = LocationScaleDensity(
        "gaussian", np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    )
    quantiles = {level: density.quantile(level) for level in QUANTILE_LEVELS}
    return PathForecast(mean=density.location, quantiles=quantiles, density=density)


def join_forecasts(parts: Sequence[PathForecast]) -> PathForecast:
    """String forecasts of successive windows together, all of one horizon.

    Quantile levels, experts, samples and density are kept if every part has them.

    Raises:
        ValueError: for no parts, or parts whose horizons, numbers of samples or kinds of density differ.
    """
    if not parts:
        raise ValueError("join_forecasts needs at least one forecast")
    experts = [part.expert_ids for part in parts if part.expert_ids is not None]
    samples = [part.samples for part in parts if part.samples is not None]
    densities = [part.density for part in parts if part.density is not None]
    levels = set.intersection(*(set(part.quantiles or ()) for part in parts))
    return PathForecast(
        mean=np.concatenate([part.mean for part in parts]),
        quantiles={
            level: np.concatenate([part.quantiles[level] for part in parts if part.quantiles is not None])
            for level in sorted(levels)
        }
        or None,
        expert_ids=np.concatenate(experts) if len(experts) == len(parts) else None,
        samples=np.concatenate(samples) if len(samples) == len(parts) else None,
        density=densities[0].joined(densities[1:]) if len(densities) == len(parts) else None,
    )


class Forecaster(Protocol):
    """Anything that continues observed paths."""

    @property
    def name(self) -> str:
        """Short name, as it appears in tables and picture titles."""
        ...

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Continue each path.

        Args:
            context: observed points at a uniform rate, oldest first, [B, L, 3] metres.
            horizon: number of points to forecast, H >= 1.

        Returns:
            The forecast of the H points after the last observed one.
        """
        ...
