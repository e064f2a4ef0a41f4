"""What a live page costs a training run: the same run watched and not watched, in turn.

    python -m benchmarks.live_monitoring examples/trajectory_3d/configs/quick_test_3d.yaml

Another process reads the events throughout, as an open page does. A browser on this machine draws besides,
with processor time of its own, which is not counted here. Compared are processor time of the training, which
other work on the machine hardly disturbs, and wall-clock time. The last line printed is one JSON document.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.report import print_json
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.live.server import live_server
from examples.trajectory_3d.training import train
from m.config import load_config

READER = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + 'events').read()"


@dataclass(frozen=True)
class Cost:
    """Seconds of one run."""

    processor: float
    wall: float


def run_once(experiment: ExperimentConfig, folder: Path, *, watched: bool) -> Cost:
    """Train from the first step to the last, evaluations and pictures included."""
    with live_server(0 if watched else None) as live:
        reader = None if live is None else subprocess.Popen([sys.executable, "-c", READER, live.url])
        began = time.process_time(), time.perf_counter()
        train(experiment, folder, device=torch.device("cpu"), live=None if live is None else live.history)
        cost = Cost(time.process_time() - began[0], time.perf_counter() - began[1])
    if reader is not None:
        reader.wait(timeout=30)
    return cost


def measure(experiment: ExperimentConfig, rounds: int) -> tuple[list[Cost], list[Cost]]:
    """Costs of runs that nobody watches and of watched ones, so many each, after one that is not counted."""
    plain: list[Cost] = []
    watched: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder:
        run_once(experiment, Path(folder) / "warm-up", watched=True)
        for number in range(2 * rounds):  # either way first, in turn
            is_watched = number % 4 in (1, 2)
            cost = run_once(experiment, Path(folder) / str(number), watched=is_watched)
            (watched if is_watched else plain).append(cost)
    return plain, watched


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    experiment = load_config(ExperimentConfig, arguments.config, arguments.overrides)
    plain, watched = measure(experiment, arguments.rounds)
    table = Table(
        title=f"{experiment.name}: {arguments.rounds} runs of {experiment.training.max_steps} steps each"
    )
    for heading in ("seconds", "alone", "watched", "more, median of pairs"):
        table.add_column(heading, justify="right")
    shares = {}
    for name in ("processor", "wall"):
        pairs = [(getattr(p, name), getattr(w, name)) for p, w in zip(plain, watched, strict=True)]
        shares[name] = statistics.median(after / before - 1 for before, after in pairs)
        table.add_row(
            name,
            f"{statistics.median(before for before, _ in pairs):.2f}",
            f"{statistics.median(after for _, after in pairs):.2f}",
            f"{100 * shares[name]:+.1f} %",
        )
    Console().print(table)
    print_json(
        "live_monitoring",
        {
            "config": str(arguments.config),
            "overrides": arguments.overrides,
            "extra_share": shares,
            "plain": [vars(cost) for cost in plain],
            "watched": [vars(cost) for cost in watched],
        },
    )


if __name__ == "__main__":
    main()
