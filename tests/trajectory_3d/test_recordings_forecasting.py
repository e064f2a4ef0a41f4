"""Forecasts of recordings: right place, time, unit and frame; and back-tests that hide what they say."""

import csv
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pymap3d import geodetic2ecef

from examples.trajectory_3d.baselines import constant_velocity, kalman_constant_velocity, make_baselines
from examples.trajectory_3d.cli.predict import main
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.recordings.backtesting import back_test, back_test_windows
from examples.trajectory_3d.recordings.forecast_figure import plot_track_forecasts
from examples.trajectory_3d.recordings.forecast_table import forecast_table, write_table
from examples.trajectory_3d.recordings.forecasting import ForecastSettings, forecast_tracks
from examples.trajectory_3d.recordings.geodesy import to_geodetic, to_local
from examples.trajectory_3d.recordings.trajectory import Origin, Trajectory


def line(count=80, step=0.1, velocity=(1.0, -2.0, 0.5), start=(3.0, 4.0, 5.0), **facts):
    times = np.round(np.arange(count) * step, 9)
    points = np.array(start) + times[:, None] * np.array(velocity)
    return Trajectory(times, points, **({"unit": "m", "source": "line.csv"} | facts))


def forecast_of(trajectory, forecaster=None, **settings):
    made, missed = forecast_tracks(
        [trajectory], forecaster or constant_velocity(), ForecastSettings(**settings)
    )
    assert not missed
    return made[0]


def test_a_line_goes_on():
    found = forecast_of(line(start_ns=1_700_000_000_123_456_789, clock="utc"), horizon=5)
    assert found.times() == pytest.approx([8.0, 8.1, 8.2, 8.3, 8.4])
    assert found.stamps_ns()[0] == 1_700_000_008_123_456_789
    expected = np.array([3.0, 4.0, 5.0]) + found.times()[:, None] * np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(found.centre(), expected, rtol=1e-9)


def test_millions_of_metres_lose_no_digits():
    near, far = (forecast_of(line(start=(origin,) * 3), horizon=4).centre() for origin in (0.0, 7e6))
    np.testing.assert_allclose(far - 7e6, near, atol=1e-6)


@pytest.mark.parametrize("dimensions", [1, 2, 6])
def test_any_number_of_coordinates(dimensions):
    names = tuple("xyzuvw"[:dimensions])
    whole = line()
    points = np.tile(whole.points, 2)[:, :dimensions]
    found = forecast_of(replace(whole, points=points, names=names), horizon=3)
    assert found.centre().shape == (3, min(3, dimensions))
    np.testing.assert_allclose(found.centre()[0, 0], 3.0 + 8.0, rtol=1e-9)


def test_what_follows_the_last_gap_is_the_context():
    whole = line(200)
    gone = np.r_[0:120, 150:200]
    found = forecast_of(whole.take(gone), horizon=2)
    assert len(found.context) == 50
    bridged = forecast_of(whole.take(gone), horizon=2, longest_gap=5.0, context=100)
    assert len(bridged.context) == 100
    assert found.times()[0] == pytest.approx(20.0)


def test_a_track_too_short_says_so():
    made, missed = forecast_tracks([line(5), line(50)], constant_velocity(), ForecastSettings())
    assert [len(each.context) for each in made] == [50]
    assert "5 points of even rate at its end, 8 are needed" in missed[0].reason


def test_settings_out_of_range():
    for wrong in ({"horizon": 0}, {"context": 4}, {"context": 1000}):
        with pytest.raises(ValueError, match="at least|must have"):
            ForecastSettings(**wrong)


def geodetic_line():
    """A flight to the north-east at constant height, as local metres."""
    step = np.arange(80)
    local, origin = to_local(50 + 1e-4 * step, 8 + 2e-4 * step, np.full(80, 500.0))
    return Trajectory(
        step * 1.0, local, unit="m", frame="enu", origin=origin, source="flight.igc", clock="utc"
    )


