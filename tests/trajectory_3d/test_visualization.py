"""Pictures: what is drawn is what was given, scales are equal, files are whole."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread

from examples.trajectory_3d import figure_style
from examples.trajectory_3d.baselines import constant_acceleration, standard_baselines
from examples.trajectory_3d.demo import run_demo
from examples.trajectory_3d.evaluation import EvaluationSet, evaluate
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.visualization import (
    plot_forecast,
    plot_metrics_comparison,
    plot_motion_types,
    plot_prediction_grid,
    plot_training_progress,
    save_figure,
)

DT, LENGTH, HORIZON = 0.05, 24, 8
TYPES = ("spiral", "throw / fall")


def curves(count=6, seed=0):
    rng = np.random.default_rng(seed)
    times = DT * np.arange(LENGTH + HORIZON)[:, None]
    phase = rng.uniform(0, 6, size=(count, 1, 3))
    return np.cos(times * [2.0, 2.0, 0.3] + phase) * [2.0, 2.0, 0.5]


@pytest.fixture(scope="module")
def windows():
    paths = curves()
    rng = np.random.default_rng(1)
    context = paths[:, :LENGTH] + rng.normal(scale=0.01, size=(6, LENGTH, 3))
    return EvaluationSet(context, paths[:, LENGTH:], np.array([0, 0, 0, 1, 1, 1]), TYPES, DT)


def uncertain_forecast(context):
    mean = constant_acceleration().forecast(context, HORIZON).mean
    width = 0.02 * np.arange(1, HORIZON + 1)[:, None]
    experts = np.tile(np.arange(HORIZON) % 3, (len(mean), 1))
    return PathForecast(mean, {0.1: mean - width, 0.9: mean + width}, experts)


@pytest.fixture(scope="module")
def forecast_figure(windows):
    context = windows.context[:1]
    references = {baseline.name: baseline.forecast(context, HORIZON) for baseline in standard_baselines()}
    return plot_forecast(
        context[0],
        windows.targets[0],
        uncertain_forecast(context),
        dt=DT,
        title="a title",
        references=references,
    )


def test_forecast_picture_draws_the_given_paths(forecast_figure, windows):
    space, plane_xy, plane_xz, error = forecast_figure.axes
    truth = windows.targets[0]
    guess = uncertain_forecast(windows.context[:1]).mean[0]
    for axes, columns in ((plane_xy, [0, 1]), (plane_xz, [0, 2])):
        drawn = [line.get_xydata() for line in axes.lines]
        assert any(np.array_equal(data, truth[:, columns]) for data in drawn)
        assert any(np.array_equal(data, guess[:, columns]) for data in drawn)
        assert len(axes.patches) == HORIZON  # one 80 % ellipse per point
    in_space = [np.stack(line.get_data_3d(), axis=-1) for line in space.lines]
    assert any(np.array_equal(data, truth) for data in in_space)
    forecast_figure.draw_without_rendering()
    assert len(space.collections[0].get_paths()) == 12 * (HORIZON - 1)  # faces of the tube of 80 %
    times, distances = error.lines[0].get_xydata().T
    np.testing.assert_allclose(times, DT * np.arange(1, HORIZON + 1))
    np.testing.assert_allclose(distances, np.linalg.norm(guess - truth, axis=-1))
    assert error.get_ylim()[1] > max(line.get_ydata().max() for line in error.lines)


def test_forecast_picture_is_labelled_with_units_and_names(forecast_figure):
    space, plane_xy, _, error = forecast_figure.axes
    assert forecast_figure.get_suptitle() == "a title"
    assert (space.get_xlabel(), space.get_ylabel(), space.get_zlabel()) == ("x (m)", "y (m)", "z (m)")
    assert plane_xy.get_xlabel() == "x (m)"
    assert error.get_xlabel() == "time ahead (s)"
    names = [text.get_text() for text in error.get_legend().get_texts()]
    assert names == ["this forecast", "last value", "constant velocity", "constant acceleration"]
    legend = {text.get_text() for text in forecast_figure.legends[0].get_texts()}
    assert {"observed", "true path", "forecast", "80 % interval per axis", "expert 0", "expert 2"} <= legend


def test_a_metre_is_equally_long_on_every_axis(forecast_figure):
    space, plane_xy, plane_xz, _ = forecast_figure.axes
    ranges = np.array([np.diff(getattr(space, f"get_{name}lim")())[0] for name in "xyz"])
    box = np.asarray(space._box_aspect)
    np.testing.assert_allclose(ranges / box, (ranges / box)[0])
    assert plane_xy.get_aspect() == plane_xz.get_aspect() == 1.0


def test_everything_lies_within_the_limits(forecast_figure, windows):
    _, plane_xy, _, _ = forecast_figure.axes
    low, high = plane_xy.get_xlim()
    quantiles = uncertain_forecast(windows.context[:1]).quantiles
    points = np.concatenate([windows.targets[0], quantiles[0.1][0], quantiles[0.9][0]])[:, 0]
    assert low < points.min()
    assert points.max() < high


def test_truth_and_forecast_differ_in_line_and_brightness(forecast_figure):
    truth, forecast = forecast_figure.axes[1].lines[1:3]
    assert truth.get_linestyle() != forecast.get_linestyle()
    grey = [np.dot(mpl.colors.to_rgb(line.get_color()), [0.299, 0.587, 0.114]) for line in (truth, forecast)]
    assert abs(grey[0] - grey[1]) > 0.3


def test_a_still_path_can_be_drawn():
    still = np.ones((LENGTH, 3))
    forecast = PathForecast(np.ones((1, HORIZON, 3)))
    figure = plot_forecast(still, still[:HORIZON], forecast, dt=DT, title="still")
    assert np.diff(figure.axes[1].get_xlim())[0] > 0


def test_three_arguments_are_enough_in_a_notebook(windows):
    figure = plot_forecast(windows.context[0], windows.targets[0], uncertain_forecast(windows.context[:1]))
    error = figure.axes[3]
    assert figure.get_suptitle() == ""
    assert error.get_xlabel() == "steps ahead"
    np.testing.assert_array_equal(error.lines[0].get_xdata(), np.arange(1, HORIZON + 1))


def test_without_a_truth_there_is_no_error_and_nothing_passes_for_one(windows):
    forecast = uncertain_forecast(windows.context[:1])
    figure = plot_forecast(windows.context[0], None, forecast, dt=DT)
    plane, panel = figure.axes[1], figure.axes[3]
    assert "not known" in panel.get_title()
    assert panel.get_ylabel() == "half the 80 % interval (m)"
    for line in panel.lines:
        np.testing.assert_allclose(line.get_ydata(), 0.02 * np.arange(1, HORIZON + 1))
    assert len(panel.lines) == 3
    assert "true path" not in [text.get_text() for text in figure.legends[0].get_texts()]
    assert not any(
        line.get_color() == figure_style.BLACK and len(line.get_xdata()) > 1 for line in plane.lines
    )
    silent = plot_forecast(windows.context[0], None, PathForecast(forecast.mean)).axes[3]
    assert "neither" in silent.texts[0].get_text()
    with pytest.raises(ValueError, match="needs a truth"):
        plot_forecast(windows.context[0], None, forecast, references={"same": forecast})


def test_grid_has_one_column_per_window(windows):
    context, truth = windows.context[[0, 3]], windows.targets[[0, 3]]
    forecast = uncertain_forecast(context)
    figure = plot_prediction_grid(context, truth, forecast, dt=DT, labels=TYPES, title="step 500")
    assert [axes.get_title() for axes in figure.axes[::2]] == list(TYPES)
    for column, axes in enumerate(figure.axes[1::2]):
        expected = np.linalg.norm(forecast.mean[column] - truth[column], axis=-1)
        np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
    with pytest.raises(ValueError, match="one label, context, truth and forecast per window"):
        plot_prediction_grid(context, truth, forecast, dt=DT, labels=["one"], title="step 500")


def test_motion_types_show_paths_and_speed():
    times = DT * np.arange(40)
    circle = np.stack([np.cos(3 * times), np.sin(3 * times), 0 * times], axis=-1)[None]
    figure = plot_motion_types({"circle": circle, "line": np.cumsum(np.full((2, 40, 3), 0.1), axis=1)}, DT)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["circle, 1.95 s", "line, 1.95 s"]
    speeds = figure.axes[2].lines
    np.testing.assert_allclose(speeds[0].get_ydata(), 3.0, rtol=2e-3)
    np.testing.assert_allclose(speeds[1].get_ydata(), np.sqrt(3) * 0.1 / DT)
    with pytest.raises(ValueError, match="paths of 'flat' must have shape"):
        plot_motion_types({"flat": np.zeros((4, 40))}, DT)
    with pytest.raises(ValueError, match="at least one motion type"):
        plot_motion_types({}, DT)


def training_records():
    load = [[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]
    train = [
        {"step": step, "loss": 2.0 / step, "learning_rate": 1e-3, "metrics": {"position_error": 1.0 / step},
         "expert_load": load, "sequences_per_second": 100.0 + step}
        for step in (10, 20, 30)
    ]  # fmt: skip
    validation = [{"step": 30, "metrics": {"loss": 0.5, "position_error": 0.1}, "is_best": True}]
    return [*train, *validation]


def test_training_progress_draws_both_series_and_says_what_is_missing():
    figure = plot_training_progress(training_records())
    panels = {axes.get_title(): axes for axes in figure.axes}
    training, validation = panels["negative log-likelihood (nats per coordinate)"].lines
    np.testing.assert_allclose(training.get_xydata(), [[10, 0.2], [20, 0.1], [30, 2 / 30]])
    np.testing.assert_allclose(validation.get_xydata(), [[30, 0.5]])
    assert (
        panels["negative log-likelihood (nats per coordinate)"].get_yscale() == "linear"
    )  # a log-likelihood may turn negative any step
    assert panels["position error (m)"].get_yscale() == "log"
    assert [text.get_text() for text in panels["velocity error (m/s)"].texts] == ["not recorded"]
    assert len(panels["windows per second"].lines) == 1
    load = next(axes for title, axes in panels.items() if title.startswith("expert load"))
    np.testing.assert_allclose(
        load.collections[0].get_array(), np.repeat([[2, 2, 0, 0, 1, 1, 1, 1]], 3, axis=0).T
    )


def test_training_progress_compares_one_likelihood():
    """The loss of training has terms that validation has not: routers' losses and a weight on distances."""
    records = training_records()
    records[1]["metrics"] = {"final_nll": -0.7}
    figure = plot_training_progress(records)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.2, -0.7, 2 / 30])


