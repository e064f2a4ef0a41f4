"""Random harmonics, splines, oscillators, vector fields and throws against what defines them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.interpolate import BSpline

from examples.trajectory_3d.motions import (
    ballistic,
    get_motion,
    harmonics,
    motion_options,
    oscillators,
    splines,
    vector_fields,
)
from examples.trajectory_3d.motions.oscillators import free_oscillation
from examples.trajectory_3d.motions.ranges import chosen, log_uniform, whole_range
from examples.trajectory_3d.motions.registry import takes_own_times
from examples.trajectory_3d.motions.splines import evaluate_splines
from examples.trajectory_3d.motions.vector_fields import draw_waves

TYPES = ("harmonics", "splines", "oscillators", "vector_fields", "ballistic", "chaotic")
TIMES = np.arange(40) / 50.0


def fixed(value):
    return (value, value)


@pytest.mark.parametrize("name", [*TYPES, "random_forces", "legs"])
@pytest.mark.parametrize("bad", [(3.0, 1.0), (1.0,), "wide", (0.0, float("nan")), None])
def test_bad_ranges_are_refused_by_name(name, bad):
    options = motion_options(name)
    ranges = [key for key, value in options.items() if isinstance(value, tuple) and key != "systems"]
    assert ranges
    for option in ranges:
        with pytest.raises(ValueError, match=option):
            get_motion(name)(np.random.default_rng(0), 2, TIMES, **{option: bad})


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("harmonics", "components", (0, 3)),
        ("harmonics", "components", (1.5, 3)),
        ("harmonics", "joint_share", 1.2),
        ("harmonics", "frequency", (0.0, 1.0)),
        ("splines", "quintic_share", True),
        ("splines", "spacing", (-1.0, 1.0)),
        ("oscillators", "damping", (-0.1, 0.1)),
        ("oscillators", "driven_share", "all"),
        ("vector_fields", "features", (1, 4)),
        ("vector_fields", "tolerance", 1.0),
        ("ballistic", "gravity", 0.0),
        ("ballistic", "terminal_speed", (0.0, 3.0)),
        ("random_forces", "derivative", (0, 3)),
        ("random_forces", "derivative", (0.5, 1)),
        ("random_forces", "correlation_time", (0.0, 1.0)),
        ("legs", "straight_share", 1.5),
        ("legs", "stop_share", True),
        ("legs", "climb", (-0.1, 0.1)),
    ],
)
def test_bad_values_are_refused_by_name(name, option, value):
    with pytest.raises(ValueError, match=option):
        get_motion(name)(np.random.default_rng(0), 2, TIMES, **{option: value})


@pytest.mark.parametrize("name", [name for name in TYPES if takes_own_times(name)])
def test_own_times_are_the_same_motion_at_another_rate(name):
    factors = np.array([[1.0], [0.5], [2.0]])
    varied = get_motion(name)(np.random.default_rng(7), 3, TIMES * factors)
    plain = get_motion(name)(np.random.default_rng(7), 3, TIMES)
    np.testing.assert_allclose(varied[0], plain[0], atol=1e-6)
    np.testing.assert_allclose(varied[1, ::2], plain[1, :20], atol=1e-4)
    np.testing.assert_allclose(varied[2, :20], plain[2, ::2], atol=1e-4)


def test_log_uniform_has_uniform_logarithms():
    values = log_uniform(np.random.default_rng(0), "x", (0.01, 100.0), 40_000)
    shares, _ = np.histogram(np.log10(values), bins=8, range=(-2.0, 2.0))
    np.testing.assert_allclose(shares / 40_000, 1 / 8, atol=0.008)
    assert chosen(np.random.default_rng(0), "x", 0.3, 40_000).mean() == pytest.approx(0.3, abs=0.01)
    assert whole_range("x", [2, 5], minimum=1) == (2, 5)


# Harmonics


def test_a_single_harmonic_solves_the_oscillator_equation():
    step = 0.01
    options = {"components": (1, 1), "frequency": fixed(0.7), "drift": fixed(0.0)}
    path = harmonics(np.random.default_rng(0), 20, np.arange(300) * step, **options)
    cosine = 2 * np.cos(2 * np.pi * 0.7 * step)
    np.testing.assert_allclose(path[:, 2:] + path[:, :-2], cosine * path[:, 1:-1], atol=1e-12)


def test_joint_windows_have_one_frequency_and_others_three():
    """Of one sine per axis, x(t + h) + x(t - h) = 2 cos(w h) x(t) gives w."""
    step = 0.01
    times = np.arange(200) * step
    options = {"components": (1, 1), "drift": fixed(0.0)}

    def rates(share):
        path = harmonics(np.random.default_rng(1), 50, times, joint_share=share, **options)
        middle, neighbours = path[:, 1:-1], path[:, 2:] + path[:, :-2]
        return np.arccos((neighbours * middle).sum(axis=1) / (2 * (middle**2).sum(axis=1))) / step

    joint, apart = rates(1.0), rates(0.0)
    np.testing.assert_allclose(joint, joint[:, :1].repeat(3, axis=1), rtol=1e-7)
    assert (np.abs(np.diff(apart, axis=1)) > 1e-6).all()
    assert 0.1 < apart.min() / (2 * np.pi) < 0.2
    assert 2.0 < apart.max() / (2 * np.pi) < 2.5


def test_spectrum_falls_with_twice_the_decay():
    times = np.arange(2**12) / 25.0
    options = {"components": (20, 20), "frequency": (0.1, 10.0), "drift": fixed(0.0), "decay": fixed(1.0)}
    path = harmonics(np.random.default_rng(2), 100, times, **options)
    power = (np.abs(np.fft.rfft(path * np.hanning(len(times))[:, None], axis=1)) ** 2).mean(axis=(0, 2))
    hertz = np.fft.rfftfreq(len(times), 0.04)
    bands = np.geomspace(0.2, 8.0, 9)
    # As many sines in every octave, so power per octave falls as f^-2.
    octave = [power[(hertz >= low) & (hertz < high)].sum() for low, high in pairwise(bands)]
    slope = np.polyfit(np.log(np.sqrt(bands[1:] * bands[:-1])), np.log(octave), 1)[0]
    assert slope == pytest.approx(-2.0, abs=0.25)


def test_harmonics_have_the_size_and_drift_they_are_given():
    times = np.arange(5_000) / 10.0
    options = {"frequency": (0.5, 2.0), "size": fixed(2.0), "drift": fixed(0.0)}
    spread = harmonics(np.random.default_rng(3), 30, times, **options).std(axis=1)
    assert spread.max() == pytest.approx(2.0, rel=0.04)
    assert spread.min() == pytest.approx(0.4, rel=0.2)
    path = harmonics(np.random.default_rng(3), 30, times, **{**options, "drift": fixed(1.5)})
    speed = np.linalg.norm(path[:, -1] - path[:, 0], axis=1) / times[-1]
    np.testing.assert_allclose(speed, 1.5, rtol=0.01)


# Splines


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_splines_match_scipy(degree):
    rng = np.random.default_rng(0)
    knots = np.cumsum(rng.uniform(0.1, 1.0, size=(6, 20)), axis=1)
    knots -= knots[:, 8, None]
    control = rng.standard_normal((6, 20, 3))
    times = np.linspace(0.0, knots[:, 12].min(), 50)
    ours = evaluate_splines(knots, control, degree, times)
    for n in range(6):
        # scipy's control point i - p + j shapes interval i, ours one later: drop the first
        expected = BSpline(knots[n], control[n, 1 : 20 - degree], degree)(times)
        np.testing.assert_allclose(ours[n], expected, atol=1e-11)


def test_spline_windows_are_twice_continuously_differentiable():
    """Third differences of a C2 path over step h are O(h^3); a jump of acceleration would leave O(h^2)."""
    jumps = []
    for step in (2e-3, 1e-3):
        times = np.arange(round(1.0 / step)) * step
        path = splines(np.random.default_rng(1), 40, times, quintic_share=0.0)
        jumps.append(np.abs(np.diff(path, 3, axis=1)).max())
    assert jumps[0] / jumps[1] == pytest.approx(8.0, rel=0.1)


def test_quintic_windows_have_continuous_fourth_derivatives():
    jumps = []
    for step in (8e-3, 4e-3):
        times = np.arange(round(1.0 / step)) * step
        path = splines(np.random.default_rng(2), 40, times, quintic_share=1.0, spacing=fixed(0.4))
        jumps.append(np.abs(np.diff(path, 5, axis=1)).max())
    assert jumps[0] / jumps[1] == pytest.approx(32.0, rel=0.15)


def test_wandering_splines_go_further():
    times = np.arange(500) / 50.0
    stay, wander = (
        splines(np.random.default_rng(3), 200, times, wander_share=share, size=fixed(1.0))
        for share in (0.0, 1.0)
    )
    away = [np.linalg.norm(path[:, -1] - path[:, 0], axis=1).mean() for path in (stay, wander)]
    assert away[1] > 2 * away[0]
    assert np.abs(stay).max() < 5.0


@given(seed=st.integers(0, 2**32), length=st.integers(1, 60), spacing=st.floats(0.02, 2.0))
@settings(max_examples=30, deadline=None)
def test_splines_fit_any_window(seed, length, spacing):
    path = splines(
        np.random.default_rng(seed), 3, np.arange(length) / 50.0, spacing=fixed(spacing), size=fixed(1.0)
    )
    assert path.shape == (3, length, 3)
    assert np.isfinite(path).all()


# Oscillators


@pytest.mark.parametrize("damping", [0.0, 0.2, 0.999, 1.0, 1.0 + 1e-7, 1.5, 30.0])
def test_free_oscillation_matches_scipy(damping):
    times = np.linspace(0.0, 4.0, 30)
    rate = 3.0
    ours = free_oscillation(np.array([0.7]), np.array([-2.0]), np.array([rate]), np.array([damping]), times)[
        0
    ]
    expected = solve_ivp(
        lambda _, y: (y[1], -2 * damping * rate * y[1] - rate**2 * y[0]),
        (0.0, 4.0),
        (0.7, -2.0),
        method="Radau" if damping > 10 else "DOP853",
        rtol=1e-9,
        atol=1e-10,
        t_eval=times,
    ).y[0]
    np.testing.assert_allclose(ours, expected, atol=2e-6)


@pytest.mark.parametrize("damping", [0.0, 0.1, 1.0, 1.4])
def test_driven_oscillators_leave_a_pure_drive(damping):
    """x'' + 2 z w x' + w^2 x, by differences, is f cos(W t + phi): it obeys g'' = -W^2 g."""
    step = 1e-3
    w, drive = 2 * np.pi * 0.8, 2 * np.pi * 1.3
    options = {"frequency": fixed(0.8), "damping": fixed(damping), "drive_frequency": fixed(1.3)}
    path = oscillators(
        np.random.default_rng(0),
        10,
        np.arange(1500) * step,
        driven_share=1.0,
        drive_amplitude=fixed(0.5),
        **options,
    )
    x = path[:, 2:-2]
    velocity = (path[:, :-4] - 8 * path[:, 1:-3] + 8 * path[:, 3:-1] - path[:, 4:]) / (12 * step)
    acceleration = (-path[:, :-4] + 16 * path[:, 1:-3] - 30 * x + 16 * path[:, 3:-1] - path[:, 4:]) / (
        12 * step**2
    )
    force = acceleration + 2 * damping * w * velocity + w**2 * x
    amplitude = 0.5 * np.hypot(w**2 - drive**2, 2 * damping * w * drive)  # along each of three directions
    wave = np.exp(1j * drive * step * np.arange(force.shape[1]))
    fit = np.linalg.lstsq(
        np.stack([wave.real, wave.imag], axis=1), np.moveaxis(force, 1, 0).reshape(len(wave), -1)
    )
    cosines, sines = fit[0].reshape(2, 10, 3)
    rebuilt = cosines[:, None] * wave.real[:, None] + sines[:, None] * wave.imag[:, None]
    np.testing.assert_allclose(force, rebuilt, atol=1e-6 * amplitude)
    np.testing.assert_allclose((cosines**2 + sines**2).sum(axis=1), 3 * amplitude**2, rtol=1e-5)


