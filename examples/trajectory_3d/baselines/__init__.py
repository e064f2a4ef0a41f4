"""Classical forecasters: what a trained model must beat. `docs/baselines.md` explains and compares them."""

from examples.trajectory_3d.baselines.analogue import Analogues, nearest_analogue
from examples.trajectory_3d.baselines.autoregression import VectorAutoregressions, ridge_autoregression
from examples.trajectory_3d.baselines.backtest import BackTest, BackTested, Family, JoinedFamily
from examples.trajectory_3d.baselines.kalman import (
    KalmanForecaster,
    kalman_constant_acceleration,
    kalman_constant_velocity,
)
from examples.trajectory_3d.baselines.polynomial import (
    LastValue,
    PolynomialExtrapolation,
    PolynomialFits,
    back_tested_polynomial,
    choose_fit_lengths,
    constant_acceleration,
    constant_velocity,
    extrapolation_matrix,
)
from examples.trajectory_3d.baselines.registry import (
    BASELINE_NAMES,
    DEFAULT_BASELINES,
    BaselineFactory,
    baseline_names,
    best_classical,
    classical_combination,
    make_baselines,
    register_baseline,
    standard_baselines,
)
from examples.trajectory_3d.baselines.reservoir import Reservoirs, next_generation_reservoir

__all__ = [
    "BASELINE_NAMES",
    "DEFAULT_BASELINES",
    "Analogues",
    "BackTest",
    "BackTested",
    "BaselineFactory",
    "Family",
    "JoinedFamily",
    "KalmanForecaster",
    "LastValue",
    "PolynomialExtrapolation",
    "PolynomialFits",
    "Reservoirs",
    "VectorAutoregressions",
    "back_tested_polynomial",
    "baseline_names",
    "best_classical",
    "choose_fit_lengths",
    "classical_combination",
    "constant_acceleration",
    "constant_velocity",
    "extrapolation_matrix",
    "kalman_constant_acceleration",
    "kalman_constant_velocity",
    "make_baselines",
    "nearest_analogue",
    "next_generation_reservoir",
    "register_baseline",
    "ridge_autoregression",
    "standard_baselines",
]
