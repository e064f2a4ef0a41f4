"""Summaries against closed forms, and the streamed ones against those in memory."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recordings.noise import ORDERS, differences, noise_of
from examples.trajectory_3d.recordings.quantiles import Quantiles
from examples.trajectory_3d.recordings.stream_summary import StreamedFile
from examples.trajectory_3d.recordings.summary import summarise
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory


def circle(count, step=0.01, noise=0.0, seed=0):
    times = np.round(np.arange(count) * step * NANOSECONDS) / NANOSECONDS
    points = np.stack([2 * np.cos(times), 2 * np.sin(times), 0.5 * times], axis=1)
    points += noise * np.random.default_rng(seed).standard_normal(points.shape)
    return Trajectory(times, points, unit="m", source="c.csv", track="c")


def streamed(track, size):
    file = StreamedFile()
    for start in range(0, len(track), size):
        part = track.take(slice(start, start + size))
        shift = round(float(part.times[0]) * NANOSECONDS)  # each piece counts from its own first stamp
        times = np.round((part.times - part.times[0]) * NANOSECONDS) / NANOSECONDS
        file.add([replace(part, times=times, start_ns=track.start_ns + shift)])
    (only,) = file.tracks.values()
    return only


def test_a_circle_in_numbers():
    summary = summarise(circle(2000))
    assert (summary.samples, summary.usable, summary.gaps, summary.longest_gap) == (2000, 2000, 0, 0.0)
    assert summary.rate == pytest.approx(100)
    assert summary.duration == pytest.approx(19.99)
    assert summary.extent == pytest.approx((4.0, 4.0, 0.5 * 19.99), rel=1e-4)
    assert summary.speed == pytest.approx([np.hypot(2, 0.5)] * 3, rel=1e-4)
    assert summary.jitter == pytest.approx(0, abs=1e-6)
    assert summary.total_noise < 1e-5
    assert summary.resolution == (None, None, None)


@pytest.mark.parametrize("noise", [1e-4, 3e-3])
def test_noise_is_measured(noise):
    summary = summarise(circle(5000, noise=noise))
    assert summary.noise == pytest.approx([noise] * 3, rel=0.06)
    assert summary.total_noise == pytest.approx(noise * np.sqrt(3), rel=0.05)


def test_noise_of_white_noise_and_of_polynomials():
    values = np.random.default_rng(1).standard_normal((50_000, 2))
    even = np.arange(50_000.0)
    uneven = np.cumsum(np.random.default_rng(2).uniform(0.2, 1.8, 50_000))
    for times in (even, uneven):
        for order in ORDERS:
            scaled = differences(times, values, order)
            assert np.std(scaled, axis=0) == pytest.approx([1.0, 1.0], rel=0.03)
            curve = (times[:100, None] / 50 - 1) ** (order - 1)
            np.testing.assert_allclose(differences(times[:100], curve, order), 0, atol=1e-12)
        assert noise_of(times, values) == pytest.approx([1.0, 1.0], rel=0.05)
    first = values[3] - 3 * values[2] + 3 * values[1] - values[0]
    np.testing.assert_allclose(differences(even, values, 3)[0], -first / np.sqrt(20))
    assert np.isnan(noise_of(even[:8], values[:8])).all()


def test_noise_of_an_orbit_is_not_its_bends():
    times = np.arange(0, 86_400, 900.0)  # 48 samples a turn, as precise orbits of navigation satellites have
    angle = 2 * np.pi * times / 43_200
    orbit = 26_560 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert noise_of(times, orbit).max() < 0.2
    noisy = orbit + np.random.default_rng(0).normal(0, 5, orbit.shape)
    assert noise_of(times, noisy) == pytest.approx([5, 5], rel=0.4)


def test_noise_is_blind_to_outliers_jumps_and_gaps():
    track = circle(4000, noise=1e-3)
    track.points[500::400] += 50.0
    track.points[2000:] += 7.0
    gappy = track.take(np.concatenate([np.arange(1000), np.arange(1300, 4000)]))
    assert summarise(gappy).noise == pytest.approx([1e-3] * 3, rel=0.08)


def test_tracks_of_one_sample_or_none():
    one = summarise(circle(1))
    assert (one.samples, one.duration, one.gaps) == (1, 0.0, 0)
    assert np.isnan([one.step, one.speed[0], one.jitter, *one.noise]).all()
    none = summarise(replace(circle(3), points=np.full((3, 3), np.nan)))
    assert (none.samples, none.usable) == (3, 0)


def test_a_short_stream_equals_the_summary_in_memory():
    track = circle(3000, noise=1e-3)
    order = np.concatenate([np.arange(1000, 2000), np.arange(1000), np.arange(2000, 3000)])
    shuffled = track.take(order)
    assert streamed(shuffled, 700).summary() == replace(
        summarise(shuffled), start_ns=summarise(shuffled).start_ns
    )


@pytest.mark.parametrize("size", [997, 20_000, 100_000])
def test_a_long_stream_agrees_with_the_summary_in_memory(size):
    rng = np.random.default_rng(4)
    track = circle(60_000, noise=1e-3)
    keep = np.ones(60_000, dtype=bool)
    for start in rng.integers(1000, 59_000, 5):
        keep[start : start + 40] = False
    keep[rng.integers(1, 60_000, 300)] = False
    track = track.take(keep)
    track.points[rng.integers(0, len(track), 200)] = np.nan
    whole, pieces = summarise(track), streamed(track, size).summary()
    for name in ("samples", "usable", "duration", "low", "high", "gaps", "start_ns", "names", "unit"):
        assert getattr(pieces, name) == getattr(whole, name), name
    assert pieces.longest_gap == pytest.approx(whole.longest_gap, abs=1e-9)
    assert pieces.step == pytest.approx(whole.step, rel=1e-3)
    assert pieces.speed[:2] == pytest.approx(whole.speed[:2], rel=2e-3)
    assert pieces.speed[2] == pytest.approx(whole.speed[2], rel=1e-6)
    assert pieces.noise == pytest.approx(whole.noise, rel=0.05)
    kinds = {each.kind: each.count for each in whole.findings}
    streamed_kinds = {each.kind: each.count for each in pieces.findings}
    assert streamed_kinds["lost"] == kinds["lost"]
    assert streamed_kinds["gap"] == kinds["gap"]
    assert pieces.examined < whole.examined


def test_disorder_in_a_stream_is_counted():
    track = circle(40_000)
    rows = np.arange(40_000)
    rows[[20_000, 20_001]] = rows[[20_001, 20_000]]
    doubled = track.take(np.insert(rows, 30_000, rows[29_999]))
    found = {each.kind: each for each in streamed(doubled, 15_000).summary().findings}
    assert (found["order"].count, found["order"].sample) == (1, 20_001)
    assert (found["repeated rows"].count, found["repeated rows"].sample) == (1, 30_000)


def test_tracks_that_take_turns_and_pieces_that_do_not_fit():
    file = StreamedFile()
    first = circle(100)
    for start in range(0, 100, 10):
        file.add([replace(first.take(slice(start, start + 10)), track=name) for name in "ab"])
    assert [each.summary().samples for each in file.tracks.values()] == [100, 100]
    with pytest.raises(ValueError, match="unit change from m to km"):
        file.add([replace(first, track="a", unit="km")])


def test_the_overview_of_a_stream_spans_all_of_it():
    track = circle(50_000)
    overview = streamed(track, 9000).overview()
    assert 2000 < len(overview) <= 4096
    np.testing.assert_allclose(overview.times, track.times[:: round(50_000 / len(overview))], atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([10, 5000, 16_384, 16_385, 60_000]),
    st.sampled_from([100, 7000, 10**6]),
    st.floats(0, 0.9),
)
def test_quantiles_of_a_stream(seed, count, size, zeros):
    rng = np.random.default_rng(seed)
    values = np.exp(rng.normal(0, rng.uniform(0.01, 8), count)) * (rng.random(count) >= zeros)
    quantiles = Quantiles()
    for start in range(0, count, size):
        quantiles.add(values[start : start + size])
    assert (quantiles.count, quantiles.least, quantiles.greatest) == (count, values.min(), values.max())
    for share in (0.0, 0.05, 0.5, 0.99, 1.0):
        # The histogram knows no interpolation between ranks: it must lie between the two neighbours.
        low, high = (np.quantile(values, share, method=method) for method in ("lower", "higher"))
        assert low * (1 - 2e-3) <= quantiles.quantile(share) <= high * (1 + 2e-3)
    limit = float(np.median(values)) or 1.0
    low, high = (int((values > limit * factor).sum()) for factor in (1.0021, 0.9979))
    assert low <= quantiles.above(limit) <= high
    sample = quantiles.sample()
    assert np.mean(sample == 0) == pytest.approx(np.mean(values == 0), abs=0.02)