def test_undriven_oscillators_without_damping_keep_their_energy():
    step, w = 1e-3, 2 * np.pi
    path = oscillators(
        np.random.default_rng(1),
        10,
        np.arange(800) * step,
        frequency=fixed(1.0),
        damping=fixed(0.0),
        driven_share=0.0,
    )
    velocity = (path[:, 2:] - path[:, :-2]) / (2 * np.sin(w * step) / w)  # exact for this frequency
    energy = (velocity**2 + w**2 * path[:, 1:-1] ** 2).sum(axis=2)
    np.testing.assert_allclose(energy, energy[:, :1].repeat(798, axis=1), rtol=1e-8)


# Vector fields


def one_field(seed, count, pull):
    counts = np.full(count, 8)
    return draw_waves(np.random.default_rng(seed), counts, 8, np.full(count, pull))


def test_unconfined_fields_are_free_of_divergence_and_of_unit_speed():
    field = one_field(0, 4000, 0.0)
    points = np.random.default_rng(1).normal(scale=3.0, size=(3, 4000))
    step = 1e-4
    divergence = 0.0
    for axis in range(3):
        shift = np.zeros((3, 1))
        shift[axis] = step
        divergence = divergence + (field(points + shift) - field(points - shift))[axis] / (2 * step)
    np.testing.assert_allclose(divergence, 0.0, atol=1e-6)
    assert (field(points) ** 2).sum(axis=0).mean() == pytest.approx(1.0, rel=0.05)


