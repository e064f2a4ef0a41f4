"""Chaotic flows against equations written out by hand, scipy's solver and published exponents."""

import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from examples.trajectory_3d.motions import get_motion
from examples.trajectory_3d.motions.chaotic_systems import SYSTEMS, TERMS

# The function of the same name hides the module in the package.
module = sys.modules[get_motion("chaotic").__module__]
chaotic, TermField, attractors = module.chaotic, module.TermField, module.attractors

WRITTEN_OUT = {
    "rossler": lambda x, y, z: (-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)),
    "thomas": lambda x, y, z: (np.sin(y) - 0.18 * x, np.sin(z) - 0.18 * y, np.sin(x) - 0.18 * z),
    "halvorsen": lambda x, y, z: (
        -1.4 * x - 4 * y - 4 * z - y**2,
        -1.4 * y - 4 * z - 4 * x - z**2,
        -1.4 * z - 4 * x - 4 * y - x**2,
    ),
    "chua": lambda x, y, z: (10 * (y + 0.143 * x - x**3 / 16), x - y + z, -16 * y),
    "aizawa": lambda x, y, z: (
        (z - 0.7) * x - 3.5 * y,
        3.5 * x + (z - 0.7) * y,
        0.6 + 0.95 * z - z**3 / 3 - (x**2 + y**2) * (1 + 0.25 * z) + 0.1 * z * x**3,
    ),
    "dadras": lambda x, y, z: (y - 3 * x + 2.7 * y * z, 1.7 * y - x * z + z, 2 * x * y - 9 * z),
    "rabinovich_fabrikant": lambda x, y, z: (
        y * (z - 1 + x**2) + 0.1 * x,
        x * (3 * z + 1 - x**2) + 0.1 * y,
        -2 * z * (0.14 + x * y),
    ),
    "chen": lambda x, y, z: (35 * (y - x), (28 - 35) * x - x * z + 28 * y, x * y - 3 * z),
    "burke_shaw": lambda x, y, z: (-10 * (x + y), -y - 10 * x * z, 10 * x * y + 4.272),
    "rucklidge": lambda x, y, z: (-2 * x + 6.7 * y - y * z, x, -z + y**2),
    "genesio_tesi": lambda x, y, z: (y, z, -x - 1.1 * y - 0.44 * z + x**2),
    "shimizu_morioka": lambda x, y, z: (y, x * (1 - z) - 0.75 * y, -0.45 * z + x**2),
    "sprott_b": lambda x, y, z: (y * z, x - y, 1 - x * y),
    "sprott_c": lambda x, y, z: (y * z, x - y, 1 - x**2),
    "sprott_d": lambda x, y, z: (-y, x + z, x * z + 3 * y**2),
    "sprott_e": lambda x, y, z: (y * z, x**2 - y, 1 - 4 * x),
    "sprott_f": lambda x, y, z: (y + z, -x + 0.5 * y, x**2 - z),
    "sprott_g": lambda x, y, z: (0.4 * x + z, x * z - y, -x + y),
    "sprott_h": lambda x, y, z: (-y + z**2, x + 0.5 * y, x - z),
    "sprott_i": lambda x, y, z: (-0.2 * y, x + z, x + y**2 - z),
    "sprott_j": lambda x, y, z: (2 * z, -2 * y + z, -x + y + y**2),
    "sprott_k": lambda x, y, z: (x * y - z, x - y, x + 0.3 * z),
    "sprott_l": lambda x, y, z: (y + 3.9 * z, 0.9 * x**2 - y, 1 - x),
    "sprott_m": lambda x, y, z: (-z, -(x**2) - y, 1.7 + 1.7 * x + y),
    "sprott_n": lambda x, y, z: (-2 * y, x + z**2, 1 + y - 2 * z),
    "sprott_o": lambda x, y, z: (y, x - z, x + x * z + 2.7 * y),
    "sprott_p": lambda x, y, z: (2.7 * y + z, -x + y**2, x + y),
    "sprott_q": lambda x, y, z: (-z, x - y, 3.1 * x + y**2 + 0.5 * z),
    "sprott_r": lambda x, y, z: (0.9 - y, 0.4 + z, x * y - z),
    "sprott_s": lambda x, y, z: (-x - 4 * y, x + z**2, 1 + x),
}
# Largest Lyapunov exponents of J. Sprott, Phys. Rev. E 50 (1994), table I.
LYAPUNOV = {"sprott_b": 0.210, "sprott_c": 0.163, "sprott_s": 0.188}


def published_field(name, count=1):
    return TermField.build(module._published(name, count))