def test_geodetic_tracks_go_back_to_degrees():
    table = forecast_table([forecast_of(geodetic_line(), kalman_constant_velocity(), horizon=4)])
    last = table.iloc[-1]
    assert last["latitude [deg]"] == pytest.approx(50 + 1e-4 * 83, abs=2e-6)
    assert last["longitude [deg]"] == pytest.approx(8 + 2e-4 * 83, abs=2e-6)
    assert last["altitude [m]"] == pytest.approx(500.0, abs=0.5)
    # An interval on the ground is as wide in degrees as pymap3d says it is in metres.
    found = forecast_of(geodetic_line(), kalman_constant_velocity(), horizon=4)
    low, high = (found.quantiles()[level][-1] for level in (0.1, 0.9))
    height, latitude = last["altitude [m]"], last["latitude [deg]"]
    west, east = last["longitude q0.1 [deg]"], last["longitude q0.9 [deg]"]
    ends = [np.array(geodetic2ecef(latitude, each, height)) for each in (west, east)]
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(high[0] - low[0], rel=1e-3)


def test_there_and_back_again():
    origin = Origin(-33.0, 151.0, 20.0)
    points = np.random.default_rng(0).normal(scale=3e4, size=(50, 3))
    back, _ = to_local(*to_geodetic(points, origin).T, origin)
    np.testing.assert_allclose(back, points, atol=1e-5)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_the_table_holds_the_forecast(tmp_path, suffix):
    found = forecast_of(line(start_ns=10**18 + 1, clock="utc"), kalman_constant_velocity(), horizon=3)
    drawn = np.arange(2 * 3 * 3.0).reshape(1, 2, 3, 3)
    found = replace(found, forecast=replace(found.forecast, samples=drawn))
    path = write_table(forecast_table([found]), tmp_path / f"forecast{suffix}")
    if suffix == ".csv":
        rows = list(csv.DictReader(path.open(newline="")))
    elif suffix == ".json":
        rows = json.loads(path.read_text())
    else:
        rows = pd.read_parquet(path).to_dict("records")
    assert [row["path"] for row in rows] == ["centre"] * 3 + ["1"] * 3 + ["2"] * 3
    np.testing.assert_allclose([float(row["x [m]"]) for row in rows[:3]], found.centre()[:, 0], rtol=1e-12)
    np.testing.assert_allclose(
        [float(row["y q0.9 [m]"]) for row in rows[:3]], found.quantiles()[0.9][:, 1], rtol=1e-12
    )
    np.testing.assert_allclose([float(row["z [m]"]) for row in rows[6:]], drawn[0, 1, :, 2])
    assert rows[0]["time [s]"] == "1000000008.000000001"
    assert rows[0]["utc"] == "2001-09-09T01:46:48.000000001Z"


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.csv, \.json, \.parquet"):
        write_table(forecast_table([forecast_of(line())]), tmp_path / "forecast.xlsx")


class Cheat:
    """Forecasts nothing but remembers what it was shown."""

    name = "cheat"

    def __init__(self):
        self.seen = []

    def forecast(self, context, horizon):
        self.seen.append(context)
        return PathForecast(np.repeat(context[:, -1:], horizon, axis=1))


def test_what_is_hidden_is_not_shown():
    count = 100
    whole = Trajectory(np.arange(count) * 1.0, np.arange(count)[:, None] * np.ones(3), source="ramp")
    settings = ForecastSettings(horizon=10, context=20)
    windows = back_test_windows([whole], settings, most=3)
    cheat = Cheat()
    scores, _ = back_test(windows, [cheat], "ramp")
    last_seen = np.concatenate(cheat.seen)[:, -1, 0]
    assert sorted(last_seen) == [69, 79, 89]  # the last 10, and those before, end by end
    # Of a ramp by sqrt(3) a step the last value is wrong by 1 to 10 steps.
    assert scores[0].position_error == pytest.approx(np.sqrt(3) * 5.5)
    assert scores[0].endpoint_error == pytest.approx(np.sqrt(3) * 10)
    spread = np.sqrt((20**2 - 1) / 12)
    assert scores[0].gn == pytest.approx(np.sqrt(3) * 5.5 / spread)


def test_coverage_counts_only_coordinates_that_there_are():
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(3000, 1)).cumsum(0).cumsum(0) + rng.normal(size=(3000, 1))
    flat = Trajectory(np.arange(3000) * 1.0, walk, names=("x",), source="walk")
    settings = ForecastSettings(horizon=4, context=40)
    windows = back_test_windows([flat], settings, most=500)
    scores, result = back_test(windows, make_baselines(["kalman constant velocity"]), "walk")
    inside = result.forecasters[0].groups["mixed"].uncertainty.coverage
    assert scores[0].coverage == pytest.approx(3 * inside - 2)
    assert 0.3 < scores[0].coverage < 0.97


