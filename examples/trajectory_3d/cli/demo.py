"""``trajectory-3d-demo``: pictures of the motion types, and of real forecasts of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from examples.trajectory_3d.cli.entry import run
from examples.trajectory_3d.cli.options import add_device, resolve_device
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.dataset_config import DatasetConfig
from m.config import ConfigError, load_config

if TYPE_CHECKING:
    from examples.trajectory_3d.forecasters import Forecaster

_BASELINE = "constant acceleration"
_EXAMPLE_PATHS = 4  # of each type
_SECONDS_SHOWN = 8.0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="trajectory-3d-demo",
        description="Draw example paths of every motion type, and forecasts of them. The forecaster is "
        "named in each title: a trained model, or the constant-acceleration baseline.",
        allow_abbrev=False,
    )
    made.add_argument("model", nargs="?", type=Path, help="checkpoint or run folder (default: the baseline)")
    made.add_argument("--latest", action="store_true", help="forecast with the model trained last")
    made.add_argument(
        "--output", type=Path, help="folder for the pictures (default: outputs/trajectory_3d/demo)"
    )
    made.add_argument("--seed", type=int, default=0, help="which paths (default: 0)")
    add_device(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    return run(lambda: _demo(argv))


def _demo(argv: Sequence[str] | None) -> None:
    arguments = parser().parse_args(argv)
    if arguments.model is not None and arguments.latest:
        raise ConfigError("name a model or use --latest, not both")
    if arguments.seed < 0:
        raise ConfigError(f"--seed must be 0 or above, got {arguments.seed}")
    # Imported here: torch and matplotlib cost seconds that --help must not.
    from dataclasses import replace  # noqa: PLC0415

    from examples.trajectory_3d.demo import example_paths, run_demo  # noqa: PLC0415
    from examples.trajectory_3d.run_folder import OUTPUT_ROOT  # noqa: PLC0415
    from examples.trajectory_3d.windows import evaluation_windows  # noqa: PLC0415

    forecaster, dataset = _choose_forecaster(arguments)
    dataset = replace(dataset, seed=arguments.seed, evaluation_seed=arguments.seed)
    windows = evaluation_windows(dataset, "test", 500)
    paths = example_paths(dataset, count=_EXAMPLE_PATHS, seconds=_SECONDS_SHOWN)
    for path in run_demo(arguments.output or OUTPUT_ROOT / "demo", forecaster, windows, paths):
        print(path)


def _choose_forecaster(arguments: argparse.Namespace) -> tuple[Forecaster, DatasetConfig]:
    from examples.trajectory_3d.model_discovery import latest_model, model_at  # noqa: PLC0415

    if arguments.model is None and not arguments.latest:
        from examples.trajectory_3d.baselines import constant_acceleration  # noqa: PLC0415

        return constant_acceleration(), DatasetConfig(
            sequence_length=64, prediction_length=16, sampling_rate=50.0
        )
    from examples.trajectory_3d.model_forecaster import ModelForecaster  # noqa: PLC0415
    from m.checkpoint import load_model  # noqa: PLC0415

    found = latest_model() if arguments.latest else model_at(arguments.model)
    if found.config is None:
        raise ConfigError(f"there is no config.yaml beside {found.path}, which says what motion it is for")
    model = load_model(found.path, device=resolve_device(arguments.device))
    return ModelForecaster(model, f"MoE {found.name}"), load_config(ExperimentConfig, found.config).dataset
