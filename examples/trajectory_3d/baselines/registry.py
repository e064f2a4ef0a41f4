"""The classical forecasters by name."""

from collections.abc import Callable, Sequence

from examples.trajectory_3d.baselines.analogue import Analogues, nearest_analogue
from examples.trajectory_3d.baselines.autoregression import VectorAutoregressions, ridge_autoregression
from examples.trajectory_3d.baselines.backtest import BackTested, JoinedFamily
from examples.trajectory_3d.baselines.kalman import kalman_constant_acceleration, kalman_constant_velocity
from examples.trajectory_3d.baselines.polynomial import (
    POLYNOMIAL_FITS,
    LastValue,
    PolynomialFits,
    back_tested_polynomial,
    constant_acceleration,
    constant_velocity,
)
from examples.trajectory_3d.baselines.reservoir import Reservoirs, next_generation_reservoir
from examples.trajectory_3d.forecasters import Forecaster
from m.config import nearest_hint

BaselineFactory = Callable[[], Forecaster]

# Fits the validation windows of the small configuration; 4 to 8 are within 3 % of it.
COMBINATION_SHARPNESS = 6.0

_FACTORIES: dict[str, BaselineFactory] = {}


def register_baseline(name: str) -> Callable[[BaselineFactory], BaselineFactory]:
    """Decorator: make a factory of a forecaster available under `name`, the name that it gives itself.

    Raises:
        ValueError: the name is taken, or is one of the words 'all' and 'none'.
    """

    def register(factory: BaselineFactory) -> BaselineFactory:
        if _plain(name) in {"all", "none"} or _plain(name) in map(_plain, _FACTORIES):
            raise ValueError(
                f"a baseline cannot be registered as {name!r}: the name is taken; choose another"
            )
        _FACTORIES[name] = factory
        return factory

    return register


def baseline_names() -> tuple[str, ...]:
    """Names of all baselines registered so far, simplest first."""
    return tuple(_FACTORIES)


def make_baselines(names: Sequence[str]) -> tuple[Forecaster, ...]:
    """Make the named baselines, in the order of the names and each once.

    Args:
        names: of baselines, with '-' or '_' for blanks if that is easier to type; ('all',) stands for every
            registered one, ('none',) or nothing for none.

    Raises:
        ValueError: for an unknown name, naming the nearest, and for 'all' or 'none' beside other names.
    """
    known = {_plain(name): name for name in _FACTORIES}
    wanted = list(dict.fromkeys(_plain(name) for name in names))
    if wanted == ["all"]:
        wanted = list(known)
    if wanted == ["none"]:
        return ()
    for name in wanted:
        if name in {"all", "none"}:
            raise ValueError(f"'{name}' stands alone in a list of baselines, got {list(names)}")
        if name not in known:
            raise ValueError(f"unknown baseline '{name}'{nearest_hint(name, known.values())}")
    return tuple(_FACTORIES[known[name]]() for name in wanted)


def standard_baselines() -> tuple[Forecaster, ...]:
    """Return the three baselines that every evaluation shows, simplest first."""
    return make_baselines(DEFAULT_BASELINES)


def best_classical() -> BackTested:
    """Of all settings of all classical methods, the one that forecast the known past of the window best."""
    return BackTested("best classical", _every_setting(), constant_velocity().extend)


def classical_combination() -> BackTested:
    """All settings of all classical methods, averaged with weights from the same back-test."""
    return BackTested(
        "classical combination",
        _every_setting(),
        constant_velocity().extend,
        sharpness=COMBINATION_SHARPNESS,
    )


def _every_setting() -> JoinedFamily:
    return JoinedFamily(
        (
            PolynomialFits(((0, 1), *POLYNOMIAL_FITS)),  # degree 0 over one point is the last value
            kalman_constant_velocity(),
            kalman_constant_acceleration(),
            VectorAutoregressions(),
            Analogues(),
            Reservoirs(),
        )
    )


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())


_BUILT_IN: dict[str, BaselineFactory] = {
    "last value": LastValue,
    "constant velocity": constant_velocity,
    "constant acceleration": constant_acceleration,
    "polynomial": back_tested_polynomial,
    "kalman constant velocity": kalman_constant_velocity,
    "kalman constant acceleration": kalman_constant_acceleration,
    "ridge autoregression": ridge_autoregression,
    "nearest analogue": nearest_analogue,
    "next-generation reservoir": next_generation_reservoir,
    "best classical": best_classical,
    "classical combination": classical_combination,
}
for _name, _factory in _BUILT_IN.items():
    register_baseline(_name)(_factory)

BASELINE_NAMES = tuple(_BUILT_IN)
DEFAULT_BASELINES = BASELINE_NAMES[:3]
