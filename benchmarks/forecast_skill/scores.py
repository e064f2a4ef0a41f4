"""What a trained forecaster is judged by, taken from the application's own evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from examples.trajectory_3d.evaluation import MIXED, EvaluationSet, evaluate
from examples.trajectory_3d.forecasters import Forecaster


@dataclass(frozen=True, kw_only=True)
class SkillScores:
    """Scores over the test windows.

    Attributes:
        gn: position error over context spread, geometric mean (see `examples.trajectory_3d.skill`).
        gn_interval: its 95 % bootstrap interval. It holds the choice of test windows, not that of the seed.
        gn_by_type: the same of each motion type.
        position_error: mean over all windows, metres.
        position_error_by_type: mean over a type's windows, metres.
    """

    gn: float
    gn_interval: tuple[float, float]
    gn_by_type: dict[str, float]
    position_error: float
    position_error_by_type: dict[str, float]


def judge(forecaster: Forecaster, windows: EvaluationSet, batch_size: int = 250) -> SkillScores:
    """Forecast all windows and score them.

    Raises:
        ForecastError: a forecast that is not finite.
    """
    groups = dict(evaluate([forecaster], windows, batch_size=batch_size).forecasters[0].groups)
    mixed = groups.pop(MIXED)
    return SkillScores(
        gn=mixed.skill.gn,
        gn_interval=mixed.skill.gn_interval,
        gn_by_type={name: scores.skill.gn for name, scores in groups.items()},
        position_error=mixed.metrics["position_error"],
        position_error_by_type={name: s.metrics["position_error"] for name, s in groups.items()},
    )
