"""``trajectory-3d-train``: train a forecaster of 3-D motion."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import add_device, parse_with_overrides, resolve_device
from examples.trajectory_3d.config import ExperimentConfig, check_run_name
from m.config import ConfigError, known_keys, load_config

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from m.training import TrainingResult

_LIVE_PORT = 8787
_LAST_PORT = 65535
_EXAMPLES = """\
examples:
  trajectory-3d-train examples/trajectory_3d/configs/quick_test_3d.yaml
  trajectory-3d-train examples/trajectory_3d/configs/small_3d_moe.yaml --live
  trajectory-3d-train examples/trajectory_3d/configs/small_3d_moe.yaml --name wide model.dim=384
  trajectory-3d-train examples/trajectory_3d/configs/small_3d_moe.yaml --name wide model.dim=384 --resume

Every setting of the configuration can be overridden, as key=value or --key value:
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-train",
        description="Train a mixture-of-experts transformer to continue 3-D paths.",
        usage="trajectory-3d-train CONFIG [--name NAME] [options] [key=value ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES + textwrap.indent(_settings(), "  "),
        allow_abbrev=False,
    )
    made.add_argument("config", type=Path, metavar="CONFIG", help="YAML file of the experiment")
    made.add_argument("--name", help="name of the run and its folder (default: the configuration's)")
    made.add_argument("--output-root", type=Path, help="folder of runs (default: outputs/trajectory_3d)")
    made.add_argument(
        "--resume", action="store_true", help="go on with the run, bit for bit as if never stopped"
    )
    made.add_argument("--seed", type=int, help="seed of weights and data (default: the configuration's)")
    made.add_argument(
        "--live",
        nargs="?",
        type=_port,
        const=_LIVE_PORT,
        metavar="PORT",
        help=f"show the run in a browser as it trains, on this machine only (default port: {_LIVE_PORT}, "
        "0: any free one)",
    )
    add_device(made)
    made.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        help="auto takes bf16 where the hardware multiplies it (default: the configuration's)",
    )
    return made


def _port(text: str) -> int:
    """A port number; `argparse` reports what is none."""
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(
            f"a port is a number from 0 to {_LAST_PORT}, got '{text}'; name the configuration before --live"
        )
    return int(text)


def _settings() -> str:
    return "\n".join(f"{key} = {value}" for key, value in known_keys(ExperimentConfig) if key != "name")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: _train(argv))


def _train(argv: Sequence[str] | None) -> None:
    arguments, overrides = parse_with_overrides(parser(), argv)
    experiment = _read_experiment(arguments, overrides)
    _run(experiment, arguments, resolve_device(arguments.device))


def _read_experiment(arguments: argparse.Namespace, overrides: list[str]) -> ExperimentConfig:
    if arguments.seed is not None:
        overrides = [*overrides, f"training.seed={arguments.seed}", f"dataset.seed={arguments.seed}"]
    if arguments.precision is not None:
        overrides = [*overrides, f"training.precision={arguments.precision}"]
    experiment = load_config(ExperimentConfig, arguments.config, overrides)
    if arguments.name is None:
        return experiment
    try:
        return replace(experiment, name=check_run_name(arguments.name))
    except ValueError as error:
        raise ConfigError(f"--name: {error}") from error


def _run(experiment: ExperimentConfig, arguments: argparse.Namespace, device: torch.device) -> None:
    # Imported here: torch and matplotlib cost seconds that --help and a wrong key must not.
    from rich.console import Console  # noqa: PLC0415

    from examples.trajectory_3d.live.server import live_server  # noqa: PLC0415
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415
    from examples.trajectory_3d.training import train  # noqa: PLC0415
    from examples.trajectory_3d.training_display import make_display  # noqa: PLC0415

    console = Console()
    folder = (arguments.output_root or OUTPUT_ROOT) / experiment.name
    with live_server(arguments.live) as live:  # to the end of the evaluation: the page may be opened late
        if live is not None:
            console.print(f"Watch it at {live.url}", highlight=False)
        result = train(
            experiment,
            folder,
            device=device,
            resume=arguments.resume,
            callbacks=(make_display(console),),
            live=None if live is None else live.history,
        )
        _conclude(result, experiment, folder, device, console)


def _conclude(
    result: TrainingResult, experiment: ExperimentConfig, folder: Path, device: torch.device, console: Console
) -> None:
    """Evaluate a finished run, and say where everything is."""
    from examples.trajectory_3d.evaluation_report import render_table  # noqa: PLC0415
    from examples.trajectory_3d.evaluation_run import evaluate_model  # noqa: PLC0415
    from examples.trajectory_3d.run_folder import BEST_MODEL  # noqa: PLC0415

    if result.status != "finished":
        console.print(f"Stopped at step {result.step}; go on with the same command and --resume.")
        return
    if experiment.evaluation.after_training:
        scores, _ = evaluate_model(folder / BEST_MODEL, experiment, device=device)
        console.print(render_table(scores))
    console.print(f"Everything is in {folder}", highlight=False, soft_wrap=True)
