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
from m.ray_cluster import add_ray_option

if TYPE_CHECKING:
    from rich.console import Console

    from examples.trajectory_3d.recordings.forecasting import ForecastSettings
    from examples.trajectory_3d.recordings.prediction import (
        BackTestSettings,
        FilePrediction,
        PredictionJob,
    )
    from examples.trajectory_3d.recordings.prediction_parts import Parts
    from examples.trajectory_3d.recordings.prediction_run import PredictionRun

SHIPPED = "shipped"
_PARTS = "trajectory-3d-predict.parts"
_EXAMPLES = """\
examples:
  trajectory-3d-predict flight.igc --horizon 32 --out forecast.csv --plot
  trajectory-3d-predict log.csv --position px,py,pz --time stamp --unit m --samples 20 --out forecast.json
  trajectory-3d-predict poses.txt --rate 10 --backtest
  trajectory-3d-predict walk.bvh --model outputs/trajectory_3d/mine --backtest --baselines all
  trajectory-3d-predict flights/ --out forecasts.parquet --ray
  trajectory-3d-predict flights/ --out forecasts.parquet --ray ray://head:10001
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
    made.add_argument(
        "file",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="recordings, of any known format; of a folder, all that are in it",
    )
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
    _add_many(made)
    add_read_options(made)
    add_device(made)
    return made


def _add_many(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("many files")
    add_ray_option(
        group,
        before="recordings",
        use="do each file as a task of a Ray cluster (extra [ray]) whose machines see files and model under "
        "the same paths",
    )
    group.add_argument(
        "--parts",
        type=Path,
        metavar="DIR",
        help="keep each file's result in DIR as soon as it is there, and take up those that are: the same "
        "command goes on where it was stopped. A result counts for the same file, model and settings. "
        f"Default with --ray: OUT.parts for --out OUT, else {_PARTS}; removed when all is done, while a "
        "DIR that was named stays",
    )


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
    job = _job(arguments)
    console = Console(soft_wrap=True)
    console.width = max(console.width, 106)  # lines that a narrow window breaks read better than narrow cells
    done, parts = _work(arguments, job)
    for each in done.files:
        if each.error is not None:
            print(f"error: {each.error}", file=sys.stderr)
    for each in done.files:
        for note in each.notes:
            console.print(f"note: {each.path}: {note}", highlight=False, markup=False)
    read = [each for each in done.files if each.error is None]
    if not read:
        return 1
    show = _show_scores if arguments.backtest else _show_forecasts
    code = max(show(arguments, console, read), int(done.failed))
    if parts is not None and arguments.parts is None and not code:
        parts.remove(done.kept)  # all that is in them has been told
    return code


def _work(arguments: argparse.Namespace, job: PredictionJob) -> tuple[PredictionRun, Parts | None]:
    from examples.trajectory_3d.recordings.prediction_files import files_to_predict  # noqa: PLC0415
    from examples.trajectory_3d.recordings.prediction_parts import Parts  # noqa: PLC0415
    from examples.trajectory_3d.recordings.prediction_run import run_prediction  # noqa: PLC0415

    folder = _parts_folder(arguments)
    paths = files_to_predict(arguments.file, job.reading, not_these=(arguments.out, folder))
    parts = None if folder is None else Parts(folder, job)
    try:
        return run_prediction(paths, job, parts=parts, ray=arguments.ray), parts
    except BaseException:
        if parts is not None and parts.folder.is_dir():
            print(f"results so far are in {parts.folder}; the same command takes them up", file=sys.stderr)
        raise


def _parts_folder(arguments: argparse.Namespace) -> Path | None:
    if arguments.parts is not None or arguments.ray is None:
        named: Path | None = arguments.parts
        return named
    out: Path | None = arguments.out
    return Path(_PARTS) if out is None else out.with_name(f"{out.name}.parts")


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


def _job(arguments: argparse.Namespace) -> PredictionJob:
    """What is wanted of every file.

    Raises:
        ModelNotFoundError: there is no such model.
        ConfigError: settings that make no sense, or no such device here.
    """
    from examples.trajectory_3d.model_discovery import named_model  # noqa: PLC0415
    from examples.trajectory_3d.recordings.prediction import PredictionJob  # noqa: PLC0415
    from examples.trajectory_3d.weights import wide_folder  # noqa: PLC0415

    settings, reading, back_test = _settings(arguments), read_options(arguments), _back_test(arguments)
    if arguments.ray is None:
        resolve_device(arguments.device)  # on a cluster, the machines that do the work have devices of theirs
    name = str(wide_folder()) if arguments.model == SHIPPED else arguments.model
    return PredictionJob(
        model=str(named_model(name).path.absolute()),
        called=arguments.model,
        device=arguments.device,
        samples=arguments.samples,
        reading=reading,
        settings=settings,
        back_test=back_test,
    )


def _back_test(arguments: argparse.Namespace) -> BackTestSettings | None:
    from examples.trajectory_3d.baselines import make_baselines  # noqa: PLC0415
    from examples.trajectory_3d.recordings.prediction import BackTestSettings  # noqa: PLC0415

    if not arguments.backtest:
        return None
    names = tuple(arguments.baselines.split(","))
    try:
        make_baselines(names)  # before any file is read
    except ValueError as error:
        raise ConfigError(f"--baselines: {error}") from error
    return BackTestSettings(windows=arguments.windows, rest=arguments.rest, baselines=names)


def _show_forecasts(arguments: argparse.Namespace, console: Console, files: Sequence[FilePrediction]) -> int:
    from examples.trajectory_3d.figure_style import save_figure  # noqa: PLC0415
    from examples.trajectory_3d.recordings.forecast_figure import plot_track_forecasts  # noqa: PLC0415
    from examples.trajectory_3d.recordings.forecast_table import forecast_table, write_table  # noqa: PLC0415
    from examples.trajectory_3d.recordings.forecast_text import findings_text, forecast_summary  # noqa: PLC0415

    made = [track for each in files for track in each.made]
    missed = [track for each in files for track in each.missed]
    for line in findings_text([*made, *missed]):
        console.print(line, highlight=False, markup=False)
    for track in missed:
        print(f"no forecast: {track.trajectory.label}: {track.reason}", file=sys.stderr)
    if not made:
        return 1
    model = files[0].model
    console.print(forecast_summary(made, model))
    if arguments.out is not None:
        console.print(f"{write_table(forecast_table(made), arguments.out)}", highlight=False, markup=False)
    if arguments.plot is not None:
        title = f"{model}: the next {arguments.horizon} points"
        console.print(f"{save_figure(plot_track_forecasts(made, title), arguments.plot)}", highlight=False)
    return 0


def _show_scores(arguments: argparse.Namespace, console: Console, files: Sequence[FilePrediction]) -> int:
    from examples.trajectory_3d.recordings.forecast_text import back_test_table  # noqa: PLC0415

    scored = 0
    for each in files:
        if each.scores is None:
            print(f"no back-test: {each.path}: {each.untested}", file=sys.stderr)
            continue
        found = each.scores
        title = f"{each.path}: {len(found.windows.windows)} hidden ends of {arguments.horizon} points"
        console.print(back_test_table(title, found.scores, found.windows, found.unit, each.model))
        scored += 1
    return int(not scored)
