"""``trajectory-3d-eval``: judge a trained model on unseen motion, beside classical baselines."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import add_device, parse_with_overrides, resolve_device
from examples.trajectory_3d.config import ExperimentConfig
from m.config import ConfigError, load_config


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-eval",
        description="Forecast the test stream with a trained model and with classical baselines.",
        usage="trajectory-3d-eval MODEL [CONFIG] | --latest [options] [key=value ...]",
        epilog="Overrides such as dataset.noise_std=0.05 or evaluation.test_windows=5000 test a model on "
        "other data than it was trained for.",
        allow_abbrev=False,
    )
    made.add_argument(
        "paths",
        nargs="*",
        metavar="MODEL [CONFIG]",
        help="checkpoint or run folder; YAML (default: the run's own)",
    )
    made.add_argument("--latest", action="store_true", help="the model that improved last")
    made.add_argument(
        "--output",
        type=Path,
        help="folder for the results (default: evaluation/ beside the model, or evaluation_<hash>/ for "
        "other data than it was trained for)",
    )
    add_device(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: _evaluate(argv))


def _evaluate(argv: Sequence[str] | None) -> None:
    from examples.trajectory_3d.model_discovery import latest_model, model_at  # noqa: PLC0415

    arguments, overrides = parse_with_overrides(parser(), argv)
    paths = arguments.paths
    expected = 1 if arguments.latest else 2
    if len(paths) > expected or (not paths and not arguments.latest):
        raise ConfigError("name one model (and, after it, one configuration), or use --latest; see --help")
    found = latest_model() if arguments.latest else model_at(Path(paths[0]))
    named = paths[0 if arguments.latest else 1 :]
    config = Path(named[0]) if named else found.config
    if config is None:
        raise ConfigError(
            f"there is no config.yaml beside {found.path}; name a configuration after the model"
        )
    experiment = load_config(ExperimentConfig, config, overrides)
    _report(found.path, experiment, arguments)


def _report(path: Path, experiment: ExperimentConfig, arguments: argparse.Namespace) -> None:
    # Imported here: torch and matplotlib cost seconds that --help and a wrong path must not.
    from rich.console import Console  # noqa: PLC0415

    from examples.trajectory_3d.evaluation_report import render_table  # noqa: PLC0415
    from examples.trajectory_3d.evaluation_run import evaluate_model  # noqa: PLC0415

    console = Console()
    device = resolve_device(arguments.device)
    result, folder = evaluate_model(path, experiment, device=device, output=arguments.output)
    console.print(render_table(result))
    console.print(f"Full tables and pictures are in {folder}", highlight=False, soft_wrap=True)
