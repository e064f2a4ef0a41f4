"""Oracles on a whole evaluation set: each window continued by the oracle of its own motion type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from examples.trajectory_3d.evaluation_set import EvaluationSet
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.oracles.base import Flavour, get_oracle, has_oracle
from examples.trajectory_3d.oracles.least_squares import BoolArray, IndexArray


@dataclass(frozen=True)
class OracleForecast:
    """The windows of an evaluation set that have an oracle, and what it forecasts.

    Attributes:
        flavour: what the oracles knew.
        windows: numbers of the windows in the set, ascending, [K].
        forecast: for these, in this order, means [K, H, 3] metres.
        converged: [K]; where false the fit stopped early or too few draws carried the average, and the best
            single fit stands in.
        missing_types: motion types with windows in the set and no oracle; nothing is forecast for them.
    """

    flavour: Flavour
    windows: IndexArray
    forecast: PathForecast
    converged: BoolArray
    missing_types: tuple[str, ...]


@dataclass(frozen=True)
class OracleErrors:
    """How far oracles stay from the truth on the windows of one type.

    Attributes:
        count: number of windows.
        position_error: mean distance over the horizon, mean over windows, metres.
        position_error_median: the same, median over windows.
        converged: share of windows whose fit converged.
    """

    count: int
    position_error: float
    position_error_median: float
    converged: float


def forecast_with_oracles(
    evaluation_set: EvaluationSet,
    *,
    flavour: Flavour = "posterior",
    motion_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> OracleForecast:
    """Continue every window by the oracle of its own motion type.

    Args:
        evaluation_set: the windows; their type labels are told to the oracles, their targets are not.
        flavour: what the oracles know beyond the form of the motion.
        motion_options: those of the `DatasetConfig` the windows come from.

    Returns:
        The forecast of all windows whose type has an oracle.

    Raises:
        ValueError: the context is too short for an oracle, or an option is unknown.
    """
    options = motion_options or {}
    count = len(evaluation_set.context)
    mean = np.empty((count, evaluation_set.horizon, 3))
    known, converged = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    missing = []
    for type_id, name in enumerate(evaluation_set.type_names):
        windows = np.flatnonzero(evaluation_set.type_ids == type_id)
        if len(windows) == 0:
            continue
        if not has_oracle(name):
            missing.append(name)
            continue
        oracle = get_oracle(name, flavour, options.get(name))
        context = np.asarray(evaluation_set.context[windows], dtype=np.float64)
        continuation = oracle.continue_paths(context, evaluation_set.horizon, evaluation_set.dt)
        mean[windows], converged[windows], known[windows] = continuation.mean, continuation.converged, True
    chosen = np.flatnonzero(known)
    return OracleForecast(
        flavour=flavour,
        windows=chosen,
        forecast=PathForecast(mean=mean[chosen]),
        converged=converged[chosen],
        missing_types=tuple(missing),
    )


def oracle_errors(oracles: OracleForecast, evaluation_set: EvaluationSet) -> dict[str, OracleErrors]:
    """Errors of the oracles per motion type, in the order of the set's type names.

    Args:
        oracles: what `forecast_with_oracles` made of this set.
        evaluation_set: the same set.

    Returns:
        One entry per type that has windows and an oracle.
    """
    errors = position_error(oracles.forecast.mean, evaluation_set.targets[oracles.windows])  # [K]
    kinds = evaluation_set.type_ids[oracles.windows]
    result = {}
    for type_id, name in enumerate(evaluation_set.type_names):
        rows = np.flatnonzero(kinds == type_id)
        if len(rows):
            result[name] = OracleErrors(
                count=len(rows),
                position_error=float(errors[rows].mean()),
                position_error_median=float(np.median(errors[rows])),
                converged=float(oracles.converged[rows].mean()),
            )
    return result


def errors_over_oracle(
    position_errors: Mapping[str, float], oracles: Mapping[str, OracleErrors]
) -> dict[str, float | None]:
    """A forecaster's mean position error divided by the oracle's, per motion type.

    1 is the floor. None where the type has no oracle, or where the oracle makes no error (no noise).

    Args:
        position_errors: motion type -> mean position error of the forecaster, metres, on the same windows.
        oracles: of `oracle_errors`.
    """
    return {
        name: error / oracles[name].position_error
        if name in oracles and oracles[name].position_error > 0.0
        else None
        for name, error in position_errors.items()
    }
