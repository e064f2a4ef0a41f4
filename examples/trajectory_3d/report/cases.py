"""Windows worth looking at: of every motion type the worst, the median and the best forecast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.evaluation_set import MIXED, EvaluationSet

WORST_OF_TYPE = 4


@dataclass(frozen=True)
class Case:
    """A window to show.

    Attributes:
        window: its number in the evaluation set.
        kind: motion type.
        place: why it is shown: ``worst``, ``worst 2``, ..., ``median`` or ``best`` of its type.
        error: position error of the forecast, metres.
    """

    window: int
    kind: str
    place: str
    error: float


def choose_cases(
    errors: Float64Array, windows: EvaluationSet, *, worst: int = WORST_OF_TYPE
) -> tuple[Case, ...]:
    """Choose windows by the error of their forecasts, each once, the worst of all first.

    Args:
        errors: position error of each window, [N] metres.
        windows: the N windows.
        worst: how many of a type's worst to take, at least 1.
    """
    chosen = []
    for kind, members in windows.groups().items():
        if kind == MIXED:
            continue
        for window, place in _of_type(members[np.argsort(-errors[members])], worst):
            chosen.append(Case(window, kind, place, float(errors[window])))
    return tuple(sorted(chosen, key=lambda case: -case.error))


def _of_type(ordered: IntArray, worst: int) -> list[tuple[int, str]]:
    """Windows of one type, worst first, and the places that make them worth showing."""
    places: dict[int, str] = {}
    for rank, window in enumerate(ordered[:worst].tolist()):
        places[window] = "worst" if rank == 0 else f"worst {rank + 1}"
    places.setdefault(int(ordered[len(ordered) // 2]), "median")
    places.setdefault(int(ordered[-1]), "best")
    return list(places.items())
