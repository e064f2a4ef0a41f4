"""The batched integrator against closed forms and scipy's solver of one problem at a time."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from examples.trajectory_3d.motions.runge_kutta import clock, integrate


@dataclass(frozen=True)
class Turning:
    """x' = -w y, y' = w x: circles."""

    rate: np.ndarray

    def __call__(self, state):
        return np.stack([-self.rate * state[1], self.rate * state[0]])

    def select(self, rows):
        return Turning(self.rate[rows])


@dataclass(frozen=True)
class Exploding:
    """x' = p x^2: infinite after 1 / (p x0)."""

    pace: np.ndarray

    def __call__(self, state):
        return self.pace * state**2

    def select(self, rows):
        return Exploding(self.pace[rows])


@dataclass(frozen=True)
class VanDerPol:
    """Relaxation oscillations: long easy stretches and sharp turns."""

    stiffness: np.ndarray

    def __call__(self, state):
        return np.stack([state[1], self.stiffness * (1 - state[0] ** 2) * state[1] - state[0]])

    def select(self, rows):
        return VanDerPol(self.stiffness[rows])


FRACTIONS = np.linspace(0.0, 1.0, 41)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_circles_of_very_different_durations(tolerance):
    rate = np.array([0.0, 1e-3, 1.0, 7.0, 40.0])
    durations = np.array([3.0, 2.0, 5.0, 0.0, 1.0])
    start = np.stack([np.ones(5), np.zeros(5)])
    path = integrate(Turning(rate), start, durations, FRACTIONS, size=np.ones(5), tolerance=tolerance)
    angle = rate[:, None] * durations[:, None] * FRACTIONS
    expected = np.stack([np.cos(angle), np.sin(angle)], axis=2)
    assert path.shape == (5, 41, 2)
    np.testing.assert_allclose(path, expected, rtol=0, atol=100 * tolerance)
    np.testing.assert_array_equal(path[:, 0], np.array([[1.0, 0.0]] * 5))


def test_steps_adapt_to_sharp_turns():
    stiffness = np.array([0.1, 3.0, 10.0])
    durations = np.array([20.0, 15.0, 30.0])
    start = np.array([[2.0, 1.0, 2.0], [0.0, 0.5, 0.0]])
    path = integrate(VanDerPol(stiffness), start, durations, FRACTIONS, size=np.ones(3), tolerance=1e-9)
    for n, mu in enumerate(stiffness):
        expected = solve_ivp(
            lambda _, y, mu=mu: (y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]),
            (0.0, durations[n]),
            start[:, n],
            method="LSODA",
            rtol=1e-11,
            atol=1e-12,
            t_eval=FRACTIONS * durations[n],
        ).y.T
        np.testing.assert_allclose(path[n], expected, rtol=1e-5, atol=1e-5)


def test_a_path_does_not_depend_on_its_companions_or_on_the_samples():
    rng = np.random.default_rng(0)
    stiffness, durations = rng.uniform(0.1, 5.0, 12), rng.uniform(1.0, 20.0, 12)
    start = rng.standard_normal((2, 12))
    options = {"size": np.ones(12), "tolerance": 1e-8}
    together = integrate(VanDerPol(stiffness), start, durations, FRACTIONS, **options)
    alone = integrate(
        VanDerPol(stiffness[5:6]), start[:, 5:6], durations[5:6], FRACTIONS, size=np.ones(1), tolerance=1e-8
    )
    np.testing.assert_allclose(together[5], alone[0], atol=1e-12)
    denser = integrate(VanDerPol(stiffness), start, durations, np.linspace(0.0, 1.0, 161), **options)
    np.testing.assert_allclose(denser[:, ::4], together, atol=1e-12)


def test_a_lead_in_wants_only_the_end():
    end = integrate(
        Turning(np.ones(3)), np.eye(2, 3), np.full(3, np.pi), np.ones(1), size=np.ones(3), tolerance=1e-9
    )
    np.testing.assert_allclose(end[:, 0], [[-1, 0], [0, -1], [0, 0]], atol=1e-7)


def test_explosions_are_given_up_and_leave_the_others_alone():
    pace = np.array([1.0, 0.5, 1.0])  # infinite at 1, finite, infinite at 1
    durations = np.array([2.0, 1.0, 0.9])
    path = integrate(Exploding(pace), np.ones((1, 3)), durations, FRACTIONS, size=np.ones(3), tolerance=1e-8)
    assert np.isnan(path[0, 21:]).all()
    times = FRACTIONS * durations[:, None]
    np.testing.assert_allclose(path[0, :18, 0], 1 / (1 - times[0, :18]), rtol=1e-5)
    np.testing.assert_allclose(path[1, :, 0], 1 / (1 - 0.5 * times[1]), rtol=1e-5)
    np.testing.assert_allclose(path[2, :, 0], 1 / (1 - times[2]), rtol=1e-5)


def test_reach_ends_a_path():
    durations = np.array([0.9, 0.5])  # to 10 and to 2
    path = integrate(
        Exploding(np.ones(2)),
        np.ones((1, 2)),
        durations,
        FRACTIONS,
        size=np.ones(2),
        tolerance=1e-6,
        reach=3.0,
    )
    assert np.isnan(path[0, -1, 0])
    assert path[1, -1, 0] == pytest.approx(2.0, rel=1e-4)


def test_clock_splits_times_into_fractions_and_seconds():
    times = 0.5 + np.arange(5) / 10.0
    fractions, seconds = clock(times, 3)
    np.testing.assert_allclose(fractions, [0.0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(seconds, [0.4, 0.4, 0.4])
    factors = np.array([1.0, 2.0, 0.25])
    fractions, seconds = clock(times * factors[:, None], 3)
    np.testing.assert_allclose(fractions[:, None] * seconds, (times - 0.5)[:, None] * factors, atol=1e-15)
    assert clock(np.zeros(1), 2)[1].tolist() == [0.0, 0.0]
