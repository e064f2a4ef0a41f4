"""``trajectory-3d-train``: train a forecaster of 3-D motion."""

from __future__ import annotations

import argparse
import os
import sys
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

    from examples.trajectory_3d.live.server import LiveServer
    from m.parallel import World
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
    many = made.add_argument_group(
        "several processes",
        "of this machine; torchrun starts this command on several (docs/scaling.md)",
    )
    many.add_argument("--nproc", type=_count, metavar="N", help="train in N processes together")
    many.add_argument(
        "--restarts",
        type=_count_or_none,
        metavar="K",
        default=3,
        help="start them again, from the last state, when one dies, K times at most (default: 3)",
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


def _count(text: str) -> int:
    """A number from 1; `argparse` reports what is none."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1, got '{text}'")
    return int(text)


def _count_or_none(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _settings() -> str:
    return "\n".join(f"{key} = {value}" for key, value in known_keys(ExperimentConfig) if key != "name")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> None:
    arguments, overrides = parse_with_overrides(parser(), argv)
    experiment = _read_experiment(arguments, overrides)  # before processes are started: all would refuse it
    if arguments.nproc is not None:
        _launch(experiment, arguments, sys.argv[1:] if argv is None else list(argv))
        return
    device = resolve_device(arguments.device)
    # Imported here: torch costs seconds that --help and a wrong key must not.
    from m.parallel import started_together  # noqa: PLC0415

    (_run_together if started_together() else _run)(experiment, arguments, device)


def _launch(experiment: ExperimentConfig, arguments: argparse.Namespace, argv: list[str]) -> None:
    """Start the processes, unless it is clear already that they would refuse."""
    from examples.trajectory_3d.together import launch  # noqa: PLC0415
    from examples.trajectory_3d.training import check_best_metric, check_folder, check_share  # noqa: PLC0415

    check_best_metric(experiment)
    check_share(experiment, arguments.nproc)
    check_folder(_folder(experiment, arguments), experiment, resume=arguments.resume)
    launch(_without(argv, ("--nproc", "--restarts")), processes=arguments.nproc, restarts=arguments.restarts)


def _without(argv: list[str], options: tuple[str, ...]) -> list[str]:
    """The arguments without some options and their values."""
    kept, skip = [], False
    for argument in argv:
        if skip:
            skip = False
        elif argument in options:
            skip = True
        elif not argument.startswith(tuple(f"{option}=" for option in options)):
            kept.append(argument)
    return kept


def _folder(experiment: ExperimentConfig, arguments: argparse.Namespace) -> Path:
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415

    root: Path = arguments.output_root or OUTPUT_ROOT
    return root / experiment.name


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


def _console(world: World | None) -> Console:
    """Where the main process reports; the others say nothing."""
    # Imported here, as what follows: torch and matplotlib cost seconds that --help and a wrong key must not.
    from rich.console import Console  # noqa: PLC0415

    return Console(quiet=world is not None and not world.is_main)


def _run(experiment: ExperimentConfig, arguments: argparse.Namespace, device: torch.device) -> None:
    """Train in this process alone."""
    from examples.trajectory_3d.live.server import live_server  # noqa: PLC0415

    console = _console(None)
    unit = _announce(experiment, console)
    with live_server(arguments.live) as live:  # to the end of the evaluation: the page may be opened late
        result = _train(experiment, arguments, device, console=console, unit=unit, live=live)
        _conclude(result, experiment, _folder(experiment, arguments), device, console)


def _run_together(experiment: ExperimentConfig, arguments: argparse.Namespace, device: torch.device) -> None:
    """Train with the processes that a launcher started with this one."""
    from examples.trajectory_3d.live.server import live_server  # noqa: PLC0415
    from m.parallel import joined_world  # noqa: PLC0415

    port = arguments.live if os.environ["RANK"] == "0" else None
    with live_server(port) as live:
        with joined_world(experiment.parallel, "cuda" if device.type == "cuda" else "cpu") as world:
            console = _console(world)
            unit = _announce(experiment, console)
            result = _train(
                experiment, arguments, world.device, console=console, unit=unit, live=live, world=world
            )
        if world.is_main:
            _conclude(result, experiment, _folder(experiment, arguments), world.device, console)


def _train(
    experiment: ExperimentConfig,
    arguments: argparse.Namespace,
    device: torch.device,
    *,
    console: Console,
    unit: str,
    live: LiveServer | None,
    world: World | None = None,
) -> TrainingResult:
    from examples.trajectory_3d.together import taken_up  # noqa: PLC0415
    from examples.trajectory_3d.training import train  # noqa: PLC0415
    from examples.trajectory_3d.training_display import make_display  # noqa: PLC0415

    if live is not None:
        console.print(f"Watch it at {live.url}", highlight=False)
    folder = _folder(experiment, arguments)
    return train(
        experiment,
        folder,
        device=device,
        resume=arguments.resume or (world is not None and taken_up(folder, world)),
        callbacks=(make_display(console, unit),),
        live=None if live is None else live.history,
        world=world,
    )


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