def test_confinement_pulls_back_at_any_strength_of_the_waves():
    """Where |x| > 3 (max |v| / c)^(1/3), the velocity points inward: nothing can leave for ever."""
    field = one_field(2, 500, 0.5)
    bound = np.sqrt((field.strengths**2).sum(axis=0)).sum(axis=0)  # largest possible wave speed
    direction = np.random.default_rng(3).standard_normal((3, 500))
    direction /= np.linalg.norm(direction, axis=0)
    points = direction * 3.0 * (1.01 * bound / 0.5) ** (1 / 3)
    assert ((field(points) * points).sum(axis=0) < 0.0).all()


def test_field_paths_match_dop853():
    seed, times = 4, np.arange(81) / 50.0
    options = {"length_scale": fixed(1.0), "speed": fixed(2.0), "confinement": fixed(0.7)}
    options |= {"features": fixed(6), "confined_share": 1.0}
    loose = vector_fields(np.random.default_rng(seed), 10, times, **options)
    tight = vector_fields(np.random.default_rng(seed), 10, times, tolerance=1e-10, **options)
    assert np.abs(loose - tight).max() < 1e-3
    # The field itself, drawn as the motion draws it after its four ranges and one share.
    rng = np.random.default_rng(seed)
    for _ in range(4):
        rng.uniform(size=10)
    rng.integers(6, 6, size=10, endpoint=True)
    field = draw_waves(rng, np.full(10, 6), 6, np.full(10, 0.7))
    for n in range(10):
        alone = field.select(np.array([n]))
        expected = solve_ivp(
            lambda _, y, alone=alone: 2.0 * alone(y[:, None])[:, 0],
            (0.0, 1.6),
            tight[n, 0],
            method="DOP853",
            rtol=1e-10,
            atol=1e-10,
            t_eval=times,
        ).y.T
        np.testing.assert_allclose(tight[n], expected, atol=1e-6)


