"""What ``trajectory-3d-predict`` does with one file, wherever it runs: read it, forecast or back-test it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from examples.trajectory_3d.recordings.backtesting import (
    BackTestScore,
    BackTestWindows,
    back_test,
    back_test_windows,
)
from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.forecasting import (
    ForecastSettings,
    TrackForecast,
    Unforecast,
    forecast_tracks,
)
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import read
from examples.trajectory_3d.recordings.trajectory import Trajectory
from m.config import ConfigError

if TYPE_CHECKING:
    from examples.trajectory_3d.model_forecaster import ModelForecaster


@dataclass(frozen=True, kw_only=True)
class BackTestSettings:
    """How the end of each track is hidden and forecast.

    Attributes:
        windows: hidden ends of a track, at most.
        rest: contexts that spread less are left out.
        baselines: classical forecasters beside the model, as `make_baselines` takes them.
    """

    windows: int
    rest: float
    baselines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PredictionJob:
    """What is wanted of every file.

    Attributes:
        model: path of the model.
        called: the model as the user named it, for messages.
        device: as ``--device`` takes it; resolved where the work is done.
        samples: paths to draw beside each forecast.
        reading: what files do not say of themselves.
        settings: how tracks become contexts.
        back_test: None for forecasts.
    """

    model: str
    called: str
    device: str
    samples: int
    reading: ReadOptions
    settings: ForecastSettings
    back_test: BackTestSettings | None


@dataclass(frozen=True)
class FileScores:
    """A back-test of one file.

    Attributes:
        scores: of each forecaster.
        windows: that were hidden.
        unit: of the positions.
    """

    scores: tuple[BackTestScore, ...]
    windows: BackTestWindows
    unit: str


@dataclass(frozen=True, kw_only=True)
class FilePrediction:
    """What became of one file.

    Attributes:
        path: of it, as it was named.
        error: why there is nothing; None where the file was read and the work done.
        notes: of the reader.
        model: name of the model, for titles.
        made: forecasts of tracks.
        missed: tracks without one.
        scores: of the back-test.
        untested: why there is no back-test.
    """

    path: str
    error: str | None = None
    notes: tuple[str, ...] = ()
    model: str = ""
    made: tuple[TrackForecast, ...] = ()
    missed: tuple[Unforecast, ...] = ()
    scores: FileScores | None = None
    untested: str | None = None


def predict_file(path: str, job: PredictionJob) -> FilePrediction:
    """Read one file and do the job; a file that cannot be read or judged is a result too.

    Raises:
        CheckpointError: the model cannot be loaded.
        ConfigError: it is not one of paths in space, or there is no such device or baseline.
    """
    from examples.trajectory_3d.evaluation import ForecastError  # noqa: PLC0415  (loads much, seldom needed)

    try:
        tracks = read(path, job.reading)
    except (RecordingError, OSError) as error:
        return FilePrediction(path=path, error=str(error))
    notes = tuple(sorted({note for track in tracks for note in track.notes}))
    forecaster = loaded_forecaster(job.model, job.called, job.device, job.samples)
    known = FilePrediction(path=path, notes=notes, model=forecaster.name)
    if job.back_test is None:
        made, missed = forecast_tracks(tracks, forecaster, job.settings)
        return replace(known, made=tuple(map(_lean, made)), missed=tuple(map(_without_samples, missed)))
    try:
        return _back_tested(known, tracks, forecaster, job.settings, job.back_test)
    except ForecastError as error:
        return FilePrediction(path=path, error=f"{path}: {error}")


@lru_cache(maxsize=1)
def loaded_forecaster(model: str, called: str, device: str, samples: int) -> ModelForecaster:
    """The model, loaded once in a process.

    Raises:
        CheckpointError: it cannot be loaded.
        ConfigError: it is not one of paths in space, or there is no such device.
    """
    from examples.trajectory_3d.model_forecaster import ModelForecaster  # noqa: PLC0415  (torch)
    from examples.trajectory_3d.trained_model import load_trained  # noqa: PLC0415
    from m.device import choose_device  # noqa: PLC0415

    try:
        place = choose_device(device)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error
    trained = load_trained(Path(model), device=place)
    sizes = (trained.model.config.input_dim, trained.model.config.target_dim)
    if sizes != (3, 3):
        raise ConfigError(f"{called} maps {sizes[0]} coordinates to {sizes[1]}, not 3 to 3")
    return ModelForecaster(trained.model, trained.name, samples=samples)


def _back_tested(
    known: FilePrediction,
    tracks: list[Trajectory],
    forecaster: ModelForecaster,
    settings: ForecastSettings,
    wanted: BackTestSettings,
) -> FilePrediction:
    from examples.trajectory_3d.baselines import make_baselines  # noqa: PLC0415  (scipy)

    windows = back_test_windows(tracks, settings, wanted.windows, wanted.rest)
    if windows is None or not len(windows.windows):
        why = "no piece is long enough" if windows is None else "nothing moves in any context"
        return replace(known, untested=why)
    baselines = make_baselines(wanted.baselines)
    scores, _ = back_test(windows, [forecaster, *baselines], Path(known.path).name)
    return replace(known, scores=FileScores(tuple(scores), windows, tracks[0].unit))


def _lean(made: TrackForecast) -> TrackForecast:
    """A forecast without its density, of which nothing is told: it would travel and be kept for nothing."""
    return replace(made, forecast=replace(made.forecast, density=None))


def _without_samples(missed: Unforecast) -> Unforecast:
    known = missed.trajectory
    return replace(missed, trajectory=replace(known, times=known.times[:0], points=known.points[:0]))
