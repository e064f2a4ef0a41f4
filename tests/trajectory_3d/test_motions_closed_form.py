"""Helices and Lissajous curves against what defines them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.motions import helical, lissajous

STEP = 1e-3
TIMES = np.arange(1600) * STEP


def derivatives(path, step):
    """First three central differences of [N, T, 3], at the inner points."""
    first = (path[:, 2:] - path[:, :-2]) / (2 * step)
    second = (path[:, 2:] - 2 * path[:, 1:-1] + path[:, :-2]) / step**2
    third = (second[:, 2:] - second[:, :-2]) / (2 * step)
    return first[:, 1:-1], second[:, 1:-1], third


def fixed(value):
    return (value, value)


@pytest.mark.parametrize("any_axis", [True, False])
def test_helix_has_the_curvature_torsion_and_speed_of_its_radius_and_pitch(any_axis):
    radius, pitch, turns, duration = 2.0, 0.7, 5.0, 8.0
    path = helical(
        np.random.default_rng(0),
        12,
        TIMES,
        radius=fixed(radius),
        pitch=fixed(pitch),
        turns=fixed(turns),
        duration=duration,
        any_axis=any_axis,
    )
    velocity, acceleration, jerk = derivatives(path, STEP)
    binormal = np.cross(velocity, acceleration)
    speed = np.linalg.norm(velocity, axis=2)
    size = np.linalg.norm(binormal, axis=2)
    rise = pitch / (2 * np.pi)
    rate = 2 * np.pi * turns / duration
    np.testing.assert_allclose(speed, rate * np.hypot(radius, rise), rtol=1e-5)
    np.testing.assert_allclose(size / speed**3, radius / (radius**2 + rise**2), rtol=1e-4)
    torsion = (binormal * jerk).sum(axis=2) / size**2
    np.testing.assert_allclose(np.abs(torsion).mean(axis=1), rise / (radius**2 + rise**2), rtol=1e-3)
    handed = np.sign(torsion.mean(axis=1))
    assert {-1.0, 1.0} == set(handed)


def test_helix_keeps_its_radius_and_advances_its_pitch_along_z():
    times = np.arange(0, 1001) / 100.0  # exactly the whole motion
    path = helical(
        np.random.default_rng(1),
        8,
        times,
        radius=fixed(1.5),
        pitch=fixed(0.4),
        turns=fixed(5.0),
        any_axis=False,
        centre=fixed(2.0),
    )
    np.testing.assert_allclose(np.hypot(path[..., 0] - 2.0, path[..., 1] - 2.0), 1.5, atol=1e-12)
    np.testing.assert_allclose(path[:, 200:, 2] - path[:, :-200, 2], 0.4, atol=1e-12)  # one turn is 2 s
    np.testing.assert_allclose(path[..., 2].mean(axis=1), 2.0, atol=1e-12)


def test_helix_axes_point_everywhere():
    path = helical(np.random.default_rng(2), 400, TIMES[::40])
    velocity, acceleration, _ = derivatives(path, STEP * 40)
    normals = np.cross(velocity, acceleration)[:, 0]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    np.testing.assert_allclose((normals**2).mean(axis=0), 1 / 3, atol=0.06)


def test_helix_window_is_a_part_of_the_whole_motion():
    # Two turns in 10 s: a 1.6 s window must cover less than half a turn but more than a third of a metre.
    path = helical(np.random.default_rng(3), 100, TIMES, turns=fixed(2.0))
    travelled = np.linalg.norm(np.diff(path, axis=1), axis=2).sum(axis=1)
    assert travelled.min() > 1.9
    assert travelled.max() < np.pi * 3.0


@given(
    seed=st.integers(0, 2**32),
    base=st.floats(0.1, 1.0),
    low=st.floats(1.0, 2.0),
    width=st.floats(0.0, 2.0),
)
@settings(max_examples=25, deadline=None)
def test_lissajous_axes_are_harmonic(seed, base, low, width):
    """x'' = -(2 pi f r)^2 x with one r of 1, the others in range, and amplitudes in range."""
    step = 0.01
    path = lissajous(
        np.random.default_rng(seed),
        4,
        np.arange(400) * step,
        base_frequency=fixed(base),
        frequency_ratio=(low, low + width),
    )
    # cos(w h) from x(t+h) + x(t-h) = 2 cos(w h) x(t), by least squares per axis.
    middle, neighbours = path[:, 1:-1], path[:, 2:] + path[:, :-2]
    cosine = (neighbours * middle).sum(axis=1) / (2 * (middle**2).sum(axis=1))
    np.testing.assert_allclose(neighbours, 2 * cosine[:, None] * middle, atol=1e-12)
    rate = np.arccos(cosine) / step
    ratios = rate / (2 * np.pi * base)
    assert (np.abs(ratios - 1.0).min(axis=1) < 1e-6).all()
    assert ratios.max() < low + width + 1e-6
    velocity = (path[:, 2:] - path[:, :-2]) / (2 * np.sin(rate * step)[:, None])  # exact x' / w
    amplitude = np.sqrt(middle**2 + velocity**2)
    np.testing.assert_allclose(amplitude, amplitude[:, :1].repeat(amplitude.shape[1], 1), atol=1e-9)
    assert amplitude.min() > 1.0 - 1e-9
    assert amplitude.max() < 3.0 + 1e-9


def test_integer_ratios_close_the_curve():
    times = np.arange(0, 801) / 200.0  # 4 s = one base period at 0.25 Hz
    closed = lissajous(np.random.default_rng(0), 30, times, base_frequency=fixed(0.25), integer_ratios=True)
    open_ = lissajous(np.random.default_rng(0), 30, times, base_frequency=fixed(0.25))
    np.testing.assert_allclose(closed[:, 0], closed[:, -1], atol=1e-12)
    assert np.median(np.abs(open_[:, 0] - open_[:, -1]).max(axis=1)) > 0.1
