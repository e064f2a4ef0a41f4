"""The Lorenz integrator against DOP853, and windows against known bounds of the attractor."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from examples.trajectory_3d.motions import lorenz
from examples.trajectory_3d.motions.lorenz import attractor_points
from examples.trajectory_3d.motions.taylor import LorenzParameters, integrate_lorenz


def draw_parameters(rng, count):
    return LorenzParameters(
        rng.uniform(9, 11, count), rng.uniform(26, 30, count), rng.uniform(2.5, 2.8, count)
    )


def reference(parameters, n, state, times):
    """DOP853 at the tightest tolerance it takes, [T, 3]; times may run backwards."""
    sigma, rho, beta = parameters.sigma[n], parameters.rho[n], parameters.beta[n]

    def rates(_, y):
        return (sigma * (y[1] - y[0]), y[0] * (rho - y[2]) - y[1], y[0] * y[1] - beta * y[2])

    ends = (0.0, times[-1])
    return solve_ivp(rates, ends, state, method="DOP853", rtol=2.3e-14, atol=1e-13, t_eval=times).y.T


def test_windows_match_dop853():
    rng = np.random.default_rng(0)
    parameters = draw_parameters(rng, 400)
    start = attractor_points(rng, parameters)
    times = np.linspace(0.0, 2.0, 101)
    path = integrate_lorenz(start, parameters, times, tolerance=1e-10)
    for n in range(25):
        expected = reference(parameters, n, start[:, n], times)
        assert np.abs(path[:, :, n] - expected).max() < 1e-8 * np.abs(expected).max()


def test_error_falls_with_the_tolerance():
    rng = np.random.default_rng(1)
    parameters = draw_parameters(rng, 20)
    start = attractor_points(rng, parameters)
    times = np.array([0.5, 1.5])
    expected = np.stack([reference(parameters, n, start[:, n], times) for n in range(20)], axis=2)
    errors = [
        np.abs(integrate_lorenz(start, parameters, times, tolerance=tolerance) - expected).max()
        for tolerance in (1e-4, 1e-7, 1e-10)
    ]
    assert errors[0] > 30 * errors[1] > 900 * errors[2]


def test_stiffer_parameters_keep_the_tolerance():
    """The step adapts: nothing is tuned to the default ranges."""
    parameters = LorenzParameters(np.array([20.0]), np.array([150.0]), np.array([4.0]))
    start = np.array([[5.0], [5.0], [120.0]])
    times = np.linspace(0.0, 0.4, 21)
    expected = reference(parameters, 0, start[:, 0], times)
    path = integrate_lorenz(start, parameters, times, tolerance=1e-10)[:, :, 0]
    assert np.abs(path - expected).max() < 1e-8 * np.abs(expected).max()


def test_fixed_point_stays():
    rho, beta = 27.0, 2.6
    parameters = LorenzParameters(np.array([10.0]), np.array([rho]), np.array([beta]))
    side = np.sqrt(beta * (rho - 1))
    start = np.array([[side, 0.0], [side, 0.0], [rho - 1, 0.0]])
    both = LorenzParameters(*(np.repeat(p, 2) for p in (parameters.sigma, parameters.rho, parameters.beta)))
    path = integrate_lorenz(start, both, np.array([0.0, 1.0]))
    np.testing.assert_allclose(path, np.stack([start, start]), atol=1e-9)


@pytest.fixture(scope="module")
def long_paths():
    """Parameters and 12 time units of 300 paths from where windows start, [T, 3, N]."""
    rng = np.random.default_rng(2)
    parameters = draw_parameters(rng, 300)
    start = attractor_points(rng, parameters)
    return parameters, integrate_lorenz(start, parameters, np.arange(0.0, 12.0, 0.02), tolerance=1e-8)


def test_paths_stay_inside_leonovs_bounds(long_paths):
    """Bounds of the attractor for sigma >= 1, beta >= 2 (G. Leonov et al., ZAMM 67 (1987) 649-656)."""
    parameters, path = long_paths
    x, y, z = np.moveaxis(path, 1, 0)
    sigma, rho, beta = parameters.sigma, parameters.rho, parameters.beta
    stretch = beta**2 / (4 * (beta - 1))
    assert (x**2 + y**2 + (z - sigma - rho) ** 2 <= stretch * (sigma + rho) ** 2).all()
    assert (y**2 + (z - rho) ** 2 <= stretch * rho**2 * (1 + 1e-9)).all()
    assert (z >= x**2 / (2 * sigma) - 1e-9).all()


def test_starts_are_on_the_attractor():
    """Followed back in time, only points of the attractor stay: others leave as e^(14.6 t)."""
    rng = np.random.default_rng(3)
    parameters = draw_parameters(rng, 12)
    start = attractor_points(rng, parameters)
    displaced = start + 0.3 * rng.standard_normal(start.shape)
    times = np.array([-0.25, -0.5])

    def largest(states):
        return max(np.abs(reference(parameters, n, states[:, n], times)).max() for n in range(12))

    assert largest(start) < 60.0
    assert largest(displaced) > 60.0


def test_starts_are_distributed_as_long_paths_are():
    """Above all, they do not sit near the fixed points, which repel so weakly that paths linger there."""
    rng = np.random.default_rng(6)
    parameters = draw_parameters(rng, 1500)
    start = attractor_points(rng, parameters)
    near_origin = rng.standard_normal((3, 1500)) + np.array([[0.0], [0.0], [10.0]])  # inside neither wing
    long_run = integrate_lorenz(near_origin, parameters, np.arange(16.0, 20.0, 0.5), tolerance=1e-6)
    for axis in range(3):
        expected = np.quantile(long_run[:, axis], [0.05, 0.25, 0.5, 0.75, 0.95])
        spread = long_run[:, axis].std()
        np.testing.assert_allclose(
            np.quantile(start[axis], [0.05, 0.25, 0.5, 0.75, 0.95]), expected, atol=0.15 * spread
        )


def test_scale_and_time_scale_are_units():
    times = np.arange(60) / 50.0
    base = lorenz(np.random.default_rng(4), 5, times)
    np.testing.assert_allclose(lorenz(np.random.default_rng(4), 5, times, scale=0.3), 3.0 * base, rtol=1e-12)
    slow = lorenz(np.random.default_rng(4), 5, 2.0 * times, time_scale=0.5)
    np.testing.assert_allclose(slow, base, atol=1e-9)
    assert 1.0 < base[..., 2].max() < 6.0  # metres


def test_velocity_follows_the_equations():
    step = 1e-3
    fixed = {"sigma": (10.0, 10.0), "rho": (28.0, 28.0), "beta": (2.7, 2.7)}
    path = lorenz(np.random.default_rng(5), 10, np.arange(800) * step, scale=1.0, **fixed)
    x, y, z = np.moveaxis(path[:, 2:-2], 2, 0)
    velocity = (path[:, :-4] - 8 * path[:, 1:-3] + 8 * path[:, 3:-1] - path[:, 4:]) / (12 * step)
    expected = np.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 2.7 * z], axis=2)
    assert np.abs(velocity - expected).max() < 1e-4 * np.abs(expected).max()


def test_overflow_is_an_error_not_garbage():
    parameters = LorenzParameters(np.array([10.0]), np.array([28.0]), np.array([2.7]))
    with pytest.raises(FloatingPointError, match="overflowed"), np.errstate(all="ignore"):
        integrate_lorenz(np.full((3, 1), 1e200), parameters, np.array([1.0]))
