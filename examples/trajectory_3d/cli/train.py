"""``trajectory-3d-train``: train a forecaster of 3-D motion."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import add_device, parse_with_overrides, resolve_device
from examples.trajectory_3d.config import FROM_INIT, ExperimentConfig, check_run_name
from m.config import ConfigError, apply_overrides, from_dict, known_keys, read_yaml

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
  trajectory-3d-train examples/trajectory_3d/configs/finetune_recordings.yaml --init-from shipped \\
    --name mine 'dataset.paths=[my_folder]'

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
    made.add_argument(
        "--init-from",
        metavar="MODEL",
        help="begin with the weights of a trained model, and take its architecture where the configuration "
        "states none: 'shipped' (trajectory-3d-wide, the one for recordings), a registered name, a run's "
        "name or folder, a checkpoint or a release",
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
    content = apply_overrides(read_yaml(arguments.config), overrides)
    source = f"{arguments.config} with {' '.join(overrides)}" if overrides else str(arguments.config)
    if arguments.name is not None:
        try:
            content["name"] = check_run_name(arguments.name)
        except ValueError as error:
            raise ConfigError(f"--name: {error}") from error
    if arguments.init_from is not None:
        content["init_from"] = arguments.init_from
        content.pop("init_weights", None)  # of another model, maybe
    if content.get("init_from") is None and content.get("model") != FROM_INIT:
        return from_dict(ExperimentConfig, content, source=source)
    return from_dict(ExperimentConfig, _with_initial(content, arguments, source), source=source)


def _with_initial(content: dict[str, Any], arguments: argparse.Namespace, source: str) -> dict[str, Any]:
    """The configuration with the architecture of the model that training begins with."""
    # What else is wrong with the configuration shows before anything is loaded.
    bare = from_dict(ExperimentConfig, {**content, "model": {"head": {"prediction_steps": 1}}}, source=source)
    # Imported here: reading a model loads torch, which --help and a wrong key must not.
    from examples.trajectory_3d.initial_weights import complete  # noqa: PLC0415
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415

    root = arguments.output_root or OUTPUT_ROOT
    return complete(content, folder=root / bare.name if arguments.resume else None, root=root, source=source)


def _run(experiment: ExperimentConfig, arguments: argparse.Namespace, device: torch.device) -> None:
    # Imported here: torch and matplotlib cost seconds that --help and a wrong key must not.
    from rich.console import Console  # noqa: PLC0415

    from examples.trajectory_3d.live.server import live_server  # noqa: PLC0415
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415
    from examples.trajectory_3d.training import train  # noqa: PLC0415
    from examples.trajectory_3d.training_display import make_display  # noqa: PLC0415

    console = Console()
    folder = (arguments.output_root or OUTPUT_ROOT) / experiment.name
    unit = _announce(experiment, console)
    with live_server(arguments.live) as live:  # to the end of the evaluation: the page may be opened late
        if live is not None:
            console.print(f"Watch it at {live.url}", highlight=False)
        result = train(
            experiment,
            folder,
            device=device,
            resume=arguments.resume,
            callbacks=(make_display(console, unit),),
            live=None if live is None else live.history,
        )
        _conclude(result, experiment, folder, device, console)


def _announce(experiment: ExperimentConfig, console: Console) -> str:
    """Say what recordings there are to train on; returns the unit of positions."""
    from examples.trajectory_3d.recorded.opening import open_recordings  # noqa: PLC0415
    from examples.trajectory_3d.recorded.parts import PARTS  # noqa: PLC0415

    if experiment.dataset.recordings is None:
        return "m"
    facts = open_recordings(experiment.dataset).facts
    counts = ", ".join(f"{facts.count(part):,} for {part}" for part in PARTS)
    groups = f"{len(facts.groups)} group{'s' if len(facts.groups) > 1 else ''}"
    lines = [f"Recordings: windows in {groups}: {counts}", *(f"note: {note}" for note in facts.notes)]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return facts.unit


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
