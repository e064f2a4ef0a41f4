"""``python -m examples.trajectory_3d.release``: pack a trained run for shipping, with its model card."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.trajectory_3d.cli.entry import run
from m.config import ConfigError


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="python -m examples.trajectory_3d.release",
        description="Write a run's best model in half precision, evaluate what was written on the test "
        "stream, and put the figures into card.json and MODEL_CARD.md beside it.",
        allow_abbrev=False,
    )
    made.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or a checkpoint inside it")
    made.add_argument("--output", type=Path, help="folder to write (default: release/ in the run's folder)")
    made.add_argument(
        "--dtype",
        choices=("float16", "bfloat16"),
        default="float16",
        help="how matrices are stored (default: float16, which rounds eight times finer)",
    )
    made.add_argument(
        "--windows", type=int, help="test windows to evaluate (default: the run's evaluation.test_windows)"
    )
    made.add_argument(
        "--baselines",
        default="all",
        help="classical forecasters in the card: all, or names with commas between (default: all)",
    )
    made.add_argument(
        "--name", default="trajectory-3d", help="under which m.load will know it (default: trajectory-3d)"
    )
    made.add_argument(
        "--measure-again",
        action="store_true",
        help="RUN is a release already: measure its other contexts and horizons again, for its card",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: _release(parser().parse_args(argv)))


def _release(arguments: argparse.Namespace) -> None:
    if arguments.windows is not None and arguments.windows < 2:
        raise ConfigError(f"--windows must be at least 2, got {arguments.windows}")
    # Imported here: torch costs seconds that --help and a wrong option must not.
    from examples.trajectory_3d.release.build import build_release, measure_again  # noqa: PLC0415

    if arguments.measure_again:
        folder = measure_again(arguments.run, baselines=arguments.baselines.split(","))
        print(f"{folder}: card.json, MODEL_CARD.md")
        return
    folder = build_release(
        arguments.run,
        arguments.output,
        dtype=arguments.dtype,
        windows=arguments.windows,
        baselines=arguments.baselines.split(","),
        name=arguments.name,
    )
    print(f"{folder}: model.safetensors, config.json, card.json, MODEL_CARD.md")
