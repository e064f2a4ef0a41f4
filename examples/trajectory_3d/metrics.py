"""Measures of how well a forecast path follows the true one.

Every function takes `predicted` and `target`, [..., H, 3] metres sampled every `dt` seconds, computes in
float64 and returns one value per window, [...]. A value that the horizon is too short to define (the
acceleration of two points) is NaN; the reports print it as n/a.

Differences. Velocity, acceleration and jerk are first, second and third differences divided by dt, dt^2,
dt^3. By default they are taken between forecast points only: the last observed point carries measurement
noise, which differencing would divide by dt, and a jump between the observed and the forecast path is
already part of the position error. Pass `start`, [..., 3], to begin the differences (and the path length)
at a known point instead; a horizon of one step then has a velocity.

To add a measure, write a function and add one `MetricSpec` to `METRICS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from examples.trajectory_3d import arrays
from examples.trajectory_3d.arrays import FloatArray

Float64Array: TypeAlias = arrays.Float64Array


def position_error(predicted: FloatArray, target: FloatArray) -> Float64Array:
    """Average displacement error: mean over steps of |p_h - q_h|. Metres, >= 0, lower is better."""
    predicted, target = _pair(predicted, target)
    return _mean_norm(predicted - target)


def endpoint_error(predicted: FloatArray, target: FloatArray) -> Float64Array:
    """Measure the final displacement: |p_H - q_H|. Metres, >= 0, lower is better."""
    predicted, target = _pair(predicted, target)
    return _norm(predicted[..., -1, :] - target[..., -1, :])


def velocity_error(
    predicted: FloatArray, target: FloatArray, dt: float, start: FloatArray | None = None
) -> Float64Array:
    """Mean over steps of |dp_h - dq_h| / dt, d being the first difference.

    Metres per second, >= 0, lower is better; NaN for fewer than two points. The difference is of velocity
    vectors: right speed in a wrong direction is an error. A constant offset is none.
    """
    predicted, target = _pair(predicted, target)
    error = _attach(predicted, start) - _attach(target, start)
    return _mean_norm(_derivative(error, 1, dt))


def acceleration_error(
    predicted: FloatArray, target: FloatArray, dt: float, start: FloatArray | None = None
) -> Float64Array:
    """Mean over steps of |d2p_h - d2q_h| / dt^2, d2 being the second difference.

    Metres per second squared, >= 0, lower is better; NaN for fewer than three points.
    """
    predicted, target = _pair(predicted, target)
    error = _attach(predicted, start) - _attach(target, start)
    return _mean_norm(_derivative(error, 2, dt))


def trajectory_deviation(
    predicted: FloatArray, target: FloatArray, start: FloatArray | None = None
) -> Float64Array:
    """Difference of the lengths of the two paths, |L(p) - L(q)| with L(p) = sum of |p_h - p_(h-1)|.

    Metres, >= 0, lower is better; NaN for fewer than two points. It compares how far the paths travel,
    not where they go.
    """
    predicted, target = _pair(predicted, target)
    predicted, target = _attach(predicted, start), _attach(target, start)
    if predicted.shape[-2] < 2:
        return _undefined(predicted)
    lengths = [_norm(np.diff(path, axis=-2)).sum(axis=-1) for path in (predicted, target)]
    return np.asarray(np.abs(lengths[0] - lengths[1]), dtype=np.float64)


def temporal_consistency(predicted: FloatArray, start: FloatArray | None = None) -> Float64Array:
    """Steadiness of the predicted velocity: 1 - mean of |v_(h+1) - v_h| / (|v_(h+1)| + |v_h|).

    No unit, within [0, 1], higher is steadier; NaN for fewer than three points. 1 is uniform straight
    motion (or standing still), 1 - sin(a/2) a steady turn by angle a per step, 0 a path that runs back at
    every step. A property of the forecast alone: compare it with the value of the true path.
    """
    path = _attach(_points(predicted, "predicted"), start)
    if path.shape[-2] < 3:
        return _undefined(path)
    steps = np.diff(path, axis=-2)  # [..., H-1, 3]; dt cancels
    length = _norm(steps)
    change = _norm(np.diff(steps, axis=-2))
    total = length[..., 1:] + length[..., :-1]
    ratio = np.divide(change, total, out=np.zeros_like(total), where=total > 0)  # still then still: no change
    # The triangle inequality bounds the ratio by 1; rounding may exceed it by an ulp.
    return np.asarray(1.0 - np.minimum(ratio, 1.0).mean(axis=-1), dtype=np.float64)


def smoothness(predicted: FloatArray, dt: float, start: FloatArray | None = None) -> Float64Array:
    """Inverse of the predicted jerk: 1 / (1 + mean|jerk| / (1 m/s^3)), jerk being d3p_h / dt^3.

    No unit, within (0, 1], higher is smoother; NaN for fewer than four points. A property of the forecast
    alone: a still forecast scores 1, so compare it with the value of the true path.
    """
    path = _attach(_points(predicted, "predicted"), start)
    return np.asarray(1.0 / (1.0 + _mean_norm(_derivative(path, 3, dt))), dtype=np.float64)


def energy_conservation(
    predicted: FloatArray, target: FloatArray, dt: float, start: FloatArray | None = None
) -> Float64Array:
    """How well the kinetic energy of the forecast follows the true one, step by step.

    1 - sum|E(p)_h - E(q)_h| / sum(E(p)_h + E(q)_h) with E = |v|^2 / 2 per unit of mass. No unit, within
    [0, 1], higher is better; NaN for fewer than two points. 1 means the same speed at every step, in
    whatever direction; 0 means that one path stands still while the other moves.
    """
    predicted, target = _pair(predicted, target)
    energies = []
    for path in (_attach(predicted, start), _attach(target, start)):
        if path.shape[-2] < 2:
            return _undefined(path)
        energies.append(0.5 * np.square(_derivative(path, 1, dt)).sum(axis=-1))  # [..., H-1]
    difference = np.abs(energies[0] - energies[1]).sum(axis=-1)
    total = (energies[0] + energies[1]).sum(axis=-1)
    lost = np.divide(difference, total, out=np.zeros_like(total), where=total > 0)  # both still: nothing lost
    return np.asarray(1.0 - lost, dtype=np.float64)


def mse(predicted: FloatArray, target: FloatArray) -> Float64Array:
    """Mean squared error over steps and axes. Square metres, >= 0, lower is better."""
    predicted, target = _pair(predicted, target)
    return np.asarray(np.square(predicted - target).mean(axis=(-2, -1)), dtype=np.float64)


def mae(predicted: FloatArray, target: FloatArray) -> Float64Array:
    """Mean absolute error over steps and axes. Metres, >= 0, lower is better."""
    predicted, target = _pair(predicted, target)
    return np.asarray(np.abs(predicted - target).mean(axis=(-2, -1)), dtype=np.float64)


def r2(predicted: FloatArray, target: FloatArray) -> Float64Array:
    """Coefficient of determination of each window: 1 - SSE / SST.

    SSE = sum over steps of |p_h - q_h|^2; SST = sum over steps of |q_h - mean(q)|^2 about the window's own
    mean position. No unit, within (-inf, 1], higher is better; 0 is as good as knowing the mean position
    of the future path. NaN where the true path stands still (also for one step).
    """
    squared_error, spread = _squared_sums(predicted, target)
    ratio = np.divide(squared_error, spread, out=np.full_like(spread, np.nan), where=spread > 0)
    return np.asarray(1.0 - ratio, dtype=np.float64)


def r2_pooled(predicted: FloatArray, target: FloatArray) -> float:
    """Coefficient of determination over all windows: 1 - (sum of SSE) / (sum of SST), sums as in `r2`.

    Spread is counted inside windows only. About one common mean, windows that lie far apart would bring
    any forecaster close to 1. NaN if every true path stands still.
    """
    squared_error, spread = _squared_sums(predicted, target)
    total = float(spread.sum())
    return 1.0 - float(squared_error.sum()) / total if total > 0 else float("nan")


@dataclass(frozen=True)
class Windows:
    """What a measure may look at: forecast and truth [..., H, 3] m, dt s, known start [..., 3] m or None."""

    predicted: FloatArray
    target: FloatArray
    dt: float
    start: FloatArray | None = None


@dataclass(frozen=True)
class MetricSpec:
    """One measure: how it is computed, and how it reads.

    `function` gives one value per window. Over many windows the measure is the mean of the defined values,
    unless `pooled` says otherwise. `compares` is False for a property of the forecast path alone, which a
    trivial forecast can maximise: no forecaster is called best by it.
    """

    name: str
    function: Callable[[Windows], Float64Array]
    unit: str
    better: Literal["lower", "higher"]
    description: str
    pooled: Callable[[Windows], float] | None = None
    compares: bool = True


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "position_error", lambda w: position_error(w.predicted, w.target), "m", "lower",
        "mean distance between forecast and true positions",
    ),
    MetricSpec(
        "velocity_error", lambda w: velocity_error(w.predicted, w.target, w.dt, w.start), "m/s", "lower",
        "mean length of the velocity difference",
    ),
    MetricSpec(
        "acceleration_error", lambda w: acceleration_error(w.predicted, w.target, w.dt, w.start), "m/s^2",
        "lower", "mean length of the acceleration difference",
    ),
    MetricSpec(
        "trajectory_deviation", lambda w: trajectory_deviation(w.predicted, w.target, w.start), "m", "lower",
        "difference of the path lengths",
    ),
    MetricSpec(
        "endpoint_error", lambda w: endpoint_error(w.predicted, w.target), "m", "lower",
        "distance at the last step",
    ),
    MetricSpec(
        "temporal_consistency", lambda w: temporal_consistency(w.predicted, w.start), "", "higher",
        "steadiness of the forecast velocity from step to step", compares=False,
    ),
    MetricSpec(
        "smoothness", lambda w: smoothness(w.predicted, w.dt, w.start), "", "higher",
        "inverse of the forecast jerk, 1 / (1 + mean jerk in m/s^3)", compares=False,
    ),
    MetricSpec(
        "energy_conservation", lambda w: energy_conservation(w.predicted, w.target, w.dt, w.start), "",
        "higher", "agreement of forecast and true kinetic energy",
    ),
    MetricSpec("mse", lambda w: mse(w.predicted, w.target), "m^2", "lower", "mean squared coordinate error"),
    MetricSpec("mae", lambda w: mae(w.predicted, w.target), "m", "lower", "mean absolute coordinate error"),
    MetricSpec(
        "r2", lambda w: r2(w.predicted, w.target), "", "higher", "share of the true spread explained, pooled",
        pooled=lambda w: r2_pooled(w.predicted, w.target),
    ),
)  # fmt: skip


def metrics_per_window(
    predicted: FloatArray, target: FloatArray, context_last: FloatArray | None, dt: float
) -> dict[str, Float64Array]:
    """Every measure of `METRICS` for every window.

    Args:
        predicted: forecast positions, [..., H, 3] metres.
        target: true positions, same shape.
        context_last: known point before the first step, [..., 3] metres, at which differences begin; None
            takes differences between forecast points only (right when observations are noisy).
        dt: seconds between points, > 0.

    Returns:
        Metric name -> values [...]; NaN where undefined.

    Raises:
        ValueError: on wrong shapes, a non-positive dt, or a position that is not finite.
    """
    windows = _checked_windows(predicted, target, context_last, dt)
    return {spec.name: spec.function(windows) for spec in METRICS}


def compute_metrics(
    predicted: FloatArray, target: FloatArray, context_last: FloatArray | None, dt: float
) -> dict[str, float]:
    """Every measure of `METRICS` over all windows; arguments and errors as in `metrics_per_window`.

    Returns:
        Metric name -> mean over the windows where it is defined (`r2`: pooled, see `r2_pooled`); NaN if
        it is defined in none.
    """
    windows = _checked_windows(predicted, target, context_last, dt)
    return {spec.name: _aggregate(spec, windows) for spec in METRICS}


def _aggregate(spec: MetricSpec, windows: Windows) -> float:
    if spec.pooled is not None:
        return spec.pooled(windows)
    values = spec.function(windows)
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _checked_windows(
    predicted: FloatArray, target: FloatArray, context_last: FloatArray | None, dt: float
) -> Windows:
    predicted, target = _pair(predicted, target)
    if predicted.size == 0:
        raise ValueError(f"no windows to measure: predicted has shape {list(predicted.shape)}")
    for name, values in (("predicted", predicted), ("target", target), ("context_last", context_last)):
        if values is not None and not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(values))[0].tolist()
            raise ValueError(f"{name} is not finite at index {where}; measures need finite positions")
    _check_dt(dt)
    return Windows(predicted, target, dt, context_last)


def _points(values: FloatArray, name: str) -> Float64Array:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim < 2 or points.shape[-1] != 3 or points.shape[-2] < 1:
        raise ValueError(f"{name} must have shape [..., H, 3] with H >= 1, got {list(points.shape)}")
    return points


def _pair(predicted: FloatArray, target: FloatArray) -> tuple[Float64Array, Float64Array]:
    first, second = _points(predicted, "predicted"), _points(target, "target")
    if first.shape != second.shape:
        raise ValueError(f"predicted has shape {list(first.shape)} but target has {list(second.shape)}")
    return first, second


def _attach(path: Float64Array, start: FloatArray | None) -> Float64Array:
    """Put the known start, [..., 3], before the path, [..., H, 3]."""
    if start is None:
        return path
    if start.shape != (*path.shape[:-2], 3):
        raise ValueError(
            f"the known start must have shape {[*path.shape[:-2], 3]} to precede a path of shape "
            f"{list(path.shape)}, got {list(start.shape)}"
        )
    return np.concatenate([np.asarray(start, dtype=np.float64)[..., None, :], path], axis=-2)


def _check_dt(dt: float) -> None:
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt must be a positive number of seconds, got {dt}")


def _derivative(path: Float64Array, order: int, dt: float) -> Float64Array:
    """Finite difference of the given order over dt^order, [..., H-order (at least 0), 3]."""
    _check_dt(dt)
    return np.asarray(np.diff(path, n=order, axis=-2) / dt**order, dtype=np.float64)


def _norm(vectors: Float64Array) -> Float64Array:
    return np.asarray(np.sqrt(np.square(vectors).sum(axis=-1)), dtype=np.float64)


def _mean_norm(vectors: Float64Array) -> Float64Array:
    """Mean length over steps of [..., H, 3]; NaN where there is no step."""
    if vectors.shape[-2] == 0:
        return _undefined(vectors)
    return np.asarray(_norm(vectors).mean(axis=-1), dtype=np.float64)


def _undefined(path: Float64Array) -> Float64Array:
    return np.full(path.shape[:-2], np.nan)


def _squared_sums(predicted: FloatArray, target: FloatArray) -> tuple[Float64Array, Float64Array]:
    """Squared error and squared spread about the window's mean position, each [...]."""
    predicted, target = _pair(predicted, target)
    spread = target - target.mean(axis=-2, keepdims=True)
    return (
        np.asarray(np.square(predicted - target).sum(axis=(-2, -1)), dtype=np.float64),
        np.asarray(np.square(spread).sum(axis=(-2, -1)), dtype=np.float64),
    )