def test_every_system_is_written_out():
    assert set(WRITTEN_OUT) == set(SYSTEMS)


@pytest.mark.parametrize("name", SYSTEMS)
def test_table_entries_are_the_published_equations(name):
    points = np.random.default_rng(0).normal(scale=2.0, size=(3, 20))
    expected = np.stack(np.broadcast_arrays(*WRITTEN_OUT[name](*points)))
    np.testing.assert_allclose(published_field(name, 20)(points), expected, rtol=1e-12, atol=1e-12)


def test_fields_of_all_systems_together_are_those_of_each():
    points = np.random.default_rng(1).normal(size=(3, len(SYSTEMS)))
    together = TermField.build(np.concatenate([module._published(name, 1) for name in SYSTEMS], axis=2))
    expected = np.stack(
        [np.array(WRITTEN_OUT[name](*points[:, k])) for k, name in enumerate(SYSTEMS)], axis=1
    )
    np.testing.assert_allclose(together(points), expected, rtol=1e-12, atol=1e-12)
    some = np.array([3, 1, 17])
    np.testing.assert_allclose(
        together.select(some)(points[:, some]), expected[:, some], rtol=1e-12, atol=1e-12
    )


def test_an_unreadable_equation_is_refused():
    broken = module.SYSTEMS["rossler"].__class__(("-y -q", "x", "z"), (0.0, 0.0, 0.0), 1.0, "none")
    with pytest.raises(ValueError, match="q"):
        broken.coefficients({}, 2)


def reference(draw, n, state, seconds, samples):
    """scipy's solution for window n from a state, [samples, 3], the first one included."""
    field = TermField.build(draw.coefficients[:, :, n, None])
    return solve_ivp(
        lambda _, y: field(y[:, None])[:, 0],
        (0.0, seconds),
        state,
        method="DOP853",
        rtol=1e-11,
        atol=1e-11 * draw.size[n],
        t_eval=np.linspace(0.0, seconds, samples),
    ).y.T


def test_windows_match_dop853():
    """Over 4 turns, with parameters of their own; the flow stretches errors by up to a few thousand."""
    count = 14
    draw = module._draw_windows(np.random.default_rng(2), count, attractors(tuple(SYSTEMS)), 0.03)
    fractions = np.linspace(0.0, 1.0, 41)
    paths = {
        tolerance: module._follow(draw, np.full(count, 4.0), fractions, tolerance)
        for tolerance in (1e-7, 1e-10)
    }
    start = {tolerance: path[:, 0] for tolerance, path in paths.items()}
    np.testing.assert_array_equal(start[1e-7], start[1e-10])
    errors = {tolerance: [] for tolerance in paths}
    for n in range(count):
        expected = reference(
            draw, n, start[1e-7][n] * draw.size[n] + draw.middle[:, n], 4.0 * draw.turn[n], 41
        )
        expected = (expected - draw.middle[:, n]) / draw.size[n]
        for tolerance, path in paths.items():
            errors[tolerance].append(np.abs(path[n] - expected).max())
    assert np.median(errors[1e-7]) < 3e-6
    assert max(errors[1e-7]) < 3e-3
    assert np.median(errors[1e-10]) < 1e-8
    assert max(errors[1e-10]) < 1e-5


def test_every_stretch_of_a_window_obeys_the_equations():
    """From any sample on, half a turn follows scipy's solution: nothing but the stretching adds up."""
    draw = module._draw_windows(np.random.default_rng(8), 20, attractors(tuple(SYSTEMS)), 0.03)
    path = module._follow(draw, np.full(20, 4.0), np.linspace(0.0, 1.0, 41), 1e-7)
    for n in range(20):
        ours = path[n] * draw.size[n] + draw.middle[:, n]
        at = (7 * n) % 36
        expected = reference(draw, n, ours[at], 0.5 * draw.turn[n], 6)
        np.testing.assert_allclose(ours[at : at + 6], expected, rtol=0, atol=5e-5 * draw.size[n])


def test_bank_is_on_the_attractor_and_its_turn_is_a_period():
    bank = attractors(tuple(SYSTEMS))
    for name, attractor in bank.items():
        x, y, z = attractor.points
        speeds = np.stack(np.broadcast_arrays(*WRITTEN_OUT[name](x, y, z)))
        size = np.sqrt(attractor.points.var(axis=1).sum())
        turn = 2 * np.pi * size / np.sqrt((speeds**2).sum(axis=0).mean())
        assert attractor.size == pytest.approx(size, rel=1e-9)
        assert attractor.turn == pytest.approx(turn, rel=1e-9)
        assert SYSTEMS[name].period == pytest.approx(turn, rel=0.6)
    # Rössler's period of 5.86 is known; its spikes in z make the speed, not the period, larger.
    assert 3.0 < bank["rossler"].turn < 5.9


