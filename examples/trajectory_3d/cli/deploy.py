"""``trajectory-3d-deploy``: a model as a folder that serves it anywhere."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from examples.trajectory_3d.cli.entry import run
from m.config import ConfigError

if TYPE_CHECKING:
    from examples.trajectory_3d.model_discovery import FoundModel

_FORMS = ("onnx", "bf16", "int8", "pt2", "none")
_EXAMPLES = """\
examples:
  trajectory-3d-deploy outputs/trajectory_3d/small_3d_moe my_model
  trajectory-3d-deploy --latest
  trajectory-3d-deploy trajectory-3d edge --optimize int8

forms to serve:
  onnx   ONNX graph in float32, run by onnxruntime: no torch, the model's numbers (default)
  bf16   the same with weights of half the size
  int8   the same with 8-bit weights: a third of the size, slightly worse
  pt2    program of torch.export: the model's numbers, needs torch
  none   the weights as trained, served by torch: GPUs, prefix cache, sessions that remember
"""


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-deploy",
        description="Write a folder that serves a model with Python alone or as a container, and try it.",
        usage="trajectory-3d-deploy MODEL NAME | --latest [NAME] [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
        allow_abbrev=False,
    )
    made.add_argument(
        "words",
        nargs="*",
        metavar="MODEL NAME",
        help="checkpoint, run folder, or shipped model by folder or name; name of the deployment",
    )
    made.add_argument("--latest", action="store_true", help="the model that improved last; NAME as its run's")
    made.add_argument("--optimize", choices=_FORMS, default="onnx", help="form to serve (default: onnx)")
    made.add_argument(
        "--output-root",
        type=Path,
        help="folder of deployments (default: outputs/trajectory_3d/deployments)",
    )
    made.add_argument(
        "--windows", type=int, default=500, help="test windows to compare the form on (default: 500)"
    )
    made.add_argument(
        "--most-worse",
        type=float,
        default=2.0,
        metavar="PERCENT",
        help="by which the form's forecasts may be worse than the model's (default: 2)",
    )
    made.add_argument("--force", action="store_true", help="replace a deployment of that name")
    made.add_argument("--no-smoke-test", action="store_true", help="do not start it to compare its forecasts")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: _deploy(parser().parse_intermixed_args(argv)))


def _deploy(arguments: argparse.Namespace) -> None:
    if arguments.windows < 1:
        raise ConfigError(f"--windows must be at least 1, got {arguments.windows}")
    if not arguments.most_worse >= 0:
        raise ConfigError(f"--most-worse must be 0 or above, got {arguments.most_worse}")
    found, name = _chosen(arguments)
    # Imported here: torch costs seconds that --help and a wrong name must not.
    from rich.console import Console  # noqa: PLC0415

    from examples.trajectory_3d.deploy import DEPLOYMENTS, deploy  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    with console.status(f"writing, comparing and trying {name} ..."):
        done = deploy(
            found,
            name,
            optimize=arguments.optimize,
            root=arguments.output_root or DEPLOYMENTS,
            windows=arguments.windows,
            most_worse=arguments.most_worse / 100,
            force=arguments.force,
            smoke_test=not arguments.no_smoke_test,
        )
    if done.parity is not None:
        console.print(
            f"{done.optimize}: error {done.parity.error:.5g} m, the model's {done.parity.model_error:.5g} m "
            f"({done.parity.worse:+.2%}) on {done.parity.windows} windows; largest difference "
            f"{done.parity.largest:.2g} standard deviations; {done.bytes / 1e6:.1f} MB"
        )
    if done.smoke is not None:
        console.print(done.smoke.rstrip())
    script = done.folder / "start_server.py"
    console.print(f"Deployed to {done.folder}; serve it: python {script} --port 8080")


def _chosen(arguments: argparse.Namespace) -> tuple[FoundModel, str]:
    """The model, and the deployment's name."""
    from examples.trajectory_3d.model_discovery import latest_model, named_model  # noqa: PLC0415

    words = arguments.words
    if arguments.latest:
        if len(words) > 1:
            raise ConfigError("--latest takes the deployment's name at most; see --help")
        found = latest_model()
        return found, words[0] if words else found.name
    if len(words) != 2:
        raise ConfigError("name the model and the deployment, or --latest; see --help")
    return named_model(words[0]), words[1]
