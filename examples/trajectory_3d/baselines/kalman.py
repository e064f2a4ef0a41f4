"""Kalman filters of nearly uniform and nearly uniformly accelerated motion, with stated uncertainty.

Each axis moves with a velocity (or acceleration) that white noise disturbs, and is measured with white noise.
Only the ratio of the two noise strengths shapes the forecast; it is chosen per window. The common scale of
both follows from the innovations. The start is exact: the first n points fix the n-dimensional state under a
flat prior, with the covariance that follows from both noises, so that no start value has to be invented.

Source: Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001,
sections 6.2.2 and 6.2.3 (motion models) and 5.2 (filter).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import factorial

import numpy as np

from examples.trajectory_3d.baselines.backtest import anchored, checked_context, chunks
from examples.trajectory_3d.forecasters import FloatArray, PathForecast, gaussian_forecast
from examples.trajectory_3d.metrics import Float64Array

# Process to measurement noise, in units of one step and one measurement variance.
RATIOS = tuple(10.0**exponent for exponent in range(-9, 5))


@dataclass(frozen=True)
class Gains:
    """What R filters of one model do to L points, the same for every path.

    Attributes:
        start: maps the first n points to the state after them, [n, n].
        gain: per later point, [L - n, R, n].
        innovation_variance: of the one-step forecast error at each later point, [L - n, R].
        covariance: of the state after the last point, [R, n, n].

    Variances are in units of the measurement variance.
    """

    start: Float64Array
    gain: Float64Array
    innovation_variance: Float64Array
    covariance: Float64Array


@dataclass(frozen=True)
class Filtered:
    """What R filters make of B paths.

    Attributes:
        state: position, velocity, ... after the last point, [R, B, n, 3].
        noise_variance: maximum-likelihood variance of the measurement noise, [R, B].
        log_likelihood: of the innovations at that variance, up to a constant, [R, B].
    """

    state: Float64Array
    noise_variance: Float64Array
    log_likelihood: Float64Array


def transition_matrix(order: int) -> Float64Array:
    """Taylor step of position, velocity, ... over one time step, [order, order]."""
    return np.array([[1.0 / factorial(j - i) if j >= i else 0.0 for j in range(order)] for i in range(order)])


def process_covariance(order: int) -> Float64Array:
    """Covariance over one step of unit white noise in derivative number `order`, [order, order].

    The noise enters position number i as s^(p_i) / p_i! with p_i = order - 1 - i, integrated over the step.
    """
    powers = [order - 1 - i for i in range(order)]
    return np.array([[1.0 / (factorial(p) * factorial(q) * (p + q + 1)) for q in powers] for p in powers])


def diffuse_start(order: int, ratio: float) -> tuple[Float64Array, Float64Array]:
    """State after the first n = `order` points under a flat prior, exactly.

    With x the state at the last of them, y_k = H F^(k-n+1) x + v_k - sum_{j=k}^{n-2} H F^(k-j-1) w_j.
    These are n equations for n unknowns, so x = O^-1 y with error covariance O^-1 C O^-T.

    Returns:
        O^-1 [n, n] and the covariance [n, n] in units of the measurement variance.
    """
    backward = np.linalg.inv(transition_matrix(order))
    rows = [np.linalg.matrix_power(backward, power)[0] for power in range(order)]  # H F^-power
    observe = np.stack(rows[::-1])
    errors = np.eye(order)
    for k in range(order):
        for i in range(order):
            shared = range(max(k, i), order - 1)
            errors[k, i] += sum(
                ratio * rows[j - k + 1] @ process_covariance(order) @ rows[j - i + 1] for j in shared
            )
    start = np.linalg.inv(observe)
    return start, start @ errors @ start.T


@lru_cache(maxsize=256)
def filter_gains(order: int, ratios: tuple[float, ...], length: int) -> Gains:
    """Run the covariance recursion of each filter over `length` >= `order` points."""
    F = transition_matrix(order)
    Q = np.array(ratios)[:, None, None] * process_covariance(order)
    starts = [diffuse_start(order, ratio) for ratio in ratios]
    P = np.stack([covariance for _, covariance in starts])  # [R, n, n]
    gain = np.empty((length - order, len(ratios), order))
    variance = np.empty((length - order, len(ratios)))
    for step in range(length - order):
        P = F @ P @ F.T + Q
        variance[step] = P[:, 0, 0] + 1.0
        gain[step] = P[:, :, 0] / variance[step, :, None]
        keep = np.tile(np.eye(order), (len(ratios), 1, 1))
        keep[:, :, 0] -= gain[step]
        # Joseph's form stays positive definite.
        P = keep @ P @ keep.swapaxes(1, 2) + gain[step, :, :, None] * gain[step, :, None, :]
    return Gains(starts[0][0], gain, variance, P)


def run_filters(points: Float64Array, order: int, ratios: tuple[float, ...]) -> Filtered:
    """Filter paths of more points than the state has entries: [B, L, 3] with L > order.

    The likelihood is that of the innovations after the first n points (Schweppe's decomposition) with the
    measurement variance profiled out; one variance serves the three axes.
    """
    batch, length = points.shape[:2]
    gains = filter_gains(order, ratios, length)
    F = transition_matrix(order)
    series = np.ascontiguousarray(points.swapaxes(0, 1)).reshape(length, 1, batch * 3)
    state = np.tensordot(gains.start, series[:order], axes=1)  # [n, 1, 3B]
    state = np.repeat(state, len(ratios), axis=1)  # [n, R, 3B]
    squares = np.zeros((len(ratios), batch * 3))
    for point, gain, variance in zip(series[order:], gains.gain, gains.innovation_variance, strict=True):
        state = np.tensordot(F, state, axes=1)
        innovation = point - state[0]  # [R, 3B]
        squares += np.square(innovation) / variance[:, None]
        state += gain.T[:, :, None] * innovation
    count = 3 * (length - order)
    noise = squares.reshape(len(ratios), batch, 3).sum(axis=-1) / count
    determinant = 3.0 * np.log(gains.innovation_variance).sum(axis=0)[:, None]
    likelihood = -0.5 * (count * np.log(np.maximum(noise, np.finfo(np.float64).tiny)) + determinant)
    states = state.reshape(order, len(ratios), batch, 3).transpose(1, 2, 0, 3)
    return Filtered(states, noise, likelihood)


def position_variances(order: int, ratios: tuple[float, ...], length: int, horizon: int) -> Float64Array:
    """Variance of the position 1..horizon steps after `length` points, [R, horizon].

    In units of the measurement variance. It is the position that is forecast, not a measurement of it.
    """
    F = transition_matrix(order)
    Q = np.array(ratios)[:, None, None] * process_covariance(order)
    P = filter_gains(order, ratios, length).covariance
    variances = np.empty((len(ratios), horizon))
    for step in range(horizon):
        P = F @ P @ F.T + Q
        variances[:, step] = P[:, 0, 0]
    return variances


@dataclass(frozen=True)
class KalmanForecaster:
    """A Kalman filter whose noise ratio has the largest likelihood on each window.

    The likelihood is used instead of a back-test: it costs no second run, gives the noise variance that the
    stated uncertainty needs, and forecasts somewhat better (`docs/baselines.md`).

    Attributes:
        name: how the forecaster is called in tables and titles.
        order: entries n of the state of one axis; 2 is constant velocity, 3 constant acceleration.
        ratios: process to measurement noise to choose from, in units of steps.

    A context of L <= n points takes n = L - 1, so that one innovation at least tells the noise; a single
    point stays where it is and states no uncertainty. As a `Family` it has a single setting.
    """

    name: str
    order: int
    ratios: tuple[float, ...] = RATIOS

    def __post_init__(self) -> None:
        if self.order < 1 or not self.ratios or min(self.ratios) <= 0.0:
            raise ValueError(
                f"KalmanForecaster needs order >= 1 and noise ratios above 0, got order {self.order} and "
                f"ratios {self.ratios}"
            )

    @property
    def settings(self) -> tuple[str, ...]:
        """The one setting."""
        return (self.name,)

    def forecast(self, context: FloatArray, horizon: int) -> PathForecast:
        """Continue each path with a normal distribution of each coordinate.

        Args:
            context: [B, L, 3] metres.
            horizon: number of steps H, >= 1.

        Returns:
            Mean, quantiles and density, [B, H, 3] metres; the mean alone for L = 1.

        Raises:
            ValueError: for a wrong shape or a horizon below 1.
        """
        points = checked_context(context, horizon)
        mean = np.empty((len(points), horizon, 3))
        std = np.empty_like(mean)
        for windows in chunks(*points.shape[:2]):
            offsets, location, scale = anchored(points[windows])
            centre, spread = self.distribution(offsets, horizon)
            mean[windows] = location + scale * centre
            std[windows] = scale * spread[:, :, None]
        return PathForecast(mean=mean) if points.shape[1] == 1 else gaussian_forecast(mean, std)

    def distribution(self, points: Float64Array, horizon: int) -> tuple[Float64Array, Float64Array]:
        """Mean [B, H, 3] and standard deviation [B, H] of the positions after paths [B, L, 3].

        The standard deviation is that of each axis; 0 for L = 1, where nothing tells it.
        """
        batch, length = points.shape[:2]
        order = min(self.order, length - 1)
        if order == 0:
            return np.repeat(points[:, -1:], horizon, axis=1), np.zeros((batch, horizon))
        filtered = run_filters(points, order, self.ratios)
        best, rows = filtered.log_likelihood.argmax(axis=0), np.arange(batch)
        mean = taylor_steps(order, horizon) @ filtered.state[best, rows]
        variances = position_variances(order, self.ratios, length, horizon)  # [R, H]
        return mean, np.sqrt(variances[best] * filtered.noise_variance[best, rows, None])

    def continuations(self, points: Float64Array, horizon: int) -> Float64Array:
        """The mean of the forecast, [1, B, horizon, 3]."""
        return self.distribution(points, horizon)[0][None]


def taylor_steps(order: int, horizon: int) -> Float64Array:
    """Maps a state to the positions 1..horizon steps later, [horizon, order]."""
    steps = np.arange(1, horizon + 1, dtype=np.float64)
    return np.stack([steps**power / factorial(power) for power in range(order)], axis=1)


def kalman_constant_velocity() -> KalmanForecaster:
    """White-noise acceleration about uniform motion."""
    return KalmanForecaster("kalman constant velocity", 2)


def kalman_constant_acceleration() -> KalmanForecaster:
    """White-noise jerk about uniformly accelerated motion."""
    return KalmanForecaster("kalman constant acceleration", 3)
