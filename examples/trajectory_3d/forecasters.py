"""What a forecaster is: a name, and a function from an observed path to its continuation.

A trained network, a classical baseline and a remote server all fit this protocol, so evaluation and
pictures treat them alike. Arrays are numpy; positions are metres.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PathForecast:
    """The continuation of B observed paths over H steps.

    Attributes:
        mean: centre of the forecast, [B, H, 3] metres.
        quantiles: per probability level in (0, 1), the marginal quantile of each coordinate,
            [B, H, 3] metres; None when the forecaster states no uncertainty.
        expert_ids: for each forecast point, the expert that contributed most to it, [B, H] integers;
            None when the forecaster has no experts.

    Raises:
        ValueError: if the arrays disagree in shape or a level lies outside (0, 1).
    """

    mean: FloatArray
    quantiles: Mapping[float, FloatArray] | None = None
    expert_ids: IntArray | None = None

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

    def select(self, windows: slice | IntArray | list[int]) -> "PathForecast":
        """Return the forecast of some of the windows, in the order given."""
        quantiles = self.quantiles
        return PathForecast(
            mean=self.mean[windows],
            quantiles=None if quantiles is None else {q: values[windows] for q, values in quantiles.items()},
            expert_ids=None if self.expert_ids is None else self.expert_ids[windows],
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
