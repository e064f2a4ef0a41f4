"""How well tracks would have been forecast: their last points are hidden, forecast, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.evaluation import MIXED, EvaluationResult, EvaluationSet, evaluate
from examples.trajectory_3d.forecasters import Forecaster
from examples.trajectory_3d.recordings.forecasting import LEAST_CONTEXT, ForecastSettings, in_space
from examples.trajectory_3d.recordings.resampling import UniformPath
from examples.trajectory_3d.recordings.trajectory import Trajectory

_RESTING = 1e-9  # standard deviation over size of coordinates below which nothing moves


@dataclass(frozen=True)
class BackTestWindows:
    """Windows of a recording whose end is known.

    Attributes:
        windows: ``[N, L + H, 3]`` in the recording's unit.
        context: L.
        step: seconds between points.
        dimensions: coordinates of the recording; further ones are zero.
        resting: windows left out because nothing moves in their context.
    """

    windows: Float64Array
    context: int
    step: float
    dimensions: int
    resting: int


@dataclass(frozen=True)
class BackTestScore:
    """One forecaster on a recording.

    Attributes:
        forecaster: its name.
        gn: geometric mean over windows of position error / standard deviation of the context.
        position_error: mean over windows and steps, in the recording's unit.
        endpoint_error: the same of the last step.
        coverage: share of coordinates inside the stated 80 % interval; None where none is stated.
    """

    forecaster: str
    gn: float
    position_error: float
    endpoint_error: float
    coverage: float | None


def back_test_windows(
    trajectories: Sequence[Trajectory], settings: ForecastSettings, most: int, rest: float = 0.0
) -> BackTestWindows | None:
    """The last windows of each track, from the end backwards, each a horizon apart.

    All have one context: as long as asked for, or as the longest piece allows with its horizon hidden.

    Args:
        trajectories: of one recording.
        settings: horizon, context and how pieces are made.
        most: windows of a track at most.
        rest: windows whose context spreads less than this (standard deviation, one for all coordinates) are
            left out: what a sensor's noise says of a thing at rest is no motion.

    Returns:
        None where no piece has a horizon and `LEAST_CONTEXT` points before it.
    """
    pieces = [settings.pieces(trajectory)[0] for trajectory in trajectories]
    longest = max((len(piece) for each in pieces for piece in each), default=0)
    context = min(settings.context, longest - settings.horizon)
    if context < LEAST_CONTEXT:
        return None
    length = context + settings.horizon
    chosen = [window for each in pieces for window in _last_windows(each, length, settings.horizon, most)]
    windows = np.stack(chosen)
    moving = _moves(windows[:, :context], rest)
    first = next(piece for each in pieces for piece in each)
    dimensions = first.trajectory.dimensions
    return BackTestWindows(windows[moving], context, first.step, dimensions, int((~moving).sum()))


def back_test(
    windows: BackTestWindows, forecasters: Sequence[Forecaster], name: str
) -> tuple[list[BackTestScore], EvaluationResult]:
    """Forecast the hidden part of every window with every forecaster.

    Args:
        windows: at least one.
        forecasters: with different names.
        name: of the recording.

    Raises:
        ForecastError: every forecaster failed.
        ValueError: no windows, or names that are alike.
    """
    whole = windows.windows
    judged = EvaluationSet(
        context=whole[:, : windows.context],
        targets=whole[:, windows.context :],
        type_ids=np.zeros(len(whole), dtype=np.int64),
        type_names=(name if name != MIXED else f"{name} file",),
        dt=windows.step,
    )
    result = evaluate(forecasters, judged, keep_going=True)
    # Coordinates that the recording lacks are forecast exactly, and would count as covered.
    share = 3 / windows.dimensions
    scores = []
    for each in result.forecasters:
        group = each.groups[MIXED]
        inside = None if group.uncertainty is None else group.uncertainty.coverage
        coverage = None if inside is None else 1 - (1 - inside) * share
        scores.append(
            BackTestScore(
                each.name,
                group.skill.gn,
                group.metrics["position_error"],
                group.metrics["endpoint_error"],
                coverage,
            )
        )
    return scores, result


def _last_windows(pieces: Sequence[UniformPath], length: int, horizon: int, most: int) -> list[Float64Array]:
    found: list[Float64Array] = []
    for piece in reversed(pieces):
        points = in_space(piece)
        for end in range(len(points), length - 1, -horizon):
            if len(found) == most:
                return found
            found.append(points[end - length : end])
    return found


def _moves(context: Float64Array, rest: float) -> np.ndarray:
    spread = np.sqrt(context.var(axis=1).mean(axis=-1))
    size = np.abs(context).max(axis=(1, 2))
    return np.asarray(spread > np.maximum(rest, _RESTING * size))
