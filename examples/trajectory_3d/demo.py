"""Demonstration: example paths of every motion type, and a real forecaster's forecasts, still and moving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from examples.trajectory_3d.animation import animate_forecasts, save_animation
from examples.trajectory_3d.baselines import standard_baselines
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.evaluation import MIXED, EvaluationSet, forecast_all
from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.forecasters import FloatArray, Forecaster, PathForecast
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.run_folder import file_part
from examples.trajectory_3d.visualization import plot_forecast, plot_motion_types, plot_prediction_grid

BATCH_SIZE = 256
ANIMATED_HORIZONS = 7  # an animated path is observed for one context and so many horizons
ANIMATED_PATHS = 5  # of each type; the one with the median error is shown


def run_demo(
    output_dir: Path,
    forecaster: Forecaster,
    evaluation_set: EvaluationSet,
    paths: Mapping[str, FloatArray],
) -> list[Path]:
    """Write ``demo_trajectories.png`` and one ``demo_prediction_<type>.png`` per motion type.

    Args:
        output_dir: folder of the pictures, made if missing.
        forecaster: whose forecasts are shown; its name stands in every title.
        evaluation_set: windows to choose from; types without windows get no picture.
        paths: motion type -> example paths, ``[n, T, 3]`` metres, at the rate of the evaluation set; empty
            where all motion is recorded.

    Returns:
        The written files.

    Raises:
        ForecastError: for a forecast of wrong shape or one that is not finite.
    """
    written = []
    if paths:  # recordings are no kinds of motion to give examples of
        figure = plot_motion_types(paths, evaluation_set.dt)
        written.append(save_figure(figure, output_dir / "demo_trajectories.png"))
    return written + draw_median_forecasts(forecaster, evaluation_set, output_dir, prefix="demo_prediction")


def draw_median_forecasts(
    forecaster: Forecaster, evaluation_set: EvaluationSet, output_dir: Path, *, prefix: str
) -> list[Path]:
    """Draw one forecast of each motion type to ``<prefix>_<type>.png``, and all to ``<prefix>_grid.png``.

    Of each type the window with the median position error is shown: neither the luckiest nor the
    worst. The classical baselines are drawn beside it in the error panel.

    Returns:
        The written files.

    Raises:
        ForecastError: for a forecast of wrong shape or one that is not finite.
    """
    written = []
    forecast = forecast_all(forecaster, evaluation_set, BATCH_SIZE)
    baselines = [baseline for baseline in standard_baselines() if baseline.name != forecaster.name]
    chosen = median_windows(forecast, evaluation_set)
    for name, window in chosen.items():
        context = evaluation_set.context[window]
        figure = plot_forecast(
            context,
            evaluation_set.targets[window],
            forecast.select([window]),
            dt=evaluation_set.dt,
            title=f"{name} motion, forecast by {forecaster.name}\n"
            f"window with the median error of {len(evaluation_set.groups()[name])}",
            references={b.name: b.forecast(context[None], evaluation_set.horizon) for b in baselines},
            unit=evaluation_set.unit,
        )
        written.append(save_figure(figure, output_dir / f"{prefix}_{file_part(name)}.png"))
    rows = list(chosen.values())
    grid = plot_prediction_grid(
        evaluation_set.context[rows],
        evaluation_set.targets[rows],
        forecast.select(rows),
        dt=evaluation_set.dt,
        labels=list(chosen),
        title=f"Forecasts by {forecaster.name}: of each motion type the window with the median error",
        unit=evaluation_set.unit,
    )
    return [*written, save_figure(grid, output_dir / f"{prefix}_grid.png")]


def draw_animations(
    output_dir: Path, forecaster: Forecaster, config: DatasetConfig, *, suffix: str
) -> Iterator[Path]:
    """Animate one path of each motion type to ``demo_animation_<type><suffix>``, forecast at every point.

    Of each type the path with the median error is shown, mean over all its forecasts.

    Args:
        output_dir: folder of the animations, made if missing.
        forecaster: whose forecasts are shown; its name stands in every title.
        config: which types, the forecaster's context and horizon, sampling rate, noise and seed.
        suffix: ``.gif`` or ``.mp4``.

    Yields:
        Each file once it is written, which takes seconds.

    Raises:
        ForecastError: for a forecast of wrong shape or one that is not finite.
        ConfigError: MP4 without ffmpeg.
    """
    for name in config.type_names:
        path, observed = _observed_paths(name, config)
        forecast, windows = _forecast_along(path, observed, forecaster, name, config)
        made = len(windows.context) // len(path)  # forecasts along each path
        errors = position_error(forecast.mean, windows.targets).reshape(-1, made).mean(axis=-1)
        median = int(np.argsort(errors)[(len(errors) - 1) // 2])
        animation = animate_forecasts(
            path[median],
            observed[median],
            forecast.select(slice(median * made, (median + 1) * made)),
            dt=config.time_step,
            title=f"{name} motion, forecast by {forecaster.name}",
        )
        yield save_animation(animation, output_dir / f"demo_animation_{file_part(name)}{suffix}")


def _observed_paths(name: str, config: DatasetConfig) -> tuple[FloatArray, FloatArray]:
    """Paths of one type, [n, N + H, 3] metres, and their first N points as measured, [n, N, 3]."""
    from examples.trajectory_3d.datasets import generate_motion  # noqa: PLC0415  (imports torch)

    points = config.sequence_length + ANIMATED_HORIZONS * config.prediction_length
    batch = generate_motion(name, ANIMATED_PATHS, replace(config, sequence_length=points))
    return batch.path.numpy(), batch.context.numpy()


def _forecast_along(
    path: FloatArray, observed: FloatArray, forecaster: Forecaster, name: str, config: DatasetConfig
) -> tuple[PathForecast, EvaluationSet]:
    """Forecast from every full context along the paths: all of the first path, then all of the second, ..."""
    length, horizon = config.sequence_length, config.prediction_length
    contexts = sliding_window_view(observed, length, axis=1)  # [n, F, 3, L]
    targets = sliding_window_view(path[:, length:], horizon, axis=1)  # [n, F, 3, H]
    windows = EvaluationSet(
        context=contexts.swapaxes(-1, -2).reshape(-1, length, 3),
        targets=targets.swapaxes(-1, -2).reshape(-1, horizon, 3),
        type_ids=np.zeros(contexts.shape[0] * contexts.shape[1], dtype=np.int64),
        type_names=(name,),
        dt=config.time_step,
    )
    return forecast_all(forecaster, windows, BATCH_SIZE), windows


def median_windows(forecast: PathForecast, evaluation_set: EvaluationSet) -> dict[str, int]:
    """Of each motion type, the window whose position error is the median."""
    errors = position_error(forecast.mean, evaluation_set.targets)
    return {
        name: int(windows[np.argsort(errors[windows])[(len(windows) - 1) // 2]])
        for name, windows in evaluation_set.groups().items()
        if name != MIXED
    }


def example_paths(config: DatasetConfig, *, count: int, seconds: float) -> dict[str, FloatArray]:
    """Clean example paths of every motion type of a data set, at its sampling rate.

    Args:
        config: which types, with which options, and the seed.
        count: paths of each type.
        seconds: length of each.

    Returns:
        Type name -> ``[count, T, 3]`` metres.
    """
    from examples.trajectory_3d.datasets import generate_motion  # noqa: PLC0415  (imports torch)

    points = 1 + max(1, round(seconds * config.sampling_rate))
    longer = replace(config, sequence_length=points - 1, prediction_length=1)
    return {name: generate_motion(name, count, longer).path.numpy() for name in config.type_names}
