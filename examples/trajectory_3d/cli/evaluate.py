"""``trajectory-3d-eval``: judge a trained model, or classical forecasters alone, on unseen motion."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import add_device, parse_with_overrides, resolve_device
from examples.trajectory_3d.config import ExperimentConfig, experiment_to_judge
from m.config import ConfigError, read_yaml

if TYPE_CHECKING:
    from examples.trajectory_3d.model_discovery import FoundModel


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-eval",
        description="Forecast the test stream with a trained model and with classical baselines.",
        usage="trajectory-3d-eval MODEL [CONFIG] | --latest [CONFIG] | --interactive [CONFIG] | "
        "--no-model CONFIG [options] [key=value ...]",
        epilog="Overrides such as dataset.noise_std=0.05 or evaluation.test_windows=5000 test a model on "
        "other data than it was trained for.",
        allow_abbrev=False,
    )
    made.add_argument(
        "paths",
        nargs="*",
        metavar="MODEL [CONFIG]",
        help="checkpoint, run folder, or shipped model by folder or name (trajectory-3d, "
        "trajectory-3d-wide); YAML (default: the run's own, or what the shipped model's card tells)",
    )
    made.add_argument("--latest", action="store_true", help="the model that improved last")
    made.add_argument("--interactive", action="store_true", help="choose from the models below the outputs")
    made.add_argument(
        "--no-model",
        action="store_true",
        help="classical forecasters alone, on the data of CONFIG",
    )
    add_judgement(made)
    return made


def add_judgement(parser: argparse.ArgumentParser) -> None:
    """Add what says how a model is judged and where; for every command that evaluates one."""
    parser.add_argument(
        "--baselines",
        metavar="NAME[,NAME...]",
        help="all, none, or names such as kalman-constant-velocity; an unknown one lists them (default: "
        "last value, constant velocity, constant acceleration)",
    )
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="also fit the parametric oracles, which know each motion's equations, and compare with them",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for the results (default: evaluation/ beside the model, or evaluation_<hash>/ for "
        "other data than it was trained for; without a model outputs/trajectory_3d/classical/<hash>/)",
    )
    add_device(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: _evaluate(argv))


def _evaluate(argv: Sequence[str] | None) -> None:
    judge(*parse_with_overrides(parser(), argv))


def judge(arguments: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Evaluate what arguments of `parser` ask for, and print the table.

    Raises:
        ConfigError, ModelNotFoundError, CheckpointError: the request is wrong.
        IncompleteEvaluationError: a part is missing; the rest is written and printed.
    """
    for override in overrides:
        if override.startswith(("model.", "training.")):
            print(f"note: {override} changes nothing: what is evaluated is trained already", file=sys.stderr)
    if arguments.no_model:
        _report(None, _experiment(_only_config(arguments), overrides), arguments)
    else:
        _report(*_model_and_experiment(arguments, overrides), arguments)


def _experiment(config: Path, overrides: Sequence[str]) -> ExperimentConfig:
    return experiment_to_judge(read_yaml(config), overrides, str(config))


def _only_config(arguments: argparse.Namespace) -> Path:
    if arguments.latest or arguments.interactive or len(arguments.paths) != 1:
        raise ConfigError("--no-model takes one configuration and no model; see --help")
    if arguments.device != "auto":
        raise ConfigError("--device chooses where a model runs; leave it out with --no-model")
    return Path(arguments.paths[0])


def _model_and_experiment(
    arguments: argparse.Namespace, overrides: Sequence[str]
) -> tuple[Path, ExperimentConfig]:
    from examples.trajectory_3d.model_discovery import latest_model, named_model  # noqa: PLC0415

    paths = arguments.paths
    found_here = arguments.latest or arguments.interactive
    expected = 1 if found_here else 2
    if len(paths) > expected or not (paths or found_here) or (arguments.latest and arguments.interactive):
        raise ConfigError(
            "name one model (and, after it, one configuration), or use --latest or --interactive; see --help"
        )
    if arguments.interactive:
        found = _chosen_model()
    else:
        found = latest_model() if arguments.latest else named_model(paths[0])
    named = paths[0 if found_here else 1 :]
    config = Path(named[0]) if named else found.config
    if config is None and found.card is not None:
        from examples.trajectory_3d.trained_model import released_experiment  # noqa: PLC0415

        return found.path, released_experiment(found.card, overrides)
    if config is None:
        raise ConfigError(
            f"there is no config.yaml beside {found.path}; name a configuration after the model"
        )
    return found.path, _experiment(config, overrides)


def _chosen_model() -> FoundModel:
    from examples.trajectory_3d.cli.chooser import choose  # noqa: PLC0415
    from examples.trajectory_3d.model_discovery import find_models, latest_model  # noqa: PLC0415

    latest_model()  # says what to do where there is none
    models = find_models()
    times = [datetime.fromtimestamp(each.path.stat().st_mtime).astimezone() for each in models]
    place = choose(
        "Which model?",
        [f"{each.name}  ({when:%Y-%m-%d %H:%M})" for each, when in zip(models, times, strict=True)],
    )
    if place is None:
        raise ConfigError("no model was chosen")
    return models[place]


def _report(path: Path | None, experiment: ExperimentConfig, arguments: argparse.Namespace) -> None:
    # Imported here: torch and matplotlib cost seconds that --help and a wrong path must not.
    from rich.console import Console  # noqa: PLC0415

    from examples.trajectory_3d.baselines import DEFAULT_BASELINES  # noqa: PLC0415
    from examples.trajectory_3d.evaluation_report import render_table  # noqa: PLC0415
    from examples.trajectory_3d.evaluation_run import (  # noqa: PLC0415
        IncompleteEvaluationError,
        evaluate_baselines,
        evaluate_model,
    )

    named = arguments.baselines
    baselines = DEFAULT_BASELINES if named is None else tuple(name.strip() for name in named.split(","))
    output, oracle = arguments.output, arguments.oracle
    console = Console()
    try:
        if path is None:
            result, folder = evaluate_baselines(experiment, baselines=baselines, output=output, oracle=oracle)
        else:
            device = resolve_device(arguments.device)
            result, folder = evaluate_model(
                path, experiment, device=device, output=output, baselines=baselines, oracle=oracle
            )
    except IncompleteEvaluationError as error:
        console.print(render_table(error.result))
        raise
    console.print(render_table(result))
    console.print(f"Full tables and pictures are in {folder}", highlight=False, soft_wrap=True)
