"""Animations: what a frame shows is what was forecast then, nothing of the future is shown as observed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import animation as matplotlib_animation
from PIL import Image

from examples.trajectory_3d import animation, demo
from examples.trajectory_3d.animation import animate_forecasts, animation_suffix, save_animation
from examples.trajectory_3d.baselines import constant_acceleration
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.interval_tube import tube
from examples.trajectory_3d.metrics import position_error
from m.config import ConfigError

DT, LENGTH, HORIZON, POINTS = 0.05, 10, 4, 22
MADE = POINTS - LENGTH + 1
HAVE_FFMPEG = shutil.which("ffmpeg") is not None


@pytest.fixture(scope="module")
def path():
    times = DT * np.arange(POINTS + HORIZON)[:, None]
    return np.concatenate([np.cos(3 * times), np.sin(3 * times), 0.3 * times], axis=1)


@pytest.fixture(scope="module")
def observed(path):
    return path[:POINTS] + np.random.default_rng(0).normal(scale=0.01, size=(POINTS, 3))


@pytest.fixture(scope="module")
def forecasts(observed):
    """Of every window of LENGTH points, with intervals that grow and are skew."""
    windows = np.stack([observed[end - LENGTH : end] for end in range(LENGTH, POINTS + 1)])
    mean = constant_acceleration().forecast(windows, HORIZON).mean
    width = 0.02 * np.arange(1, HORIZON + 1)[:, None] * [1.0, 2.0, 3.0]
    experts = np.repeat(np.arange(MADE)[:, None], HORIZON, axis=1)
    return PathForecast(mean, {0.1: mean - width, 0.9: mean + 2 * width}, experts)


@pytest.fixture
def made(path, observed, forecasts):
    return animate_forecasts(path, observed, forecasts, dt=DT, title="a title", points_per_frame=2)


def shown(made, seen):
    """The three panels when so many points are seen."""
    made._stage.show(seen)
    return made._stage.figure.axes


def in_space(axes):
    """Points of the lines: observed earlier, in the context, truth, forecast, its marks, the newest."""
    return [np.stack(line.get_data_3d(), axis=-1) for line in axes.lines]


@pytest.mark.parametrize("seen", [LENGTH, 15, POINTS])
def test_a_frame_shows_the_forecast_of_the_window_that_ends_there(made, seen, path, observed):
    space, closer, _ = shown(made, seen)
    earlier, context, truth, forecast, marks, newest = in_space(space)
    window = observed[seen - LENGTH : seen]
    expected = constant_acceleration().forecast(window[None], HORIZON).mean[0]
    np.testing.assert_array_equal(earlier, observed[: seen - LENGTH])
    np.testing.assert_array_equal(context, window)
    np.testing.assert_array_equal(newest, window[-1:])
    np.testing.assert_array_equal(truth, path[seen : seen + HORIZON])
    np.testing.assert_allclose(forecast, expected)
    np.testing.assert_allclose(marks, expected)
    # The closer view shows the same points, moved by one offset, in x and y, where the circle lies.
    flat = [line.get_xydata() for line in closer.lines]
    offset = flat[5][0] - newest[0, :2]
    for drawn, points in zip(flat, in_space(space), strict=True):
        np.testing.assert_allclose(drawn, points[:, :2] + offset)


def test_before_a_context_is_full_nothing_is_forecast(made, observed):
    space, closer, error = shown(made, LENGTH - 1)
    earlier, context, truth, forecast, marks, newest = in_space(space)
    assert [len(points) for points in (earlier, truth, forecast, marks)] == [0, 0, 0, 0]
    np.testing.assert_array_equal(context, observed[: LENGTH - 1])
    np.testing.assert_array_equal(newest, observed[LENGTH - 2 : LENGTH - 1])
    assert not any(patch.get_visible() for patch in closer.patches)
    assert [len(line.get_xdata()) for line in error.lines] == [0, 0]


def test_the_error_panel_grows_to_the_position_errors(made, path, forecasts):
    truth = np.stack([path[end : end + HORIZON] for end in range(LENGTH, POINTS + 1)])
    errors = position_error(forecasts.mean, truth)
    for seen in (LENGTH, 15, POINTS):
        line, newest = shown(made, seen)[2].lines
        count = seen - LENGTH + 1
        np.testing.assert_allclose(line.get_xdata(), DT * np.arange(LENGTH - 1, seen))
        np.testing.assert_allclose(line.get_ydata(), errors[:count])
        np.testing.assert_allclose(newest.get_xydata(), [[DT * (seen - 1), errors[count - 1]]])
    assert errors.max() < made._stage.figure.axes[2].get_ylim()[1]


def test_intervals_are_drawn_as_stated(made, forecasts):
    _, closer, _ = shown(made, 15)
    low, high = (forecasts.quantiles[level][15 - LENGTH][:, :2] for level in (0.1, 0.9))
    offset = closer.lines[3].get_xydata()[0] - forecasts.mean[15 - LENGTH, 0, :2]
    for step, ellipse in enumerate(closer.patches):
        np.testing.assert_allclose([ellipse.width, ellipse.height], high[step] - low[step])
        np.testing.assert_allclose(ellipse.center, (low + high)[step] / 2 + offset)
    assert len(closer.patches) == HORIZON
    made._stage.canvas.draw()  # the first drawing of an animation sets it to its first frame
    space, _, _ = shown(made, 15)
    made._stage.canvas.draw()
    assert len(space.collections[0].get_paths()) == 12 * (HORIZON - 1)  # the faces of the tube
    title, names = space.get_title(), [text.get_text() for text in made._stage.figure.legends[0].get_texts()]
    assert "t = 0.70 s, expert 5 leads" in title
    assert "80 % interval per axis" in names


def test_a_forecaster_without_intervals_and_experts_gets_neither(path, observed, forecasts):
    made = animate_forecasts(path, observed, PathForecast(forecasts.mean), dt=DT)
    space, closer, _ = shown(made, POINTS)
    assert not any(patch.get_visible() for patch in closer.patches)
    assert "expert" not in space.get_title()
    assert len(made._stage.figure.legends[0].get_texts()) == 5


def test_the_skin_of_an_interval_lies_on_its_ellipsoids():
    centre = np.linspace(0, 1, 5)[:, None] * [1.0, 0.5, 0.2]
    half = np.array([0.1, 0.2, 0.3])
    faces = np.array(tube(centre, centre - half, centre + half))
    assert faces.shape == (4 * 12, 4, 3)
    along = np.array([1.0, 0.5, 0.2]) / np.linalg.norm([1.0, 0.5, 0.2])
    nearest = np.rint((faces @ along) / (0.25 * np.linalg.norm([1.0, 0.5, 0.2]))).astype(int)
    offsets = faces - centre[nearest]
    np.testing.assert_allclose(np.square(offsets / half).sum(-1), 1.0)
    np.testing.assert_allclose(offsets @ along, 0.0, atol=1e-12)
    assert tube(centre[:1], centre[:1] - half, centre[:1] + half) == []
    still = np.zeros((3, 3))
    assert np.isfinite(tube(still, still - half, still + half)).all()


def test_scales_are_equal_and_everything_lies_within(made, path, observed):
    space, closer, _ = shown(made, POINTS)
    limits = np.array([getattr(space, f"get_{name}lim")() for name in "xyz"])
    sides = np.ptp(limits, axis=1)
    np.testing.assert_allclose(sides / space._box_aspect, (sides / space._box_aspect)[0])
    for points in (path, observed):
        assert (limits[:, 0] < points.min(axis=0)).all()
        assert (points.max(axis=0) < limits[:, 1]).all()
    assert closer.get_aspect() == 1.0
    assert closer.get_xlim() == closer.get_ylim()
    for seen in range(LENGTH, POINTS + 1):
        truth = shown(made, seen)[1].lines[2].get_xydata()
        assert np.abs(truth).max() < closer.get_xlim()[1]


def test_a_gif_has_every_frame_and_they_differ(made, tmp_path):
    file = save_animation(made, tmp_path / "new" / "small.gif")
    with Image.open(file) as gif:
        frames = []
        for number in range(gif.n_frames):
            gif.seek(number)
            frames.append((np.asarray(gif.convert("RGB")).astype(int), gif.info["duration"]))
        assert gif.size == (900, 576)
    # 2, 4, ..., 22 points; the last frame is held, which is one frame for longer.
    assert [duration for _, duration in frames] == [80] * 10 + [13 * 80]
    for (before, _), (after, _) in pairwise(frames):
        assert (np.abs(before - after).max(axis=-1) > 60).sum() > 20
    assert [entry.name for entry in file.parent.iterdir()] == ["small.gif"]
    assert file.stat().st_size < 300_000


def test_fast_frames_are_those_that_matplotlib_draws(made):
    """What stands still is drawn once; the picture is the one that a full drawing gives."""
    for fast, moment in zip(made.pixels(), made._moments, strict=True):
        if moment in {4, LENGTH, POINTS}:
            made._stage.show(moment)
            made._stage.canvas.draw()
            difference = np.abs(fast.astype(int) - np.asarray(made._stage.canvas.buffer_rgba()))
            assert (difference.max(axis=-1) > 32).mean() < 1e-3  # lines may lie over, not under, the axes


def test_matplotlib_can_show_it_in_a_notebook(path, observed, forecasts):
    made = animate_forecasts(path, observed, forecasts, dt=DT, points_per_frame=POINTS)
    assert "<img" in made.to_jshtml()


def test_saving_is_atomic_and_knows_its_formats(made, tmp_path, monkeypatch):
    file = tmp_path / "small.gif"
    file.write_bytes(b"old")

    def broken(self):
        raise OSError("disk full")

    monkeypatch.setattr(matplotlib_animation.PillowWriter, "finish", broken)
    with pytest.raises(OSError, match="disk full"):
        save_animation(made, file)
    assert file.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.gif"]
    with pytest.raises(ValueError, match=r"must be .gif or .mp4"):
        save_animation(made, tmp_path / "small.avi")


def test_without_ffmpeg_auto_means_gif_and_mp4_is_refused(made, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program, *rest, **options: None)
    assert animation_suffix("auto") == animation_suffix("gif") == ".gif"
    with pytest.raises(ConfigError, match="install it, or ask for gif"):
        animation_suffix("mp4")
    with pytest.raises(ConfigError, match="install it, or ask for gif"):
        save_animation(made, tmp_path / "small.mp4")
    assert not list(tmp_path.iterdir())


def test_with_ffmpeg_auto_means_mp4(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program, *rest, **options: f"/bin/{program}")
    assert animation_suffix("auto") == animation_suffix("mp4") == ".mp4"
    assert animation_suffix("gif") == ".gif"


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a script")
def test_ffmpeg_is_given_every_frame(made, tmp_path, monkeypatch):
    """A stand-in for ffmpeg writes how many bytes it was given."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    count = "import sys; open(sys.argv[-1], 'w').write(str(len(sys.stdin.buffer.read())))"
    program.write_text(f"#!{sys.executable}\n{count}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    file = save_animation(made, tmp_path / f"small{animation_suffix('auto')}")
    assert file.suffix == ".mp4"
    assert int(file.read_text()) == len(made._moments) * 900 * 576 * 4


@pytest.mark.skipif(not HAVE_FFMPEG, reason="ffmpeg is not installed")
def test_an_mp4_is_a_film(made, tmp_path):
    file = save_animation(made, tmp_path / "small.mp4")
    assert b"ftyp" in file.read_bytes()[:16]


def test_shapes_that_do_not_belong_together_are_refused(path, observed, forecasts):
    with pytest.raises(ValueError, match=r"path \[N \+ H, 3\]"):
        animate_forecasts(path[:-1], observed, forecasts, dt=DT)
    with pytest.raises(ValueError, match="at most N forecasts"):
        animate_forecasts(path[:7], observed[:3], forecasts, dt=DT)
    with pytest.raises(ValueError, match="positive time step"):
        animate_forecasts(path, observed, forecasts, dt=0.0)
    with pytest.raises(ValueError, match="points_per_frame must be at least 1"):
        animate_forecasts(path, observed, forecasts, dt=DT, points_per_frame=0)


def test_long_paths_get_no_more_frames(path, observed):
    points = 500
    long = np.cumsum(np.full((points + 1, 3), 0.1), axis=0)
    made = animate_forecasts(long, long[:points], PathForecast(long[None, points:]), dt=DT)
    assert len(set(made._moments)) <= animation.MOST_FRAMES
    assert made._moments[-1] == points


def test_the_demo_animates_the_path_with_the_median_error(tmp_path, monkeypatch):
    config = DatasetConfig(
        sequence_length=LENGTH,
        prediction_length=HORIZON,
        sampling_rate=20.0,
        type_weights={"orbital": 0.5, "helical": 0.5},
    )
    calls = []
    monkeypatch.setattr(demo, "save_animation", lambda made, file: file)
    monkeypatch.setattr(demo, "animate_forecasts", lambda *given, **named: calls.append((given, named)))
    forecaster = constant_acceleration()
    written = list(demo.draw_animations(tmp_path, forecaster, config, suffix=".gif"))
    assert [file.name for file in written] == ["demo_animation_orbital.gif", "demo_animation_helical.gif"]
    for (path, observed, forecasts), named in calls:
        assert named["dt"] == 0.05
        assert named["title"].endswith("motion, forecast by constant acceleration")
        assert len(observed) == LENGTH + demo.ANIMATED_HORIZONS * HORIZON
        assert 0.01 < (observed - path[: len(observed)]).std() < 0.03  # noise of 2 cm
        for made, end in enumerate(range(LENGTH, len(observed) + 1)):
            window = observed[None, end - LENGTH : end]
            np.testing.assert_allclose(
                forecasts.mean[made], forecaster.forecast(window, HORIZON).mean[0], rtol=1e-4, atol=1e-4
            )
        assert made + 1 == len(forecasts.mean)
    paths, _ = demo._observed_paths("helical", config)
    shown = [np.array_equal(each, path) for each in paths].index(True)
    errors = [
        along(each, forecaster, config) for each in zip(*demo._observed_paths("helical", config), strict=True)
    ]
    assert np.argsort(errors).tolist().index(shown) == 2  # of five


def along(path_and_observed, forecaster, config) -> float:
    """Mean position error of the forecasts along a path."""
    path, observed = path_and_observed
    ends = range(config.sequence_length, len(observed) + 1)
    guess = [forecaster.forecast(observed[None, end - LENGTH : end], HORIZON).mean[0] for end in ends]
    return float(
        np.mean([position_error(g, path[end : end + HORIZON]) for g, end in zip(guess, ends, strict=True)])
    )


def test_no_pyplot_state_is_touched():
    code = (
        "import sys, numpy as np\n"
        "from examples.trajectory_3d.animation import animate_forecasts\n"
        "from examples.trajectory_3d.forecasters import PathForecast\n"
        "p = np.random.default_rng(0).normal(size=(6, 3))\n"
        "next(animate_forecasts(p, p[:4], PathForecast(p[None, 4:]), dt=1.0).pixels())\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
