"""``trajectory-3d-inference-demo``: ask the inference server in every way, or start it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import resolve_device
from m.config import ConfigError
from m.inference_server.cli import add_serving, run_server

if TYPE_CHECKING:
    from examples.trajectory_3d.model_discovery import FoundModel

DESCRIPTION = (
    "Send single, batched, streamed and sampled requests to an inference server in this process, compare "
    "each answer with the model's own forecast, and draw forecasts with their uncertainty. With --serve, "
    "start the server on a port instead."
)
_OF_BOTH = ("device",)  # among the options of a server, the demonstration reads these too


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-inference-demo", description=DESCRIPTION, allow_abbrev=False
    )
    made.add_argument(
        "model",
        nargs="?",
        help="checkpoint, run folder, or shipped model by folder or name (default: the shipped "
        "trajectory-3d, or where there is none, the model trained last)",
    )
    made.add_argument("--latest", action="store_true", help="the model trained last")
    demo = made.add_argument_group("demonstration")
    demo.add_argument(
        "--output",
        type=Path,
        help="folder for the picture, or the name of a .png, .svg or .pdf "
        "(default: outputs/trajectory_3d/inference_demo)",
    )
    demo.add_argument("--seed", type=int, help="which paths (default: 0)")
    server = made.add_argument_group("server")
    server.add_argument("--serve", action="store_true", help="serve until SIGTERM or Ctrl-C")
    add_serving(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    arguments = parser().parse_args(argv)
    code = 0

    def work() -> None:
        nonlocal code
        _check(arguments)
        if arguments.serve:
            code = _serve(arguments)
        else:
            _demonstrate(arguments)

    return run(work) or code


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what means nothing.

    Raises:
        ConfigError: says what.
    """
    if arguments.model is not None and arguments.latest:
        raise ConfigError("name a model, or use --latest; not both")
    if arguments.seed is not None and arguments.seed < 0:
        raise ConfigError(f"--seed must be 0 or above, got {arguments.seed}")
    mode, unused = ("with", "output seed") if arguments.serve else ("without", _serving_options())
    defaults = vars(parser().parse_args([]))
    for name in unused.split():
        if getattr(arguments, name) != defaults[name]:
            raise ConfigError(f"--{name.replace('_', '-')} means nothing {mode} --serve")


def _serving_options() -> str:
    """Names of what only a server process reads."""
    alone = argparse.ArgumentParser()
    add_serving(alone)
    return " ".join(name for name in vars(alone.parse_args([])) if name not in _OF_BOTH)


def _demonstrate(arguments: argparse.Namespace) -> None:
    # Imported here: torch and matplotlib cost seconds that --help must not.
    from dataclasses import replace  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415

    from examples.trajectory_3d.figure_style import save_figure  # noqa: PLC0415
    from examples.trajectory_3d.inference_demo import demonstrate, outcome_table  # noqa: PLC0415
    from examples.trajectory_3d.trained_model import motion_of, name_of  # noqa: PLC0415

    picture = _picture(arguments.output)
    found = _chosen_model(arguments)
    device, seed = str(resolve_device(arguments.device)), arguments.seed or 0
    dataset = replace(motion_of(found), seed=seed, evaluation_seed=seed)
    shown = demonstrate(found.path, name_of(found), dataset, device=device)
    console = Console()
    console.width = max(console.width, 106)  # lines that a narrow window breaks read better than narrow cells
    console.print(outcome_table(shown.outcomes))
    print(save_figure(shown.picture, picture))
    shown.check()


def _picture(output: Path | None) -> Path:
    """Where the picture goes."""
    from examples.trajectory_3d.inference_demo import PICTURE  # noqa: PLC0415
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415

    if output is None:
        return OUTPUT_ROOT / "inference_demo" / PICTURE
    if not output.suffix or output.is_dir():
        return output / PICTURE
    if output.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"--output {output} must be a folder, or end in .png, .svg or .pdf")
    return output


def _serve(arguments: argparse.Namespace) -> int:
    from examples.trajectory_3d.trained_model import name_of  # noqa: PLC0415

    found = _chosen_model(arguments)
    return run_server(str(found.path), arguments, name=name_of(found))


def _chosen_model(arguments: argparse.Namespace) -> FoundModel:
    """The model that was asked for; without one the shipped model, else the latest run's.

    Raises:
        ModelNotFoundError: there is none; says what to do.
    """
    from examples.trajectory_3d.model_discovery import (  # noqa: PLC0415
        latest_model,
        named_model,
        released_model,
    )
    from examples.trajectory_3d.weights import folder  # noqa: PLC0415

    if arguments.latest:
        return latest_model()
    if arguments.model is not None:
        return named_model(arguments.model)
    return released_model(str(folder())) or latest_model()