def test_training_progress_survives_empty_and_negative_histories():
    empty = plot_training_progress([])
    assert all(axes.texts[0].get_text() == "not recorded" for axes in empty.axes)
    negative = plot_training_progress(
        [{"step": 1, "loss": -3.0, "learning_rate": 0.1, "expert_load": None},
         {"step": 2, "loss": float("nan"), "learning_rate": 0.1}]
    )  # fmt: skip
    assert negative.axes[0].get_yscale() == "linear"
    assert negative.axes[0].lines[0].get_xydata().tolist() == [[1.0, -3.0]]


def test_metrics_comparison_has_a_bar_per_forecaster_and_type(windows):
    result = evaluate(standard_baselines(), windows)
    figure = plot_metrics_comparison(result)
    axes = figure.axes[0]
    heights = [bar.get_height() for bar in axes.patches]
    expected = [
        scores.groups[group].metrics["position_error"]
        for scores in result.forecasters
        for group in result.group_names
    ]
    np.testing.assert_allclose(heights, expected)
    assert [label.get_text() for label in axes.get_xticklabels()] == [*TYPES, "mixed"]
    assert axes.get_title() == "position error (m), lower is better"


def test_demo_writes_the_named_pictures_of_the_median_windows(tmp_path, windows, monkeypatch):
    titles = []
    monkeypatch.setattr(
        "examples.trajectory_3d.demo.save_figure",
        lambda figure, path: titles.append(figure.get_suptitle()) or save_figure(figure, path, dpi=40),
    )
    paths = {"spiral": windows.targets[:3], "throw / fall": windows.targets[3:]}
    written = run_demo(tmp_path / "demo", constant_acceleration(), windows, paths)
    assert [path.name for path in written] == [
        "demo_trajectories.png",
        "demo_prediction_spiral.png",
        "demo_prediction_throw_fall.png",
        "demo_prediction_grid.png",
    ]
    assert all("by constant acceleration" in title for title in titles[1:])
    for path in written:
        pixels = imread(path)
        assert pixels[..., :3].std() > 0.02  # something is drawn


def test_saving_is_atomic(tmp_path, monkeypatch):
    figure = figure_style.new_figure(1, 1, "small")
    path = tmp_path / "new folder" / "small.png"
    save_figure(figure, path, dpi=30)
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")

    def half_written(stream, **_):
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", half_written)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["small.png"]


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"its suffix must be one of .*'png'"):
        save_figure(figure_style.new_figure(1, 1, "small"), tmp_path / "picture.docx")
    assert list(tmp_path.iterdir()) == []


def test_no_pyplot_state_is_touched():
    code = "import sys, examples.trajectory_3d.demo; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"a context \[L, 3\], a truth \[H, 3\] and a forecast \[1, H, 3\]"):
        plot_forecast(np.zeros((4, 3)), np.zeros((5, 3)), PathForecast(np.zeros((1, 4, 3))), dt=DT, title="")
