"""Four commands:

    python -m benchmarks.forecast_skill train --models residual-mlp,moe --minutes 7,20,60 --output FOLDER
    python -m benchmarks.forecast_skill report FOLDER
    python -m benchmarks.forecast_skill trial residual-mlp learning_rate=0.001 --steps 1200
    python -m benchmarks.forecast_skill gain --steps 1000 --seeds 0,1,2 --output FOLDER

``train`` races models for equal times, ``report`` shows a folder, ``trial`` tunes a peer,
``gain`` compares the mixture with a dense model of equal active parameters at equal steps.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.forecast_skill.contestants import NAMES, make_contestant
from benchmarks.forecast_skill.gain import gains, measure_gain, print_gain
from benchmarks.forecast_skill.race import RacePlan, run_race
from benchmarks.forecast_skill.recipes import RECIPES
from benchmarks.forecast_skill.records import RESULTS, ResultStore
from benchmarks.forecast_skill.report import write_report
from benchmarks.forecast_skill.trial import run_trial
from benchmarks.report import print_json, processor
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.windows import evaluation_windows
from m.config import load_config, to_dict

CONFIG = Path("examples/trajectory_3d/configs/small_3d_moe.yaml")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
_WARMUP_SHARE = 0.05  # of the smallest budget


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forecast_skill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train and judge models, one after the other")
    train.add_argument("--models", default="all", help=f"'all', or some of {', '.join(NAMES)}")
    train.add_argument("--minutes", default="7,20,60", help="budgets of training time")
    train.add_argument("--output", type=Path, required=True, help="folder; finished budgets in it are kept")
    train.add_argument("--config", type=Path, default=CONFIG, help="data for all, model of 'moe'")
    train.add_argument("--label", default="", help="name of this variant of 'moe'")
    train.add_argument("--threads", type=int, default=2)
    train.add_argument("--device", default="cpu")
    train.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="what a budget counts: 'processor' time of the training process, on a machine that is shared",
    )
    train.add_argument("--decay-share", type=float, default=0.3, help="share of a budget that anneals")
    train.add_argument("--warmup-seconds", type=float, help="default: 5 %% of the smallest budget")
    train.add_argument("--snapshot-seconds", type=float, default=120.0, help="between writes of the trunk")
    train.add_argument("overrides", nargs="*", help="key=value on the configuration")
    report = commands.add_parser("report", help="print the table, write report.md and skill.png")
    report.add_argument("folder", type=Path)
    trial = commands.add_parser("trial", help="train one peer by steps, score it on validation windows")
    trial.add_argument("model", choices=list(RECIPES))
    trial.add_argument("changes", nargs="*", help="key=value on the peer's recipe or its network")
    trial.add_argument("--steps", type=int, default=1200)
    trial.add_argument("--config", type=Path, default=CONFIG, help="data")
    trial.add_argument("--threads", type=int, default=1)
    trial.add_argument("--device", default="cpu")
    gain = commands.add_parser("gain", help="mixture against dense at equal steps and active parameters")
    gain.add_argument("--steps", type=int, default=1000)
    gain.add_argument("--seeds", default="0,1,2")
    gain.add_argument("--output", type=Path, required=True, help="folder; finished runs in it are kept")
    gain.add_argument("--config", type=Path, default=CONFIG, help="model, training and data of the mixture")
    gain.add_argument("--threads", type=int, default=2)
    gain.add_argument("--device", default="cpu")
    gain.add_argument("overrides", nargs="*", help="key=value on the configuration")
    return parser.parse_args(arguments)


def train(arguments: argparse.Namespace) -> None:
    """Race the chosen models."""
    torch.set_num_threads(arguments.threads)
    experiment = load_config(ExperimentConfig, arguments.config, arguments.overrides)
    names = NAMES if arguments.models == "all" else tuple(arguments.models.split(","))
    contestants = [make_contestant(name, experiment, arguments.label) for name in names]
    minutes = tuple(float(value) for value in arguments.minutes.split(","))
    plan = RacePlan(
        minutes=minutes,
        decay_share=arguments.decay_share,
        warmup_seconds=_warmup(arguments, minutes),
        snapshot_seconds=arguments.snapshot_seconds,
    )
    store = ResultStore(arguments.output, _setup(arguments, experiment, plan))
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    for contestant in contestants:
        run_race(
            contestant,
            plan,
            store,
            windows,
            device=torch.device(arguments.device),
            clock=CLOCKS[arguments.clock],
        )
    write_report(arguments.output)


def trial(arguments: argparse.Namespace) -> None:
    """Train one peer by steps and print its scores as one JSON line."""
    torch.set_num_threads(arguments.threads)
    experiment = load_config(ExperimentConfig, arguments.config)
    device = torch.device(arguments.device)
    scores = run_trial(arguments.model, arguments.changes, arguments.steps, experiment, device)
    figures = {"model": arguments.model, "changes": arguments.changes, "steps": arguments.steps}
    print_json("forecast_skill_trial", {**figures, "scores": asdict(scores)})


def gain(arguments: argparse.Namespace) -> None:
    """Measure what the experts bring, print the table and the figures."""
    torch.set_num_threads(arguments.threads)
    experiment = load_config(ExperimentConfig, arguments.config, arguments.overrides)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    device = torch.device(arguments.device)
    content = measure_gain(experiment, arguments.steps, seeds, arguments.output, device)
    print_gain(content)
    print_json("mixture_gain", {"steps": arguments.steps, "ratios": gains(content["runs"])})


def _warmup(arguments: argparse.Namespace, minutes: tuple[float, ...]) -> float:
    if arguments.warmup_seconds is not None:
        return float(arguments.warmup_seconds)
    if (arguments.output / RESULTS).exists():  # further budgets continue the same trunk
        return float(ResultStore(arguments.output).setup["warmup_seconds"])
    return 60 * _WARMUP_SHARE * min(minutes)


def _setup(arguments: argparse.Namespace, experiment: ExperimentConfig, plan: RacePlan) -> dict[str, Any]:
    return {
        "dataset": to_dict(experiment.dataset),
        "test_windows": experiment.evaluation.test_windows,
        "decay_share": plan.decay_share,
        "warmup_seconds": plan.warmup_seconds,
        "threads": arguments.threads,
        "clock": arguments.clock,
        "device": arguments.device,
        "processor": processor(),
        "torch": torch.__version__,
    }


def main() -> None:
    """Run the command."""
    arguments = parse()
    if arguments.command == "train":
        train(arguments)
    elif arguments.command == "trial":
        trial(arguments)
    elif arguments.command == "gain":
        gain(arguments)
    else:
        write_report(arguments.folder)


if __name__ == "__main__":
    main()
