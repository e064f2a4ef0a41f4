"""The batched solver against scipy's, and what it promises of every fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from examples.trajectory_3d.oracles.least_squares import fit_many, jacobian

TIMES = np.linspace(0.0, 3.0, 25)


def decays(parameters):
    amplitude, rate, offset = (parameters[:, i, None] for i in range(3))
    return amplitude * np.exp(-rate * TIMES) + offset


def decay_data(count, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.column_stack([rng.uniform(1, 3, count), rng.uniform(0.3, 2, count), rng.uniform(-1, 1, count)])
    return truth, decays(truth) + 0.02 * rng.standard_normal((count, len(TIMES)))


def test_agrees_with_scipy_on_every_problem():
    _, data = decay_data(20)
    start = np.tile([1.0, 1.0, 0.0], (20, 1))
    fits = fit_many(lambda p, rows: decays(p) - data[rows], start)
    assert fits.converged.all()
    for row in range(20):
        alone = least_squares(lambda p, row=row: decays(p[None])[0] - data[row], start[row], xtol=1e-12)
        assert fits.parameters[row] == pytest.approx(alone.x, abs=2e-4)
        assert fits.cost[row] == pytest.approx(2 * alone.cost, rel=1e-6)
        assert fits.normal[row] == pytest.approx(alone.jac.T @ alone.jac, rel=1e-2, abs=1e-2)


def test_exact_data_are_fitted_exactly():
    truth, _ = decay_data(10)
    data = decays(truth)
    fits = fit_many(lambda p, rows: decays(p) - data[rows], truth * 1.4 + 0.1)
    assert np.abs(fits.parameters - truth).max() < 1e-8


def test_jacobian_is_that_of_the_formula():
    truth, _ = decay_data(4)
    slopes = jacobian(lambda p, rows: decays(p), truth, np.arange(4))
    decay = np.exp(-truth[:, 1, None] * TIMES)
    exact = np.stack([decay, -truth[:, :1] * TIMES * decay, np.ones_like(decay)], axis=2)
    assert np.abs(slopes - exact).max() < 1e-8


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-20, 20)] * 3), min_size=1, max_size=5))
def test_no_fit_is_worse_than_its_start_or_depends_on_the_others(starts):
    """Also from starts at which the exponential overflows."""
    start = np.array(starts)
    _, data = decay_data(len(start))

    def residuals(parameters, rows):
        with np.errstate(over="ignore", invalid="ignore"):
            return decays(parameters) - data[rows]

    fits = fit_many(residuals, start)
    before = np.square(residuals(start, np.arange(len(start)))).sum(axis=1)
    assert (fits.cost <= before).all()
    alone = fit_many(lambda p, rows: residuals(p, np.full(len(p), len(start) - 1)), start[-1:])
    assert alone.parameters[0] == pytest.approx(fits.parameters[-1], rel=1e-6, abs=1e-6)


def test_a_start_without_finite_residuals_is_left_and_reported():
    data = decay_data(2)[1]

    def residuals(parameters, rows):
        values = decays(parameters) - data[rows]
        values[parameters[:, 1] < 0] = np.nan
        return values

    fits = fit_many(residuals, np.array([[1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]))
    assert fits.converged.tolist() == [False, True]
    assert np.isinf(fits.cost[0])
    assert fits.parameters[0].tolist() == [1.0, -1.0, 0.0]
