"""Oracles against the motions they know, the Cramer-Rao bound and each other."""

import numpy as np
import pytest

from examples.trajectory_3d.motions import get_motion
from examples.trajectory_3d.motions.robotic import draw_robot_paths
from examples.trajectory_3d.oracles import FLAVOURS, get_oracle, oracle_names, register_oracle

DT, LENGTH, HORIZON = 0.02, 64, 16
TIMES = np.arange(LENGTH + HORIZON) * DT
SMOOTH = ("helical", "orbital", "lissajous", "lorenz")


def windows(name, count, noise=0.0, seed=0, **options):
    """Context [count, L, 3] with noise, and the true continuation [count, H, 3]."""
    path = get_motion(name)(np.random.default_rng(seed), count, TIMES, **options)
    errors = noise * np.random.default_rng(seed + 1).standard_normal((count, LENGTH, 3))
    return path[:, :LENGTH] + errors, path[:, LENGTH:]


def error(name, flavour, context, target, **options):
    """Mean distance over the horizon, [count] metres."""
    mean = get_oracle(name, flavour, options).forecast(context, HORIZON, DT)
    return np.linalg.norm(mean - target, axis=2).mean(axis=1)


def test_every_motion_type_of_the_application_has_an_oracle():
    assert set(oracle_names()) == {*SMOOTH, "robotic"}


@pytest.mark.parametrize("name", SMOOTH)
def test_without_noise_the_continuation_is_exact(name):
    context, target = windows(name, 12)
    assert error(name, "likelihood", context, target).max() < 1e-5
    assert error(name, "posterior", context[:3], target[:3]).max() < 1e-4


def test_without_noise_the_segment_under_way_is_continued_exactly():
    """Two segments of 0.8 s: the joint lies in the context, the last waypoint beyond the horizon."""
    rng = np.random.default_rng(0)
    paths = draw_robot_paths(rng, 6, waypoints=(3, 3), segment_duration=(0.8, 0.8))
    path = paths.position(np.broadcast_to(TIMES, (6, len(TIMES))))
    errors = error("robotic", "likelihood", path[:, :LENGTH], path[:, LENGTH:])
    assert errors.max() < 1e-4


@pytest.mark.parametrize("name", SMOOTH)
def test_errors_scale_with_noise(name):
    """Four times the same noise makes four times the error, as long as the noise is small."""
    small, large = (
        error(name, "likelihood", *windows(name, 8, noise=noise)).mean() for noise in (0.0005, 0.002)
    )
    assert large / small == pytest.approx(4.0, rel=0.15)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", [*SMOOTH, "robotic"])
def test_a_window_does_not_depend_on_its_batch_mates(name, flavour):
    context, _ = windows(name, 2, noise=0.02)
    oracle = get_oracle(name, flavour)
    together, alone = oracle.forecast(context, HORIZON, DT), oracle.forecast(context[1:], HORIZON, DT)
    assert np.abs(together[1] - alone[0]).max() < 1e-4


