"""Parametric oracles: the error that noise alone makes, per motion type; see ``docs/oracles.md``."""

# Importing an oracle's module registers it.
from examples.trajectory_3d.oracles import helical, lissajous, lorenz, orbital, robotic
from examples.trajectory_3d.oracles.base import (
    FLAVOURS,
    Continuation,
    Flavour,
    Oracle,
    get_oracle,
    has_oracle,
    oracle_names,
    register_oracle,
)
from examples.trajectory_3d.oracles.forecast import (
    OracleErrors,
    OracleForecast,
    errors_over_oracle,
    forecast_with_oracles,
    oracle_errors,
)

__all__ = [
    "FLAVOURS",
    "Continuation",
    "Flavour",
    "Oracle",
    "OracleErrors",
    "OracleForecast",
    "errors_over_oracle",
    "forecast_with_oracles",
    "get_oracle",
    "has_oracle",
    "helical",
    "lissajous",
    "lorenz",
    "oracle_errors",
    "oracle_names",
    "orbital",
    "register_oracle",
    "robotic",
]
