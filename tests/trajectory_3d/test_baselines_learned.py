"""Forecasters fitted to the window: autoregression, analogues, reservoir, and the choice among all."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from examples.trajectory_3d.baselines import (
    BackTest,
    BackTested,
    best_classical,
    constant_velocity,
    nearest_analogue,
    next_generation_reservoir,
    ridge_autoregression,
)
from examples.trajectory_3d.baselines.analogue import Analogues
from examples.trajectory_3d.baselines.autoregression import LinearFeatures
from examples.trajectory_3d.baselines.backtest import JoinedFamily
from examples.trajectory_3d.baselines.polynomial import PolynomialFits
from examples.trajectory_3d.baselines.reservoir import QuadraticFeatures
from examples.trajectory_3d.baselines.ridge import STEP_LIMIT, ridge_continuations, ridge_weights


def sinusoids(count, length, terms=1, seed=0):
    """Sums of sinusoids of periods 15 to 60 points, mixed over the axes, [count, length, 3]."""
    rng = np.random.default_rng(seed)
    rates = 2 * np.pi / rng.uniform(15, 60, (count, 1, terms))
    phases = rates * np.arange(length)[:, None]  # [count, length, terms]
    mix = rng.normal(size=(2, count, terms, 3))
    return np.cos(phases) @ mix[0] + np.sin(phases) @ mix[1] + rng.normal(size=(count, 1, 3))


def lorenz(count, length, dt=0.02, seed=0):
    """Noise-free Lorenz paths on the attractor, [count, length, 3]."""

    def flow(_, p):
        return [10 * (p[1] - p[0]), p[0] * (28 - p[2]) - p[1], p[0] * p[1] - 8 / 3 * p[2]]

    starts = np.random.default_rng(seed).uniform([-10, -10, 15], [10, 10, 35], (count, 3))
    times = 5.0 + dt * np.arange(length)
    runs = [solve_ivp(flow, (0, times[-1]), s, t_eval=times, rtol=1e-9, atol=1e-9).y.T for s in starts]
    return np.stack(runs)


def relative_error(forecast, truth, context):
    spread = np.sqrt(np.square(context - context.mean(axis=1, keepdims=True)).mean(axis=(1, 2)))
    return np.linalg.norm(forecast - truth, axis=-1).mean(axis=1) / spread


def naive_ridge(points, horizon, features, reach, strength):
    """One window, one point at a time; the penalty as extra rows of a least-squares problem."""
    rows = [features(points[end - reach : end]) for end in range(reach, len(points))]
    steps = [points[end] - points[end - 1] for end in range(reach, len(points))]
    design, targets = np.array(rows), np.array(steps)
    centre, drift = design.mean(axis=0), targets.mean(axis=0)
    columns = design.shape[1]
    penalty = np.sqrt(strength * np.square(design - centre).sum() / columns)
    weights = np.linalg.lstsq(
        np.vstack([design - centre, penalty * np.eye(columns)]),
        np.vstack([targets - drift, np.zeros((columns, 3))]),
        rcond=None,
    )[0]
    longest = STEP_LIMIT * np.linalg.norm(np.diff(points, axis=0), axis=1).max()
    path = list(points)
    for _ in range(horizon):
        step = drift + (features(np.array(path[-reach:])) - centre) @ weights
        step *= min(1.0, longest / np.linalg.norm(step))
        path.append(path[-1] + step)
    return np.array(path[len(points) :])


@pytest.mark.parametrize("reach", [2, 6, 12])  # 12: more unknowns than equations, solved in dual form
@pytest.mark.parametrize("strength", [1e-4, 1e-1, 1.0])
def test_autoregression_equals_least_squares_with_penalty_rows(reach, strength):
    points = np.random.default_rng(reach).normal(size=(2, 30, 3)).cumsum(axis=1)
    actual = ridge_continuations(points, 6, LinearFeatures(reach), (0.5, strength))
    for window in range(2):
        expected = naive_ridge(points[window], 6, np.ravel, reach, strength)
        np.testing.assert_allclose(actual[1, window], expected, rtol=1e-6, atol=1e-6)


def naive_quadratic(recent):
    """Last and second last tap (spacing 2) and their products, in the order of the docstring."""
    linear = np.concatenate([recent[0], recent[2]])
    products = [
        linear[i] * linear[j] * (1.0 if i == j else np.sqrt(2.0)) for i in range(6) for j in range(i, 6)
    ]
    return np.concatenate([linear, products])


def test_reservoir_equals_least_squares_with_penalty_rows():
    points = np.random.default_rng(4).normal(size=(1, 40, 3))
    features = QuadraticFeatures(taps=2, spacing=2)
    actual = ridge_continuations(points, 4, features, (0.1,))
    expected = naive_ridge(points[0], 4, naive_quadratic, features.reach, 0.1)
    np.testing.assert_allclose(actual[0, 0], expected, rtol=1e-8, atol=1e-8)


def test_quadratic_features_have_a_scalar_product_that_turns_with_the_path():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 3))
    features = QuadraticFeatures(taps=3, spacing=2)
    product = np.sum(first[::2] * second[::2])
    np.testing.assert_allclose(features(first) @ features(second), product + product**2, rtol=1e-12)


def test_both_forms_of_ridge_agree():
    rng = np.random.default_rng(6)
    wide = rng.normal(size=(3, 7, 20))
    targets = rng.normal(size=(3, 7, 2))
    dual = ridge_weights(wide, targets, (0.3,))[0]
    mean_square = np.square(wide).sum(axis=(1, 2))[:, None, None] / 20
    normal = wide.swapaxes(1, 2) @ wide + 0.3 * mean_square * np.eye(20)
    np.testing.assert_allclose(dual, np.linalg.solve(normal, wide.swapaxes(1, 2) @ targets), rtol=1e-8)


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_autoregression_continues_sums_of_sinusoids_exactly(terms):
    path = sinusoids(8, 128 + 48, terms)
    forecast = ridge_autoregression().forecast(path[:, :128], 48).mean
    assert np.max(relative_error(forecast, path[:, 128:], path[:, :128])) < 1e-3


def test_autoregression_survives_noise():
    path = sinusoids(40, 80, 2)
    context = path[:, :64] + np.random.default_rng(1).normal(scale=0.02, size=(40, 64, 3))
    fitted = relative_error(ridge_autoregression().forecast(context, 16).mean, path[:, 64:], context)
    straight = relative_error(constant_velocity().forecast(context, 16).mean, path[:, 64:], context)
    assert np.median(fitted) < 0.2 * np.median(straight)


def test_reservoir_continues_noise_free_chaos():
    path = lorenz(3, 300 + 64)
    context, future = path[:, :300], path[:, 300:]
    reservoir = relative_error(next_generation_reservoir().forecast(context, 64).mean, future, context)
    linear = relative_error(ridge_autoregression().forecast(context, 64).mean, future, context)
    assert np.median(reservoir) < 0.01
    assert np.median(reservoir) < 0.05 * np.median(linear)


def test_a_diverging_fit_is_bounded_by_its_step():
    """Exponential growth: the fit is right, and would leave every bound within the horizon."""
    growth = 1.3 ** np.arange(30.0)[:, None] * np.array([1.0, -1.0, 0.5])
    path = ridge_continuations(growth[None], 300, LinearFeatures(2), (1e-8,))[0, 0]
    steps = np.linalg.norm(np.diff(np.vstack([growth[-1:], path]), axis=0), axis=1)
    longest = np.linalg.norm(np.diff(growth, axis=0), axis=1).max()
    np.testing.assert_allclose(steps[0], 1.3 * longest, rtol=1e-3)  # followed while within the limit
    np.testing.assert_allclose(steps[5:], STEP_LIMIT * longest, rtol=1e-9)


@pytest.mark.parametrize("period", [11, 20])
@pytest.mark.parametrize("drift", [0.0, 0.3])
def test_analogue_repeats_a_periodic_path_for_ever(period, drift):
    """Any shape, and on a steady drift too; longer than the context holds."""
    shape = np.random.default_rng(period).normal(size=(4, period, 3))
    path = np.tile(shape, (1, 12, 1)) + drift * np.arange(12 * period)[:, None]
    split = 4 * period
    forecast = nearest_analogue().forecast(path[:, :split], 8 * period).mean
    np.testing.assert_allclose(forecast, path[:, split:], atol=1e-9)


def naive_analogue(points, horizon, delay, neighbours, gap):
    now = points[-delay:]
    found = []
    for last in range(delay - 1, len(points) - gap):
        then = points[last - delay + 1 : last + 1]
        distance = np.square((then - then.mean(0)) - (now - now.mean(0))).sum()
        found.append((distance, last, now.mean(0) - then.mean(0)))
    nearest = sorted(found, key=lambda item: item[0])[:neighbours]
    weights = np.array([1 / distance for distance, _, _ in nearest])
    path = list(points)
    for step in range(1, horizon + 1):
        followed = [path[last + step] + offset for _, last, offset in nearest]
        path.append(np.average(followed, axis=0, weights=weights))
    return np.array(path[len(points) :])


@pytest.mark.parametrize(("delay", "neighbours", "gap"), [(2, 1, 1), (5, 3, 2), (8, 2, 9)])
def test_analogue_equals_a_search_of_each_window_alone(delay, neighbours, gap):
    points = np.random.default_rng(delay).normal(size=(3, 40, 3)).cumsum(axis=1)
    actual = Analogues((delay,), (neighbours,), (gap,)).continuations(points, 15)[0]
    for window in range(3):
        expected = naive_analogue(points[window], 15, delay, neighbours, gap)
        np.testing.assert_allclose(actual[window], expected, rtol=1e-9, atol=1e-9)


def test_best_classical_takes_the_method_that_fits_the_window():
    """One batch of motions that different methods continue exactly: each window gets its own."""
    chaos = lorenz(1, 144)
    jagged = np.tile(np.random.default_rng(0).normal(size=(1, 16, 3)), (1, 9, 1))
    line = np.arange(144.0)[None, :, None] * np.array([1.0, 2.0, -1.0])
    path = np.concatenate([chaos, jagged, line])
    context, future = path[:, :128], path[:, 128:]
    error = relative_error(best_classical().forecast(context, 16).mean, future, context)
    assert error[0] < 0.02
    assert np.all(error[1:] < 1e-6)
    for single in (constant_velocity(), nearest_analogue()):
        assert relative_error(single.forecast(context, 16).mean, future, context).max() > 5 * error.max()


def test_best_classical_is_the_flat_minimum_of_the_back_tests():
    family = JoinedFamily((PolynomialFits(((1, 4), (2, 8))), Analogues((3,), (1,), (2,))))
    points = np.random.default_rng(9).normal(size=(30, 40, 3)).cumsum(axis=1)
    back_test = BackTest()
    scores = back_test.scores(family, points, 10)
    chosen = BackTested("x", family, constant_velocity().extend).extend(points, 10)
    paths = family.continuations(points, 10)
    assert {0, 2} <= set(scores.argmin(axis=0))  # both families are chosen somewhere
    for window in range(30):
        np.testing.assert_array_equal(chosen[window], paths[scores[:, window].argmin(), window])


def test_sharp_combination_is_the_best_and_a_mild_one_an_average():
    family = PolynomialFits(((1, 2), (1, 6), (1, 12)))
    points = np.random.default_rng(10).normal(size=(20, 40, 3)).cumsum(axis=1)

    def extended(sharpness):
        return BackTested("x", family, constant_velocity().extend, sharpness=sharpness).extend(points, 6)

    np.testing.assert_allclose(extended(1e5), extended(None), rtol=1e-6, atol=1e-6)
    average = family.continuations(points, 6).mean(axis=0)
    np.testing.assert_allclose(extended(1e-9), average, rtol=1e-6, atol=1e-6)
    scores = BackTest().scores(family, points, 6)
    weights = scores**-2.0 / (scores**-2.0).sum(axis=0)
    expected = np.einsum("cb,cbhk->bhk", weights, family.continuations(points, 6))
    np.testing.assert_allclose(extended(2.0), expected, rtol=1e-9, atol=1e-12)


def test_back_test_uses_no_point_of_the_future_and_counts_its_moments():
    class Recorder:
        settings = ("one",)

        def __init__(self):
            self.calls = []

        def continuations(self, points, horizon):
            self.calls.append((points.shape[1], horizon))
            return np.zeros((1, len(points), horizon, 3))

    recorder = Recorder()
    points = np.ones((2, 20, 3))
    score = BackTest(moments=3, spacing=4, share=0.5).scores(recorder, points, 7)
    assert recorder.calls == [(16, 4), (12, 4), (8, 4)]
    np.testing.assert_allclose(score, np.sqrt(3.0))
    assert BackTest().ends(1, 5) == []


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="share in"):
        BackTest(share=0.0)
    with pytest.raises(ValueError, match="sharpness must be above 0"):
        BackTested("x", Analogues(), constant_velocity().extend, sharpness=-1.0)
    with pytest.raises(ValueError, match="delays of at least 2"):
        Analogues(delays=(1,))
