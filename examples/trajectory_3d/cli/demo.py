"""``trajectory-3d-demo``: pictures of the motion types, and of real forecasts of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import add_device, resolve_device
from examples.trajectory_3d.dataset_config import DatasetConfig
from m.config import ConfigError

if TYPE_CHECKING:
    from examples.trajectory_3d.forecasters import Forecaster

DESCRIPTION = (
    "Draw example paths of every motion type, and forecasts of them. The forecaster is named in each title: "
    "the model that comes with the package, another trained model, or a classical baseline."
)
_EXAMPLE_PATHS = 4  # of each type
_SECONDS_SHOWN = 8.0
_ANIMATION_FORMATS = ("auto", "gif", "mp4")


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(prog="trajectory-3d-demo", description=DESCRIPTION, allow_abbrev=False)
    add_arguments(made)
    return made


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `draw` reads, for every command that draws the demonstration."""
    parser.add_argument(
        "model",
        nargs="?",
        help="checkpoint, run folder, or shipped model by folder or name, such as trajectory-3d-wide "
        "(default: trajectory-3d)",
    )
    parser.add_argument("--latest", action="store_true", help="forecast with the model trained last")
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="forecast with a classical baseline, such as constant-acceleration",
    )
    parser.add_argument(
        "--output", type=Path, help="folder for the pictures (default: outputs/trajectory_3d/demo)"
    )
    parser.add_argument(
        "--animate",
        nargs="?",
        const="auto",
        type=_animation_format,
        metavar="FORMAT",
        help="also animate a path of each type, as gif or mp4 (needs ffmpeg); without FORMAT, or with auto, "
        "mp4 where ffmpeg is found, else gif",
    )
    parser.add_argument("--seed", type=int, default=0, help="which paths (default: 0)")
    add_device(parser)


def _animation_format(text: str) -> str:
    if text not in _ANIMATION_FORMATS:
        raise argparse.ArgumentTypeError(
            f"'{text}' is none of {', '.join(_ANIMATION_FORMATS)}; a model is named before --animate"
        )
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: draw(parser().parse_args(argv)))


def draw(arguments: argparse.Namespace) -> None:
    """Draw and animate what the arguments of `add_arguments` ask for, and print the name of every file.

    Raises:
        ConfigError: a request that means nothing; before any work is done.
        ModelNotFoundError, CheckpointError: the model is not there, or cannot be read.
    """
    _check(arguments)
    # Imported here: torch and matplotlib cost seconds that --help must not.
    from dataclasses import replace  # noqa: PLC0415

    from examples.trajectory_3d.animation import animation_suffix  # noqa: PLC0415
    from examples.trajectory_3d.demo import draw_animations, example_paths, run_demo  # noqa: PLC0415
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415
    from examples.trajectory_3d.windows import evaluation_windows  # noqa: PLC0415

    suffix = None if arguments.animate is None else animation_suffix(arguments.animate)
    forecaster, dataset = _choose_forecaster(arguments)
    dataset = replace(dataset, seed=arguments.seed, evaluation_seed=arguments.seed)
    output = arguments.output or OUTPUT_ROOT / "demo"
    if suffix is not None and not dataset.has_motions:
        raise ConfigError(
            "--animate draws synthetic motion, and this model was trained on recordings; leave it out"
        )
    windows = evaluation_windows(dataset, "test", 500)
    paths = example_paths(dataset, count=_EXAMPLE_PATHS, seconds=_SECONDS_SHOWN)
    for path in run_demo(output, forecaster, windows, paths):
        print(path)
    if suffix is not None:
        for path in draw_animations(output, forecaster, dataset, suffix=suffix):
            print(path, flush=True)


def _check(arguments: argparse.Namespace) -> None:
    if sum((arguments.model is not None, arguments.latest, arguments.baseline is not None)) > 1:
        raise ConfigError("name a model, or use --latest, or --baseline; only one of them")
    if arguments.baseline is not None and arguments.device != "auto":
        raise ConfigError("--device chooses where a model runs; leave it out with --baseline")
    if arguments.seed < 0:
        raise ConfigError(f"--seed must be 0 or above, got {arguments.seed}")


def _choose_forecaster(arguments: argparse.Namespace) -> tuple[Forecaster, DatasetConfig]:
    """The forecaster, and the motion that it is for; a baseline is shown the motion of the shipped model."""
    from examples.trajectory_3d.model_discovery import latest_model, named_model  # noqa: PLC0415
    from examples.trajectory_3d.trained_model import load_trained, motion_of  # noqa: PLC0415
    from examples.trajectory_3d.weights import DEFAULT_NAME  # noqa: PLC0415

    if arguments.baseline is not None:
        return _baseline(arguments.baseline), motion_of(named_model(DEFAULT_NAME))
    from examples.trajectory_3d.model_forecaster import ModelForecaster  # noqa: PLC0415

    found = latest_model() if arguments.latest else named_model(arguments.model or DEFAULT_NAME)
    dataset = motion_of(found)
    trained = load_trained(found.path, device=resolve_device(arguments.device))
    return ModelForecaster(trained.model, trained.title), dataset


def _baseline(name: str) -> Forecaster:
    from examples.trajectory_3d.baselines import make_baselines  # noqa: PLC0415

    try:
        made = make_baselines([name])
    except ValueError as error:
        raise ConfigError(f"--baseline: {error}") from error
    if len(made) != 1:
        raise ConfigError(f"--baseline takes the name of one baseline, got '{name}'")
    return made[0]
