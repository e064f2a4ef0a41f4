"""Planted traps are found with the right counts, and mending gives what can be worked with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recordings.mending import Mended, MendOptions, mend
from examples.trajectory_3d.recordings.resampling import uniform_pieces
from examples.trajectory_3d.recordings.rounding import grid_step
from examples.trajectory_3d.recordings.summary import summarise
from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory

REAL = Path(__file__).parents[2] / "../shared/data/real/free"


def helix(count: int = 400, step: float = 0.1, noise: float = 1e-3, seed: int = 0) -> Trajectory:
    times = np.round(np.arange(count) * step * NANOSECONDS) / NANOSECONDS
    points = np.stack([10 * np.cos(0.5 * times), 10 * np.sin(0.5 * times), 0.8 * times], axis=1)
    points += noise * np.random.default_rng(seed).standard_normal(points.shape)
    return Trajectory(times, points, unit="m")


def found(mended: Mended) -> dict[str, tuple[int, int]]:
    return {each.kind: (each.count, each.sample) for each in mended.findings}


def test_a_clean_track_has_no_findings_and_stays():
    track = helix()
    mended = mend(track)
    assert mended.findings == ()
    np.testing.assert_array_equal(mended.trajectory.times, track.times)
    np.testing.assert_array_equal(mended.trajectory.points, track.points)
    np.testing.assert_array_equal(mended.rows, np.arange(400))


def test_rows_out_of_order_are_sorted():
    track = helix()
    order = np.concatenate([np.arange(100), np.arange(150, 400), np.arange(100, 150)])
    mended = mend(track.take(order))
    assert found(mended) == {"order": (50, 350)}
    np.testing.assert_array_equal(mended.trajectory.points, track.points)
    np.testing.assert_array_equal(mended.rows[100:150], np.arange(350, 400))


def test_repeated_stamps_keep_the_first_row():
    track = helix(100)
    rows = np.concatenate([np.arange(40), [39, 39], np.arange(40, 70), [69], np.arange(70, 100)])
    doubled = track.take(rows)
    doubled.points[72] += 5.0  # the second row of sample 69 says something else
    mended = mend(doubled)
    assert found(mended) == {"repeated rows": (2, 40), "conflicting rows": (1, 72)}
    np.testing.assert_array_equal(mended.trajectory.points, track.points)


def test_several_things_in_one_track_are_named_as_the_likely_reason():
    track = helix(100)
    other = replace(track, points=track.points + 3.0)
    both = Trajectory(
        np.repeat(track.times, 2), np.stack([track.points, other.points], axis=1).reshape(-1, 3), unit="m"
    )
    finding = next(each for each in mend(both).findings if each.kind == "conflicting rows")
    assert finding.count == 100
    assert "several things" in finding.text


def test_lost_samples_are_dropped_and_their_stretches_counted():
    track = helix()
    track.points[50:57, 1] = np.nan
    track.points[200] = np.inf
    mended = mend(track)
    assert found(mended)["lost"] == (8, 50)
    assert "2 stretches" in mended.findings[0].text
    assert "7 samples (0.8 s)" in mended.findings[0].text
    assert len(mended.trajectory) == 392


def test_further_columns_may_be_missing():
    track = helix(50)
    points = np.column_stack([track.points, np.full(50, np.nan)])
    mended = mend(replace(track, points=points, names=("x", "y", "z", "vx")))
    assert len(mended.trajectory) == 50
    assert mended.findings == ()


def test_a_track_without_any_position_is_left_empty():
    mended = mend(replace(helix(20), points=np.full((20, 3), np.nan)))
    assert len(mended.trajectory) == 0
    assert found(mended) == {"lost": (20, 0)}


def test_the_clock_counts_on_past_midnight():
    track = helix(4000, step=10.0)
    day = track.times + 70_000.0  # seconds of the day at the start
    wrapped = replace(track, times=day % 86400 - day[0] % 86400, start_ns=70_000 * NANOSECONDS)
    mended = mend(wrapped)
    assert found(mended)["rollover"] == (1, 1640)
    np.testing.assert_allclose(mended.trajectory.times, track.times, atol=1e-9)
    assert mended.trajectory.start_ns == 70_000 * NANOSECONDS


def test_two_hours_out_of_order_are_no_midnight():
    track = helix(7200, step=1.0)
    swapped = replace(track.take(np.roll(np.arange(7200), 3600)), start_ns=3600 * NANOSECONDS)
    assert "rollover" not in found(mend(swapped))
    assert found(mend(swapped))["order"] == (3600, 3600)


def test_gaps_jitter_and_missing_samples():
    track = helix(1000, step=0.02)
    keep = np.ones(1000, dtype=bool)
    keep[300:350] = keep[700:710] = False  # two gaps
    keep[500] = keep[520] = False  # two samples
    gappy = track.take(keep)
    mended = mend(gappy)
    assert found(mended) == {"missing samples": (2, 449), "gap": (2, 299)}
    assert "the longest of 1.02 s after 5.98 s" in str(mended.findings)
    times = track.times.copy()
    times[::10] += 0.006
    jittering = found(mend(replace(track, times=times)))
    assert jittering["jitter"] == (199, 0)


@pytest.mark.parametrize(("factor", "word"), [(1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanosec")])
def test_unix_stamps_in_other_units_than_seconds(factor, word):
    track = helix(60)
    wrong = replace(
        track, times=track.times * factor, start_ns=int(1.7e9 * factor) * NANOSECONDS, clock="utc"
    )
    finding = next(each for each in mend(wrong).findings if each.kind == "time unit")
    assert word in finding.text
    assert "2023" in finding.text


def test_elapsed_stamps_in_other_units_than_seconds():
    track = helix(60)
    slow = replace(track, times=np.rint(track.times * 1000))
    assert "milliseconds" in next(each.text for each in mend(slow).findings if each.kind == "time unit")
    fast = replace(track, times=track.times * 1e-6)
    assert "longer" in next(each.text for each in mend(fast).findings if each.kind == "time unit")
    assert "time unit" not in found(mend(track))


@pytest.mark.parametrize("offset", [0.0, 5.4e6])
@pytest.mark.parametrize("grid", [0.01, 0.25, 7.62, 1e-3])
def test_rounding_is_measured_whatever_the_offset(grid, offset):
    values = np.random.default_rng(3).normal(offset, 40 * grid, 300)
    measured = grid_step(np.rint(values / grid) * grid)
    assert measured == pytest.approx(grid, rel=1e-6)
    assert grid_step(values) is None


def test_the_grid_is_the_common_divisor_where_no_step_is_a_single_one():
    assert grid_step(np.cumsum([0.6, 1.5, 0.6, 2.1, 1.5, 0.6, 1.5, 2.1, 0.6, 1.5])) == pytest.approx(0.3)


def test_a_few_values_off_the_grid_do_not_hide_it():
    values = np.rint(np.random.default_rng(5).normal(0, 30, 2000)) * 0.05
    values[[7, 900]] += 0.0131725318
    assert grid_step(values) == pytest.approx(0.05)


def test_coarse_rounding_and_held_positions_are_reported():
    track = helix(1000, step=0.01)
    rounded = replace(track, points=np.rint(track.points * 100) / 100)
    assert found(mend(rounded))["resolution"][0] == 3
    held = track.points.copy()
    held[3::4] = held[2::4]
    assert found(mend(replace(track, points=held)))["repeated positions"] == (250, 3)


def test_altitude_in_feet_is_seen_through_the_local_plane():
    from examples.trajectory_3d.recordings.geodesy import to_local

    moment = np.arange(600.0)
    altitude = np.rint((1000 + 8 * moment) / 7.62) * 7.62
    points, origin = to_local(48 + 2e-3 * moment, 11 + 3e-3 * moment + 1e-4 * np.sin(moment), altitude)
    track = Trajectory(moment, points, names=("east", "north", "up"), unit="m", frame="enu", origin=origin)
    assert "up to 7.62 m (25 ft)" in str(mend(track).findings)


def test_outliers_are_reported_and_dropped_only_if_asked():
    track = helix()
    track.points[100] += [3.0, 0.0, 1.0]
    track.points[200:203] -= 4.0  # three in a row
    kept = mend(track)
    assert found(kept) == {"outlier": (4, 100)}
    assert len(kept.trajectory) == 400
    dropped = mend(track, MendOptions(drop_outliers=True))
    assert found(dropped)["outlier"] == (4, 100)
    np.testing.assert_array_equal(dropped.rows, np.delete(np.arange(400), [100, 200, 201, 202]))


def test_a_bounce_and_a_sharp_turn_are_motion():
    times = np.arange(200) * 0.01
    height = np.abs(np.sin(4 * np.pi * times))  # bounces four times
    corner = np.where(times < 1.0, times, 2.0 - times)
    points = np.stack([times, corner, height], axis=1) + 1e-4 * np.random.default_rng(1).normal(size=(200, 3))
    assert mend(Trajectory(times, points, unit="m")).findings == ()


def test_jumps_are_found_where_they_are():
    track = helix()
    track.points[150:] += [2.0, 0.0, 0.0]
    track.points[300] += 5.0
    mended = mend(track)
    assert mended.jumps.tolist() == [150]
    assert found(mended) == {"outlier": (1, 300), "jump": (1, 150)}
    assert mend(track, MendOptions(drop_outliers=True)).jumps.tolist() == [150]
    track.points[20] += 5.0
    assert mend(track, MendOptions(drop_outliers=True)).jumps.tolist() == [149]


@pytest.mark.parametrize("walk", [False, True])
def test_noise_and_random_walks_hold_no_outliers(walk):
    for seed in range(20):
        steps = np.random.default_rng(seed).standard_normal((300, 3))
        track = Trajectory(np.arange(300.0), np.cumsum(steps, axis=0) if walk else steps)
        assert not {"outlier", "jump"} & set(found(mend(track)))


def test_a_far_origin_is_harmless():
    track = helix()
    moved = mend(replace(track, points=track.points + 5.4e6))
    assert set(found(moved)) <= {"offset", "resolution"}
    track.points[100] += 3.0
    assert found(mend(replace(track, points=track.points + 5.4e6)))["outlier"] == (1, 100)


tracks = st.builds(
    lambda stamps, seed, lost: Trajectory(
        np.array(stamps) / NANOSECONDS,
        np.where(
            np.random.default_rng(seed).random((len(stamps), 1)) < lost,
            np.nan,
            np.random.default_rng(seed).normal(size=(len(stamps), 3)).round(2),
        ),
    ),
    st.lists(
        st.integers(-(10**14), 10**14) | st.integers(0, 40).map(lambda n: n * 10**8), min_size=1, max_size=40
    ),
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.3, 1.0]),
)


@settings(max_examples=150, deadline=None)
@given(tracks, st.booleans())
def test_mending_gives_increasing_times_and_is_idempotent(track, drop):
    options = MendOptions(drop_outliers=drop)
    mended = mend(track, options)
    made = mended.trajectory
    assert (np.diff(made.times) > 0).all()
    assert np.isfinite(made.position).all()
    assert len(made) == 0 or made.times[0] == 0
    np.testing.assert_array_equal(made.points, track.points[mended.rows])
    np.testing.assert_array_equal(made.stamps_ns(), track.stamps_ns()[mended.rows])
    again = mend(made, options).trajectory
    np.testing.assert_array_equal(again.times, made.times)
    np.testing.assert_array_equal(again.points, made.points)
    assert again.start_ns == made.start_ns


@settings(max_examples=60, deadline=None)
@given(st.permutations(list(range(30))), st.integers(0, 100))
def test_the_order_of_the_rows_does_not_matter(order, seed):
    track = helix(30, seed=seed)
    shuffled = mend(track.take(np.array(order))).trajectory
    np.testing.assert_array_equal(shuffled.times, track.times)
    np.testing.assert_array_equal(shuffled.points, track.points)
    assert shuffled.start_ns == 0


def test_numbers_that_are_no_lengths_are_lost():
    track = helix(30)
    track.points[4, 0], track.points[5, 1] = 1e300, -np.inf
    assert found(mend(track))["lost"] == (2, 4)


@pytest.mark.filterwarnings("error")
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 10**7, 10**9, 86_400 * 10**9, -86_399 * 10**9]), min_size=1, max_size=40),
    st.integers(0, 10**6),
    st.integers(1, 3),
    st.sampled_from(["utc", "elapsed"]),
)
def test_nothing_in_a_recording_is_too_strange(steps, seed, dimensions, clock):
    rng = np.random.default_rng(seed)
    strange = [0.0, 1.0, 1e-300, 1e99, -1e300, np.nan, np.inf, 0.1, 5e-324, 7e6]
    points = rng.choice(strange, (len(steps), dimensions))
    times = np.cumsum(steps) / NANOSECONDS
    track = Trajectory(times, points, names=("x", "y", "z")[:dimensions], unit="m", clock=clock)
    mended = mend(track, MendOptions(drop_outliers=True))
    assert (np.diff(mended.trajectory.times) > 0).all()
    assert summarise(track).usable <= len(track)
    for method in ("linear", "cubic"):
        for piece in uniform_pieces(mended.trajectory, method=method, longest_gap=1.0, rate=20.0):
            assert np.isfinite(piece.points).all()


@pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings here")
def test_traps_of_real_recordings():
    glitches = np.loadtxt(REAL / "drone/crazyflie_real_path_001.csv", delimiter=",", skiprows=1)[:, :3]
    seen = found(mend(Trajectory(np.arange(len(glitches)) / 100, glitches, unit="m")))
    assert seen["resolution"][0] == 3
    assert 0.25 < seen["repeated positions"][0] / len(glitches) < 0.35
    assert "outlier" in seen
    camera = np.loadtxt(REAL / "slam/tumvi_room4_mocap0.csv", delimiter=",", comments="#")
    gaps = mend(Trajectory((camera[:, 0] - camera[0, 0]) * 1e-9, camera[:, 1:4], unit="m"))
    assert any("the longest of 0.483 s" in each.text for each in gaps.findings)