def test_long_paths_in_fields_stay_finite():
    times = np.linspace(0.0, 60.0, 50)
    path = vector_fields(
        np.random.default_rng(5), 20, times, speed=fixed(2.0), length_scale=fixed(1.0), tolerance=1e-4
    )
    assert np.isfinite(path).all()
    reach = np.abs(path).max(axis=(1, 2))
    assert (reach < 2.0 * 60.0 * 3.0).all()


# Ballistic


def test_throws_without_air_are_parabolas():
    times = np.arange(60) / 50.0
    path = ballistic(np.random.default_rng(0), 20, times, terminal_speed=fixed(1e5), wind=fixed(0.0))
    acceleration = np.diff(path, 2, axis=1) * 50.0**2
    np.testing.assert_allclose(acceleration, np.broadcast_to([0, 0, -9.81], acceleration.shape), atol=1e-4)
    np.testing.assert_array_equal(path[:, 0], 0.0)


def test_a_fall_ends_at_the_terminal_speed_in_the_wind():
    """Long after the throw: carried by the wind, sinking at the terminal speed."""
    times = np.linspace(0.0, 12.0, 121)
    path = ballistic(np.random.default_rng(1), 20, times, terminal_speed=fixed(6.0), wind=fixed(3.0))
    velocity = (path[:, -1] - path[:, -2]) / 0.1
    np.testing.assert_allclose(velocity[:, 2], -6.0, atol=1e-3)
    np.testing.assert_allclose(np.hypot(velocity[:, 0], velocity[:, 1]), 3.0, atol=1e-2)


def test_drag_obeys_the_equation():
    step = 1e-2
    path = ballistic(np.random.default_rng(2), 30, np.arange(100) * step, wind=fixed(0.0))
    velocity = (path[:, :-4] - 8 * path[:, 1:-3] + 8 * path[:, 3:-1] - path[:, 4:]) / (12 * step)
    x = path[:, 2:-2]
    acceleration = (-path[:, :-4] + 16 * path[:, 1:-3] - 30 * x + 16 * path[:, 3:-1] - path[:, 4:]) / (
        12 * step**2
    )
    drag = acceleration + np.array([0.0, 0.0, 9.81])
    speed = np.linalg.norm(velocity, axis=2, keepdims=True)
    # Along the velocity, against it, and proportional to |v| v with one constant per window.
    constant = -(drag * velocity).sum(axis=(1, 2)) / (speed * velocity**2).sum(axis=(1, 2))
    np.testing.assert_allclose(drag, -constant[:, None, None] * speed * velocity, atol=0.05)
    terminal = np.sqrt(9.81 / constant)
    assert terminal.min() > 4.9
    assert terminal.max() < 101.0
