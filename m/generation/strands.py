"""Which paths a request needs, whatever engine draws them. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from m.arrays import Array
from m.generation.session import SessionPush
from m.moe.request import QUANTILE_PATHS, ForecastRequest

OnBlock = Callable[[int, Array], None]

MEAN, POINTS, SAMPLES, SPREAD = "mean", "points", "samples", "spread"


@dataclass(frozen=True)
class Strand:
    """So many paths of every context, drawn one after the other from one generator."""

    name: str
    temperature: float
    paths: int
    seed: int | None


def plan_strands(request: ForecastRequest, levels: Sequence[float], *, rolls: bool) -> list[Strand]:
    """The strands of a request.

    Args:
        request: what is asked for.
        levels: quantiles to state.
        rolls: whether the forecast goes on from its own points; quantiles then come from drawn paths.
    """
    strands = [Strand(MEAN, 0.0, 1, None)]
    if request.temperature > 0:
        strands.append(Strand(POINTS, request.temperature, 1, request.seed))
    if request.num_samples:
        strands.append(Strand(SAMPLES, request.temperature or 1.0, request.num_samples, request.seed))
    if levels and rolls:
        strands.append(Strand(SPREAD, 1.0, QUANTILE_PATHS, 0))
    return strands


def path_strand(request: ForecastRequest) -> str:
    """The strand that is the forecast path."""
    return POINTS if request.temperature > 0 else MEAN


def read_levels(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Quantile levels, each once.

    Raises:
        ValueError: one lies outside (0, 1).
    """
    for level in quantiles:
        if not 0.0 < level < 1.0:
            raise ValueError(f"a quantile level must lie strictly between 0 and 1, got {level}")
    return tuple(dict.fromkeys(float(level) for level in quantiles))


def check_lone(request: ForecastRequest, session: SessionPush | None, on_block: OnBlock | None) -> None:
    """Refuse several contexts where there can be only one.

    Raises:
        ValueError: they are several.
    """
    alone = len(request.points) == 1 and int(request.lengths[0]) == request.points.shape[1]
    if session is not None and not alone:
        raise ValueError("a session has one path: push points [T, D], without padding")
    if on_block is not None and len(request.points) != 1:
        raise ValueError("points can be told as they come for one context alone")
