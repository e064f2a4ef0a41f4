"""Uniform pieces against closed forms: exact where they must be, and never across a gap."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recordings.resampling import native_step, uniform_pieces
from examples.trajectory_3d.recordings.trajectory import Trajectory


def sine(times, amplitude=1.0, rate=1.0):
    return amplitude * np.stack([np.sin(rate * times), np.cos(rate * times), 0.2 * times], axis=1)


def test_an_even_track_stays_as_measured():
    times = np.arange(500) / 100
    track = Trajectory(times, sine(times), unit="m", track="a", source="f.csv")
    (piece,) = uniform_pieces(track)
    np.testing.assert_array_equal(piece.points, track.points)
    assert piece.measured.all()
    assert piece.rate == pytest.approx(100)
    assert (piece.trajectory.track, piece.trajectory.unit, len(piece.trajectory)) == ("a", "m", 0)


def test_steps_that_agree_to_one_percent_stay_as_measured():
    rng = np.random.default_rng(0)
    times = np.concatenate([[0], np.cumsum(0.01 * rng.uniform(0.992, 1.008, 999))])
    (piece,) = uniform_pieces(Trajectory(times, sine(times)))
    assert piece.measured.all()
    assert piece.step == pytest.approx(times[-1] / 999)


def test_stamps_in_whole_milliseconds_do_not_bend_the_rate():
    times = np.round(np.arange(1200) / 120, 3)
    assert native_step(times) == pytest.approx(1 / 120, rel=1e-4)


@pytest.mark.parametrize("method", ["linear", "cubic"])
@pytest.mark.parametrize("rate", [None, 3.0, 10.0, 77.7])
def test_linear_motion_is_resampled_exactly(method, rate):
    rng = np.random.default_rng(1)
    times = np.concatenate([[0], np.cumsum(rng.uniform(0.06, 0.14, 300))])
    velocity = np.array([3.0, -1.0, 0.25])
    (piece,) = uniform_pieces(Trajectory(times, times[:, None] * velocity), rate=rate, method=method)
    np.testing.assert_allclose(
        piece.points, piece.times[:, None] * velocity, atol=1e-12 + 0.01 * piece.step * 3
    )
    off = ~piece.measured
    np.testing.assert_allclose(piece.points[off], piece.times[off, None] * velocity, atol=1e-11)


def test_errors_of_a_sine_are_within_their_bounds():
    step = 0.1
    times = np.arange(400) * step
    track = Trajectory(times, sine(times))
    for method, bound in (("linear", step**2 / 8), ("cubic", 5 / 384 * step**4)):
        (piece,) = uniform_pieces(track, rate=37.0, method=method)
        inner = (piece.times > 0.3) & (piece.times < times[-1] - 0.3) & ~piece.measured
        error = np.abs(piece.points - sine(piece.times))[inner].max()
        assert error <= bound * 1.01, (method, error)
    uneven = np.sort(np.concatenate([times, times[10::40] + 0.02]))  # no place for a C2 spline
    errors = {}
    for method in ("linear", "cubic"):
        (piece,) = uniform_pieces(Trajectory(uneven, sine(uneven)), rate=37.0, method=method)
        errors[method] = np.abs(piece.points - sine(piece.times))[~piece.measured].max()
    assert errors["cubic"] < 0.5 * errors["linear"]
    halved = Trajectory(times[::2], sine(times[::2]))
    (coarse,) = uniform_pieces(halved, rate=37.0, method="linear")
    assert np.abs(coarse.points - sine(coarse.times)).max() <= (2 * step) ** 2 / 8 * 1.01


def test_cubic_does_not_overshoot_at_repeated_samples():
    values = np.repeat([0.0, 1.0, 1.0, 0.0, 2.0], 4)
    times = np.arange(len(values)) * 0.1
    track = Trajectory(times, values[:, None], names=("x",))
    (piece,) = uniform_pieces(track, rate=200.0, method="cubic")
    assert piece.points.min() >= -1e-12
    assert piece.points.max() <= 2 + 1e-12


def test_nothing_is_interpolated_across_a_gap():
    times = np.concatenate([np.arange(100), np.arange(103.5, 200), np.arange(202, 250)]) * 0.1
    track = Trajectory(times, sine(times))
    pieces = uniform_pieces(track)
    assert [len(piece) for piece in pieces] == [100, 146]  # 4.5 steps are a gap, 2.5 are bridged
    assert not pieces[1].measured.all()
    assert len(uniform_pieces(track, longest_gap=0.2)) == 3
    assert len(uniform_pieces(track, longest_gap=0.5)) == 1
    for piece in uniform_pieces(track, rate=50.0, longest_gap=0.2):
        distance = np.abs(piece.times[:, None] - times).min(axis=1)
        assert distance.max() <= 0.05 + 1e-9


def test_pieces_begin_where_asked():
    times = np.arange(100) * 0.1
    pieces = uniform_pieces(Trajectory(times, sine(times)), split_at=np.array([40]))
    assert [len(piece) for piece in pieces] == [40, 60]
    assert pieces[1].start == pytest.approx(4.0)


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_a_far_origin_costs_no_digits(method):
    rng = np.random.default_rng(2)
    times = np.concatenate([[0], np.cumsum(rng.uniform(0.05, 0.12, 200))])
    near = Trajectory(times, np.round(sine(times) * 2**20) / 2**20)  # exact at both places
    far = replace(near, points=near.points + 7.0e6)
    (a,), (b,) = (uniform_pieces(each, rate=25.0, method=method) for each in (near, far))
    np.testing.assert_allclose(b.points - 7.0e6, a.points, atol=2 * np.spacing(7.0e6))


def test_further_columns_keep_their_missing_values_to_themselves():
    times = np.arange(50) * 0.1
    speed = np.ones(50)
    speed[20] = np.nan
    track = Trajectory(times, np.column_stack([sine(times), speed]), names=("x", "y", "z", "speed"))
    (piece,) = uniform_pieces(track, rate=23.0, method="cubic")
    assert np.isfinite(piece.points[:, :3]).all()
    missing = np.isnan(piece.points[:, 3])
    assert missing.any()
    assert (np.abs(piece.times[missing] - 2.0) < 0.1).all()


def test_smoothing_is_off_unless_asked_and_keeps_cubics():
    rng = np.random.default_rng(3)
    times = np.arange(2000) * 0.01
    noisy = Trajectory(times, sine(times) + 0.01 * rng.standard_normal((2000, 3)))
    (plain,) = uniform_pieces(noisy)
    np.testing.assert_array_equal(plain.points, noisy.points)
    (smooth,) = uniform_pieces(noisy, smooth=0.3)
    error = np.std((smooth.points - sine(times))[50:-50])
    # White noise through a cubic Savitzky-Golay filter of 31 points keeps sqrt(c0) of itself, where c0 is the
    # middle coefficient 3 (3 m^2 + 3 m - 1) / ((2 m - 1) (2 m + 1) (2 m + 3)), m = 15.
    expected = 0.01 * np.sqrt(3 * (3 * 15**2 + 45 - 1) / (29 * 31 * 33))
    assert error == pytest.approx(expected, rel=0.1)
    assert not smooth.measured.any()
    cubic = Trajectory(times, (times**3)[:, None], names=("x",))
    (kept,) = uniform_pieces(cubic, smooth=0.5)
    np.testing.assert_allclose(kept.points[:, 0], times**3, atol=1e-8)


def test_smoothing_takes_away_what_a_lower_rate_would_fold_down():
    times = np.arange(4000) * 0.01
    fast = Trajectory(times, np.sin(2 * np.pi * 24.0 * times)[:, None], names=("x",))  # 24 Hz, read at 5 Hz
    (folded,) = uniform_pieces(fast, rate=5.0)
    (clean,) = uniform_pieces(fast, rate=5.0, smooth=0.4)
    assert np.std(folded.points) > 0.5
    assert np.std(clean.points[3:-3]) < 0.15


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0.0},
        {"rate": float("nan")},
        {"longest_gap": -1.0},
        {"smooth": float("inf")},
        {"method": "sinc"},
    ],
)
def test_wrong_arguments_are_refused(change):
    times = np.arange(10.0)
    with pytest.raises(ValueError, match="must be"):
        uniform_pieces(Trajectory(times, sine(times)), **change)


def test_what_was_not_mended_is_refused():
    with pytest.raises(ValueError, match="mend it first"):
        uniform_pieces(Trajectory(np.array([0.0, 1.0, 1.0]), np.zeros((3, 3))))
    with pytest.raises(ValueError, match="mend it first"):
        uniform_pieces(Trajectory(np.arange(3.0), np.full((3, 3), np.nan)))
    assert uniform_pieces(Trajectory(np.zeros(1), np.zeros((1, 3)))) == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0.01, 2.0), min_size=1, max_size=60),
    st.none() | st.floats(0.2, 30.0),
    st.none() | st.floats(0.05, 3.0),
    st.sampled_from(["linear", "cubic"]),
)
def test_pieces_stay_inside_what_was_measured(steps, rate, gap, method):
    times = np.concatenate([[0.0], np.cumsum(steps)])
    track = Trajectory(times, sine(times))
    pieces = uniform_pieces(track, rate=rate, longest_gap=gap, method=method)
    limit = 3 * native_step(times) if gap is None else gap
    for piece in pieces:
        assert len(piece) > 1
        assert times[0] <= piece.times[0]
        assert piece.times[-1] <= times[-1] + 0.011 * piece.step
        after = np.clip(np.searchsorted(times, piece.times), 1, len(times) - 1)
        inside = ~piece.measured
        assert (times[after] - times[after - 1])[inside].max(initial=0.0) <= limit * (1 + 1e-6)
        assert np.isfinite(piece.points).all()
    for first, second in pairwise(pieces):
        assert first.times[-1] < second.times[0]