@pytest.mark.parametrize(("name", "gain"), [("helical", 0.6), ("lissajous", 0.95)])
def test_knowing_the_ranges_helps_where_the_context_says_little(name, gain):
    """Half the context at five times the noise."""
    context, target = windows(name, 40, noise=0.1)
    context = context[:, LENGTH // 2 :]
    posterior, likelihood = (error(name, flavour, context, target).mean() for flavour in FLAVOURS[::-1])
    assert posterior < gain * likelihood


def test_waypoints_to_come_are_averaged_over():
    context, target = windows("robotic", 6, noise=0.02)
    posterior = error("robotic", "posterior", context, target).mean()
    assert posterior < 0.75 * error("robotic", "likelihood", context, target).mean()
    assert posterior < 0.5 * np.linalg.norm(target - context[:, -1:], axis=2).mean()


def helix(parameters, times):
    """Another parametrisation than the oracle's: Euler angles. Complex parameters allowed."""
    a, b, c, radius, rate, advance = parameters[:6]
    turn_z = lambda s: np.array([[np.cos(s), -np.sin(s), 0], [np.sin(s), np.cos(s), 0], [0, 0, 1]])  # noqa: E731
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    local = np.stack([radius * np.cos(rate * times), radius * np.sin(rate * times), advance * times])
    return (turn_z(a) @ turn_x @ turn_z(c) @ local).T + parameters[6:]


def test_helix_errors_meet_the_cramer_rao_bound():
    """Expected squared error of an efficient estimate: noise^2 trace(G (J^T J)^-1 G^T)."""
    parameters = np.array([0.4, 1.1, -0.7, 2.0, 2.4, 0.3, 0.1, -0.2, 0.3])
    noise, count = 0.002, 200
    path = helix(parameters, TIMES)
    steps = 1e-20j * np.eye(9)
    slopes = np.stack([helix(parameters + s, TIMES).imag / 1e-20 for s in steps], axis=-1)  # [T, 3, 9]
    past, future = slopes[:LENGTH].reshape(-1, 9), slopes[LENGTH:].reshape(-1, 9)
    bound = noise**2 * np.trace(future @ np.linalg.inv(past.T @ past) @ future.T) / HORIZON
    rng = np.random.default_rng(3)
    context = path[:LENGTH] + noise * rng.standard_normal((count, LENGTH, 3))
    mean = get_oracle("helical", "likelihood").forecast(context, HORIZON, DT)
    square = np.square(mean - path[LENGTH:]).sum(axis=2).mean()
    assert square / bound == pytest.approx(1.0, abs=0.15)


def test_options_of_the_motion_reach_the_oracle():
    """An orbit about another mass is continued only by who knows the mass."""
    context, target = windows("orbital", 8, mu=20.0)
    assert error("orbital", "likelihood", context, target, mu=20.0).max() < 1e-5
    assert error("orbital", "likelihood", context, target).mean() > 0.01


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("helical", {"centre": (-1.0, 1.0), "turns": (3.0, 3.0)}),
        ("orbital", {"eccentricity": (0.0, 0.0)}),
        ("lissajous", {"frequency_ratio": (0.5, 2.0)}),
        ("lorenz", {"rho": (28.0, 28.0), "time_scale": 0.5}),
        ("robotic", {"dwell": 0.2}),
    ],
)
def test_the_posterior_takes_other_ranges_and_single_values(name, options):
    context, target = windows(name, 4 if name == "robotic" else 8, noise=0.02, **options)
    posterior, likelihood = (error(name, flavour, context, target, **options) for flavour in FLAVOURS[::-1])
    assert posterior.mean() < 1.25 * likelihood.mean()


@pytest.mark.parametrize("name", SMOOTH)
def test_long_and_short_contexts(name):
    times = np.arange(316) * DT
    path = get_motion(name)(np.random.default_rng(5), 4, times)
    oracle = get_oracle(name, "likelihood")
    long = oracle.forecast(path[:, :300], HORIZON, DT)
    assert np.abs(long - path[:, 300:]).max() < 1e-4
    short = oracle.forecast(path[:, :12], 4, DT)
    assert np.abs(short - path[:, 12:16]).max() < 1e-2


@pytest.mark.parametrize("name", [*SMOOTH, "robotic"])
def test_paths_of_another_kind_get_finite_forecasts(name):
    """A point at rest, at the origin and away from it, and a straight line far off."""
    rest = np.zeros((LENGTH, 3))
    line = np.linspace(50.0, 90.0, LENGTH)[:, None] * np.array([1.0, -2.0, 0.5])
    context = np.stack([rest, rest + 1.0, line])
    for flavour in FLAVOURS if name != "lorenz" else FLAVOURS[:1]:
        assert np.isfinite(get_oracle(name, flavour).forecast(context, HORIZON, DT)).all()


def test_what_an_oracle_refuses():
    oracle = get_oracle("orbital")
    good = windows("orbital", 2)[0]
    with pytest.raises(ValueError, match=r"shape \[B, L, 3\] with L >= 5"):
        oracle.forecast(good[:, :4], HORIZON, DT)
    with pytest.raises(ValueError, match="horizon"):
        oracle.forecast(good, 0, DT)
    with pytest.raises(ValueError, match="dt"):
        oracle.forecast(good, 1, 0.0)
    good[1, 3, 0] = np.nan
    with pytest.raises(ValueError, match="window 1"):
        oracle.forecast(good, HORIZON, DT)
    assert oracle.forecast(good[:0], HORIZON, DT).shape == (0, HORIZON, 3)


def test_what_the_registry_refuses():
    with pytest.raises(ValueError, match="no oracle; types that have one: helical"):
        get_oracle("mine")
    with pytest.raises(ValueError, match="did you mean 'mu'"):
        get_oracle("orbital", options={"mou": 1.0})
    with pytest.raises(ValueError, match="unknown flavour"):
        get_oracle("orbital", "best")
    with pytest.raises(ValueError, match="has an oracle already"):
        register_oracle("orbital", lambda options, flavour: get_oracle("orbital"))
