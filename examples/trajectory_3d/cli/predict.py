"""``trajectory-3d-predict``: forecast the continuation of recorded tracks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import add_device, resolve_device
from examples.trajectory_3d.cli.read_options import add_read_options, read_options
from m.config import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from examples.trajectory_3d.model_forecaster import ModelForecaster
    from examples.trajectory_3d.recordings.forecasting import ForecastSettings
    from examples.trajectory_3d.recordings.trajectory import Trajectory

SHIPPED = "shipped"
_EXAMPLES = """\
examples:
  trajectory-3d-predict flight.igc --horizon 32 --out forecast.csv --plot
  trajectory-3d-predict log.csv --position px,py,pz --time stamp --unit m --samples 20 --out forecast.json
  trajectory-3d-predict poses.txt --rate 10 --backtest
  trajectory-3d-predict walk.bvh --model outputs/trajectory_3d/mine --backtest --baselines all
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-predict",
        description="Forecast where each track of a recording goes next, in the file's own units, rate and "
        "frame, with intervals; or hide its end and see how well that would have been forecast.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
        allow_abbrev=False,
    )
    made.add_argument("file", nargs="+", type=Path, metavar="FILE", help="recordings, of any known format")
    made.add_argument("--horizon", type=int, default=16, help="points to forecast (default: 16)")
    made.add_argument(
        "--model",
        default=SHIPPED,
        help="checkpoint, run folder, or shipped model by name (default: shipped, the wide one)",
    )
    made.add_argument("--samples", type=int, default=0, metavar="K", help="also draw K paths (default: none)")
    made.add_argument("--out", type=Path, metavar="FILE", help="write the forecast: .csv, .json or .parquet")
    made.add_argument(
        "--plot",
        nargs="?",
        const=Path("forecast.png"),
        type=Path,
        metavar="FILE",
        help="draw it, by default as forecast.png; name the recordings before it",
    )
    made.add_argument("--context", type=int, default=64, help="points to forecast from (default: 64)")
    made.add_argument(
        "--resample", type=float, metavar="HZ", help="points a second (default: the file's own)"
    )
    made.add_argument(
        "--longest-gap", type=float, metavar="S", help="seconds that may be bridged (default: three steps)"
    )
    made.add_argument(
        "--method", choices=("linear", "cubic"), default="linear", help="of interpolation (default: linear)"
    )
    made.add_argument("--drop-outliers", action="store_true", help="leave out samples that jump and return")
    test = made.add_argument_group("back-test")
    test.add_argument("--backtest", action="store_true", help="hide the end of each track and forecast it")
    test.add_argument(
        "--windows", type=int, default=20, metavar="N", help="hidden ends of a track, at most (default: 20)"
    )
    test.add_argument(
        "--baselines",
        default="all",
        help="classical forecasters beside the model: all, none, or names with commas (default: all)",
    )
    test.add_argument(
        "--rest", type=float, default=0.0, metavar="D", help="leave out contexts that spread less than this"
    )
    add_read_options(made)
    add_device(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 1 where some of the files could not be read or nothing could be forecast."""
    arguments = parser().parse_args(argv)
    code = 0

    def work() -> None:
        nonlocal code
        code = _predict(arguments)

    return run(work) or code


def _predict(arguments: argparse.Namespace) -> int:
    # Imported here: torch and pandas cost seconds that --help must not.
    from rich.console import Console  # noqa: PLC0415

    _check(arguments)
    settings = _settings(arguments)
    console = Console(soft_wrap=True)
    console.width = max(console.width, 106)  # lines that a narrow window breaks read better than narrow cells
    tracks, failures = _read(arguments, console)
    if not tracks:
        return 1
    forecaster = _forecaster(arguments)
    work = _back_test if arguments.backtest else _forecast
    return max(work(arguments, console, tracks, forecaster, settings), failures)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot be done, before anything is read."""
    from examples.trajectory_3d.recordings.forecast_table import SUFFIXES  # noqa: PLC0415

    if arguments.samples < 0:
        raise ConfigError(f"--samples must be 0 (none) or more, got {arguments.samples}")
    if arguments.windows < 1:
        raise ConfigError(f"--windows must be at least 1, got {arguments.windows}")
    if arguments.out is not None and arguments.out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out {arguments.out} must end in one of {', '.join(SUFFIXES)}")
    if arguments.plot is not None and arguments.plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(
            f"--plot {arguments.plot} must end in .png, .svg or .pdf; name the recordings before --plot"
        )


def _settings(arguments: argparse.Namespace) -> ForecastSettings:
    from examples.trajectory_3d.recordings.forecasting import ForecastSettings  # noqa: PLC0415

    for name in ("resample", "longest_gap"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"--{name.replace('_', '-')} must be a positive number, got {value}")
    try:
        return ForecastSettings(
            horizon=arguments.horizon,
            context=arguments.context,
            rate=arguments.resample,
            longest_gap=arguments.longest_gap,
            method=arguments.method,
            drop_outliers=arguments.drop_outliers,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _read(arguments: argparse.Namespace, console: Console) -> tuple[dict[str, list[Trajectory]], int]:
    """Tracks by file; a file that cannot be read is reported and does not stop the others."""
    from examples.trajectory_3d.recordings.errors import RecordingError  # noqa: PLC0415
    from examples.trajectory_3d.recordings.registry import read  # noqa: PLC0415

    options = read_options(arguments)
    tracks: dict[str, list[Trajectory]] = {}
    for path in arguments.file:
        try:
            tracks[str(path)] = read(path, options)
        except (RecordingError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
    for path, found in tracks.items():
        for note in sorted({note for each in found for note in each.notes}):
            console.print(f"note: {path}: {note}", highlight=False, markup=False)
    return tracks, int(len(tracks) < len(set(map(str, arguments.file))))


def _forecaster(arguments: argparse.Namespace) -> ModelForecaster:
    """The model that was asked for.

    Raises:
        ModelNotFoundError: there is none.
        ConfigError: it is not one of paths in space.
    """
    from examples.trajectory_3d.model_discovery import named_model  # noqa: PLC0415
    from examples.trajectory_3d.model_forecaster import ModelForecaster  # noqa: PLC0415
    from examples.trajectory_3d.trained_model import load_trained  # noqa: PLC0415
    from examples.trajectory_3d.weights import wide_folder  # noqa: PLC0415

    name = str(wide_folder()) if arguments.model == SHIPPED else arguments.model
    trained = load_trained(named_model(name).path, device=resolve_device(arguments.device))
    sizes = (trained.model.config.input_dim, trained.model.config.target_dim)
    if sizes != (3, 3):
        raise ConfigError(f"{arguments.model} maps {sizes[0]} coordinates to {sizes[1]}, not 3 to 3")
    return ModelForecaster(trained.model, trained.name, samples=arguments.samples)


def _forecast(
    arguments: argparse.Namespace,
    console: Console,
    tracks: dict[str, list[Trajectory]],
    forecaster: ModelForecaster,
    settings: ForecastSettings,
) -> int:
    from examples.trajectory_3d.figure_style import save_figure  # noqa: PLC0415
    from examples.trajectory_3d.recordings.forecast_figure import plot_track_forecasts  # noqa: PLC0415
    from examples.trajectory_3d.recordings.forecast_table import forecast_table, write_table  # noqa: PLC0415
    from examples.trajectory_3d.recordings.forecast_text import findings_text, forecast_summary  # noqa: PLC0415
    from examples.trajectory_3d.recordings.forecasting import forecast_tracks  # noqa: PLC0415

    every = [track for found in tracks.values() for track in found]
    made, missed = forecast_tracks(every, forecaster, settings)
    for line in findings_text([*made, *missed]):
        console.print(line, highlight=False, markup=False)
    for each in missed:
        print(f"no forecast: {each.trajectory.label}: {each.reason}", file=sys.stderr)
    if not made:
        return 1
    console.print(forecast_summary(made, forecaster.name))
    if arguments.out is not None:
        console.print(f"{write_table(forecast_table(made), arguments.out)}", highlight=False, markup=False)
    if arguments.plot is not None:
        title = f"{forecaster.name}: the next {settings.horizon} points"
        console.print(f"{save_figure(plot_track_forecasts(made, title), arguments.plot)}", highlight=False)
    return 0


def _back_test(
    arguments: argparse.Namespace,
    console: Console,
    tracks: dict[str, list[Trajectory]],
    forecaster: ModelForecaster,
    settings: ForecastSettings,
) -> int:
    from examples.trajectory_3d.baselines import make_baselines  # noqa: PLC0415
    from examples.trajectory_3d.recordings.backtesting import back_test, back_test_windows  # noqa: PLC0415
    from examples.trajectory_3d.recordings.forecast_text import back_test_table  # noqa: PLC0415

    try:
        baselines = make_baselines(arguments.baselines.split(","))
    except ValueError as error:
        raise ConfigError(f"--baselines: {error}") from error
    scored = 0
    for path, found in tracks.items():
        windows = back_test_windows(found, settings, arguments.windows, arguments.rest)
        if windows is None or not len(windows.windows):
            why = "no piece is long enough" if windows is None else "nothing moves in any context"
            print(f"no back-test: {path}: {why}", file=sys.stderr)
            continue
        scores, _ = back_test(windows, [forecaster, *baselines], Path(path).name)
        unit = found[0].unit
        title = f"{path}: {len(windows.windows)} hidden ends of {settings.horizon} points"
        console.print(back_test_table(title, scores, windows, unit, forecaster.name))
        scored += 1
    return int(not scored)
