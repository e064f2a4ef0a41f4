"""Where the time of an evaluation goes: windows, forecasts, baselines, experts, pictures, the page.

    uv run python -m benchmarks.report_time
    uv run python -m benchmarks.report_time --windows 500 --model trajectory-3d-wide

The parts of ``trajectory-3d-eval`` one after the other, as that command calls them, in processor time, so
that other work on the machine changes little. Each part's share is of all parts; the last line gives the
whole command's wall time, start-up included, measured from outside.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.report import print_json
from examples.trajectory_3d.baselines import DEFAULT_BASELINES, make_baselines
from examples.trajectory_3d.demo import draw_median_forecasts
from examples.trajectory_3d.evaluation import evaluate
from examples.trajectory_3d.evaluation_run import Evaluated, picture_makers
from examples.trajectory_3d.experts.analysis import analyse_experts
from examples.trajectory_3d.model_discovery import named_model
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.trained_model import load_trained, released_experiment
from examples.trajectory_3d.windows import evaluation_windows

T = TypeVar("T")


class Parts:
    """Processor seconds by part, in the order they ran."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def take(self, name: str, work: Callable[[], T]) -> T:
        """Run a part and note its time."""
        began = time.process_time()
        result = work()
        self.seconds[name] = time.process_time() - began
        return result


def measure(name: str, count: int, folder: Path) -> Parts:
    """All parts of the evaluation of a shipped model on ``count`` windows."""
    parts, found = Parts(), named_model(name)
    if found.card is None:
        raise SystemExit(f"{name} is no shipped model: its card says which data it is judged on")
    experiment = released_experiment(found.card, [f"evaluation.test_windows={count}"])
    trained = parts.take("load the model", lambda: load_trained(found.path, device=torch.device("cpu")))
    windows = parts.take("make windows", lambda: evaluation_windows(experiment.dataset, "test", count))
    size = experiment.evaluation.batch_size
    forecaster = ModelForecaster(trained.model, trained.title, samples=experiment.evaluation.samples)
    classical = make_baselines(DEFAULT_BASELINES)
    parts.take("judge the model", lambda: evaluate((forecaster,), windows, batch_size=size))
    parts.take("judge the baselines", lambda: evaluate(classical, windows, batch_size=size))
    everybody = (forecaster, *classical)
    result = evaluate(everybody, windows, batch_size=size)
    experts = parts.take("analyse experts", lambda: analyse_experts(trained.model, windows, batch_size=size))
    evaluated = Evaluated(everybody, result, windows, experts)
    makers = parts.take("forecasts to draw", lambda: picture_makers(evaluated, folder, {}))
    for picture, make in makers.items():
        parts.take(picture, make)
    plain = ModelForecaster(trained.model, trained.title)
    parts.take("prediction_<type>.png", lambda: draw_median_forecasts(plain, windows, folder, prefix="p"))
    return parts


def whole_command(name: str, count: int, folder: Path) -> float:
    """Wall seconds of the command in a process of its own."""
    code = "from examples.trajectory_3d.cli.evaluate import main; import sys; sys.exit(main())"
    command = [sys.executable, "-c", code, name, "--output", str(folder), f"evaluation.test_windows={count}"]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--model", default="trajectory-3d", help="a shipped model, by name or folder")
    parser.add_argument("--windows", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = measure(arguments.model, arguments.windows, Path(folder))
        page = (Path(folder) / "report.html").stat().st_size / 1e6
    with tempfile.TemporaryDirectory() as folder:
        wall = whole_command(arguments.model, arguments.windows, Path(folder))
    total = sum(parts.seconds.values())
    for name, seconds in parts.seconds.items():
        print(f"{name:36s} {seconds:6.2f} s {seconds / total:6.1%}")
    print(f"{'together':36s} {total:6.2f} s; report.html has {page:.1f} MB")
    print(f"the whole command: {wall:.1f} s of wall time")
    content = {"windows": arguments.windows, "processor_seconds": parts.seconds, "wall_seconds": wall}
    print_json("report_time", {**content, "page_megabytes": page})


if __name__ == "__main__":
    main()
