"""What an oracle is, and which motion types have one.

An oracle knows the equations by which a motion type is made. It is not a forecaster among others, since it
must be told the type of each window: it says how much of a forecast's error the noise alone makes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray, check_options, motion_options
from examples.trajectory_3d.oracles.least_squares import BoolArray

# likelihood: the form of the motion is known, nothing about its parameters.
# posterior: the ranges they are drawn from are known too, as a trained model may know them.
Flavour: TypeAlias = Literal["likelihood", "posterior"]
FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)


@dataclass(frozen=True)
class Continuation:
    """What an oracle says of B windows.

    Attributes:
        mean: the forecast, [B, H, 3] metres.
        converged: [B]; where false the fit stopped early and the best parameters found are used, or, where
            no parameters of the family make a finite path at all, the last point is held.
    """

    mean: FloatArray
    converged: BoolArray


class Oracle(ABC):
    """Continues windows of one motion type by fitting its equations to the noisy context."""

    def forecast(self, context: FloatArray, horizon: int, dt: float) -> FloatArray:
        """Continue each path: [B, L, 3] metres, dt seconds apart -> [B, horizon, 3] metres.

        Raises:
            ValueError: for a wrong shape, a position that is not finite, or a horizon below 1.
        """
        return self.continue_paths(context, horizon, dt).mean

    def continue_paths(self, context: FloatArray, horizon: int, dt: float) -> Continuation:
        """The same as `forecast`, with word of which fits converged."""
        points = np.asarray(context, dtype=np.float64)
        if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] < self.fewest_points:
            raise ValueError(
                f"context must have shape [B, L, 3] with L >= {self.fewest_points} for this oracle, "
                f"got {list(points.shape)}"
            )
        if not np.isfinite(points).all():
            window = int(np.argwhere(~np.isfinite(points))[0][0])
            raise ValueError(f"context holds a position that is not finite in window {window}")
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {horizon}")
        if not (np.isfinite(dt) and dt > 0.0):
            raise ValueError(f"dt must be a positive number of seconds, got {dt}")
        if len(points) == 0:
            return Continuation(np.empty((0, horizon, 3)), np.empty(0, dtype=np.bool_))
        continuation = self._continue(points, horizon, dt)
        broken = np.unique(np.argwhere(~np.isfinite(continuation.mean))[:, 0])
        mean, converged = continuation.mean.copy(), continuation.converged.copy()
        mean[broken], converged[broken] = points[broken, -1:], False
        return Continuation(mean, converged)

    @property
    @abstractmethod
    def fewest_points(self) -> int:
        """Context points below which there is nothing to fit."""

    @abstractmethod
    def _continue(self, points: FloatArray, horizon: int, dt: float) -> Continuation:
        """Continue B >= 1 checked paths."""


# (options of the motion, complete, flavour) -> oracle
OracleFactory = Callable[[Mapping[str, Any], Flavour], Oracle]
_ORACLES: dict[str, OracleFactory] = {}


def register_oracle(name: str, factory: OracleFactory) -> None:
    """Make ``factory`` build the oracle of the motion type ``name``.

    Raises:
        ValueError: the motion type has an oracle already.
    """
    if name in _ORACLES:
        raise ValueError(f"motion type {name!r} has an oracle already; choose another name")
    _ORACLES[name] = factory


def has_oracle(name: str) -> bool:
    """Whether an oracle is registered for the motion type."""
    return name in _ORACLES


def oracle_names() -> tuple[str, ...]:
    """Motion types that have an oracle."""
    return tuple(_ORACLES)


def get_oracle(name: str, flavour: Flavour = "posterior", options: Mapping[str, Any] | None = None) -> Oracle:
    """Build the oracle of a motion type.

    Args:
        name: of the motion type.
        flavour: what the oracle knows, see `Flavour`.
        options: of the motion where they differ from its defaults. Single numbers, such as the
            gravitational parameter, are known to both flavours; ranges to "posterior" alone.

    Raises:
        ValueError: the type has no oracle, or no such option; or the flavour is unknown.
    """
    if name not in _ORACLES:
        known = ", ".join(_ORACLES)
        raise ValueError(f"motion type {name!r} has no oracle; types that have one: {known}")
    if flavour not in FLAVOURS:
        raise ValueError(f"unknown flavour {flavour!r}; choose one of {', '.join(FLAVOURS)}")
    given = dict(options or {})
    check_options(name, given)
    return _ORACLES[name]({**motion_options(name), **given}, flavour)