@pytest.mark.parametrize("name", LYAPUNOV)
def test_sprott_flows_have_the_published_exponents(name):
    """Mean growth of small differences from many points of the attractor."""
    points = attractors(tuple(SYSTEMS))[name].points
    count, span = points.shape[1], 16 * SYSTEMS[name].period
    rng = np.random.default_rng(3)
    step = 1e-6 * rng.standard_normal((3, count))
    grown = []
    state, other = points, points + step
    once = np.ones(1)
    for _ in range(2):  # the first stretch turns differences into the growing direction
        both = np.concatenate([state, other], axis=1)
        ends = module.integrate(
            published_field(name, 2 * count),
            both,
            np.full(2 * count, span / 2),
            once,
            size=np.ones(2 * count),
            tolerance=1e-10,
        )[:, 0].T
        state, other = ends[:, :count], ends[:, count:]
        gap = np.linalg.norm(other - state, axis=0)
        before = np.linalg.norm(step, axis=0)
        grown.append(np.log(gap / before) / (span / 2))
        step = (other - state) * (1e-6 / gap)
        other = state + step
    assert np.mean(grown[1]) == pytest.approx(LYAPUNOV[name], abs=0.035)


def test_options_choose_systems_size_and_pace():
    times = np.arange(400) / 50.0
    fixed = {"frequency": (1.0, 1.0), "size": (2.0, 2.0), "parameter_spread": 0.0}
    path = chaotic(np.random.default_rng(4), 200, times, systems=["halvorsen"], **fixed)
    distance = np.sqrt((path**2).sum(axis=2).mean())
    speed = np.sqrt((np.gradient(path, 0.02, axis=1) ** 2).sum(axis=2).mean())
    assert distance == pytest.approx(2.0, rel=0.05)
    assert speed == pytest.approx(2 * np.pi * 2.0, rel=0.08)  # the bank's 256 points know it to a few %
    # Halvorsen's flow is the same after x -> y -> z -> x, so all axes spread alike.
    spread = path.reshape(-1, 3).std(axis=0)
    np.testing.assert_allclose(spread, spread.mean(), rtol=0.08)


def test_each_window_may_have_times_of_its_own():
    times = np.arange(60) / 50.0
    factors = np.array([1.0, 0.5, 2.0, 1.0])[:, None]
    varied = chaotic(np.random.default_rng(5), 4, times * factors)
    plain = chaotic(np.random.default_rng(5), 4, times)
    np.testing.assert_allclose(varied[[0, 3]], plain[[0, 3]], atol=1e-9)
    np.testing.assert_allclose(varied[2, :30], plain[2, ::2], atol=1e-4)
    np.testing.assert_allclose(varied[1, ::2], plain[1, :30], atol=1e-4)


def test_runaways_are_replaced():
    """At half the parameters many systems lose their attractor, and still every window is a path."""
    path = chaotic(np.random.default_rng(6), 150, np.arange(80) / 50.0, parameter_spread=0.5, size=(1.0, 1.0))
    assert np.isfinite(path).all()
    assert np.abs(path).max() < 25.0


def test_small_changes_of_parameters_rarely_lose_the_attractor():
    draw = module._draw_windows(np.random.default_rng(7), 600, attractors(tuple(SYSTEMS)), 0.03)
    path = module._follow(draw, np.full(600, 5.0), np.linspace(0.0, 1.0, 20), 1e-5)
    assert np.isnan(path[:, -1, 0]).mean() < 0.01


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("systems", ["rosler"], "'rosler'.*did you mean 'rossler'"),
        ("systems", [], "at least one"),
        ("systems", "rossler", "must be a list"),
        ("parameter_spread", 0.6, "parameter_spread"),
        ("parameter_spread", -0.1, "parameter_spread"),
        ("frequency", (0.0, 1.0), "'frequency'.*positive"),
        ("size", (2.0, 1.0), "size"),
        ("tolerance", 0.1, "tolerance"),
    ],
)
def test_bad_options_are_refused(option, value, message):
    with pytest.raises(ValueError, match=message):
        chaotic(np.random.default_rng(0), 2, np.arange(5) / 50.0, **{option: value})


def test_terms_are_in_alphabetical_order_of_their_letters():
    for term in TERMS:
        if set(term) <= set("xyz"):
            assert term == "".join(sorted(term))