def test_things_at_rest_are_left_out():
    still = Trajectory(np.arange(100) * 1.0, np.full((100, 3), 4e6), source="still")
    windows = back_test_windows([still, line(100, 1.0)], ForecastSettings(), most=2)
    assert (len(windows.windows), windows.resting) == (2, 2)
    assert back_test_windows([line(20)], ForecastSettings(), most=2) is None


def test_a_picture_of_any_track():
    many = [
        forecast_of(line()),
        forecast_of(geodetic_line()),
        forecast_of(line(start=(7e6, 0, 0), step=900.0)),
    ]
    figure = plot_track_forecasts(many, "three", truth=[each.centre() + 1 for each in many])
    labels = [axes.get_xlabel() for axes in figure.axes] + [axes.get_ylabel() for axes in figure.axes]
    assert {"x (m)", "east (m)", "seconds from the last point seen", "hours from the last point seen"} <= set(
        labels
    )


@pytest.fixture
def recording(tmp_path):
    """TUM text of a helix with quaternions of no turn."""
    angle = 0.05 * np.arange(300)
    points = np.stack([np.cos(angle), np.sin(angle), 0.1 * angle], axis=1)
    rows = [f"{1e9 + 0.02 * n:.6f} {x:.9f} {y:.9f} {z:.9f} 0 0 0 1" for n, (x, y, z) in enumerate(points)]
    path = tmp_path / "helix.txt"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_command_forecasts(recording, tmp_path, capsys):
    out, picture = tmp_path / "forecast.csv", tmp_path / "forecast.png"
    code = main(
        [str(recording), "--horizon", "8", "--out", str(out), "--plot", str(picture), "--samples", "2"]
    )
    assert code == 0
    rows = [row for row in csv.DictReader(out.open(newline="")) if row["path"] == "centre"]
    angle = 0.05 * (299 + np.arange(1, 9))
    truth = np.stack([np.cos(angle), np.sin(angle), 0.1 * angle], axis=1)
    found = np.array([[float(row[f"{axis} [m]"]) for axis in "xyz"] for row in rows])
    assert np.linalg.norm(found - truth, axis=1).max() < 0.02
    assert [float(row["time [s]"]) for row in rows] == pytest.approx(1e9 + 0.02 * (299 + np.arange(1, 9)))
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "helix.txt" in capsys.readouterr().out


def test_the_command_tests_the_past(recording, capsys):
    assert main([str(recording), "--backtest", "--windows", "4", "--baselines", "last value"]) == 0
    told = capsys.readouterr().out
    assert "4 hidden ends of 16 points (0.32 s), forecast from 64 points" in told
    assert told.index("trajectory-3d-wide") < told.index("last value")


def test_a_broken_file_does_not_stop_the_others(recording, tmp_path, capsys):
    broken = tmp_path / "broken.txt"
    broken.write_text("# TUM\n1.0 0 0 0 0 0 0 1\n2.0 0 x 0 0 0 0 1\n")
    assert main([str(broken), str(recording), "--format", "tum"]) == 1
    caught = capsys.readouterr()
    assert "broken.txt:3:" in caught.err
    assert "helix.txt" in caught.out


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (["--horizon", "0"], "horizon"),
        (["--out", "forecast.doc"], ".csv"),
        (["--plot", "picture"], ".png"),
        (["--samples", "-1"], "--samples"),
        (["--backtest", "--windows", "0"], "--windows"),
        (["--resample", "-3"], "--resample"),
        (["--model", "no such model"], "no such model"),
        (["--backtest", "--baselines", "kalmann"], "kalmann"),
    ],
)
def test_wrong_requests_end_with_2(recording, wrong, word, capsys):
    assert main([str(recording), *wrong]) == 2
    assert word in capsys.readouterr().err


def test_what_a_format_fixes_is_not_ignored_in_silence(recording, capsys):
    main([str(recording), "--position", "a,b", "--separator", ";"])
    told = capsys.readouterr().out
    for word in ("position", "separator"):
        assert f"{word} is not used: " in told
