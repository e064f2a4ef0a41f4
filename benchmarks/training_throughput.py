"""Training speed of a configuration against the matrix-product speed of the same machine, in one run.

    uv run python -m benchmarks.training_throughput examples/trajectory_3d/configs/small_3d_moe.yaml

The whole loop is timed as users run it: data, forward, backward, clipping, optimizer, metrics. Useful
work is counted as 3 forward passes a step (backward costs two), matrix products only; masked attention
pairs count, recomputation would not. The limit is the best large square product in the type that
training computes in, measured before and after, so that a drifting clock shows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.report import print_json
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.training import motion_metrics, training_batches
from m.config import load_config
from m.moe import MoESequenceRegressor, model_size
from m.training import Callback, StepRecord, Trainer, choose_precision

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Speeds(Callback):
    """Collects windows per second of each record."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_step(self, record: StepRecord) -> None:
        """Remember."""
        self.values.append(record.sequences_per_second)


def gemm_gigaflops(dtype: torch.dtype, seconds: float = 2.0) -> float:
    """Best speed of square products of 1024 and 2048, in GFLOP/s."""
    best = 0.0
    for size in (1024, 2048):
        a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
        a @ b
        deadline = time.perf_counter() + seconds / 2
        while time.perf_counter() < deadline:
            began = time.perf_counter()
            a @ b
            best = max(best, 2 * size**3 / (time.perf_counter() - began) / 1e9)
    return best


def training_speed(experiment: ExperimentConfig, steps: int, warmup: int) -> float:
    """Median windows per second over ``steps`` optimizer steps, after ``warmup`` more."""
    config = replace(
        experiment.training,
        max_steps=steps + warmup,
        warmup_steps=None,
        log_interval=1,
        eval_interval=10**9,
        checkpoint_interval=10**9,
    )
    experiment = replace(experiment, training=config)
    speeds = Speeds()
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            MoESequenceRegressor(experiment.model),
            lambda first: training_batches(experiment, first),
            config,
            output_dir=Path(folder),
            batch_metrics=lambda batch, output: motion_metrics(batch, output, experiment.dataset.time_step),
            callbacks=(speeds,),
        ).fit()
    return statistics.median(speeds.values[warmup:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="key=value")
    arguments = parser.parse_args()
    experiment = load_config(ExperimentConfig, arguments.config, arguments.overrides)
    precision = choose_precision(experiment.training.precision, torch.device("cpu"))
    gemm = {name: [gemm_gigaflops(dtype)] for name, dtype in TYPES.items()}
    speed = training_speed(experiment, arguments.steps, arguments.warmup)
    for name, dtype in TYPES.items():
        gemm[name].append(gemm_gigaflops(dtype))
    size = model_size(experiment.model)
    work = 3 * size.forward_flops(experiment.dataset.sequence_length) / 1e9
    limit = max(gemm[precision.name])
    share = speed * work / limit
    print(f"{experiment.name}: {size.total_parameters:,} parameters, {size.active_parameters:,} active")
    print(f"precision {precision.name}: {precision.reason}")
    for name, values in gemm.items():
        print(f"{name} product, before / after: {values[0]:8.0f} / {values[1]:.0f} GFLOP/s")
    print(f"training: {speed:.1f} windows/s of {experiment.dataset.sequence_length} points")
    print(f"useful work: {speed * work:.0f} GFLOP/s = {share:.0%} of the {precision.name} product")
    print_json(
        "training_throughput",
        {
            "config": experiment.name,
            "overrides": arguments.overrides,
            "precision": precision.name,
            "windows_per_second": round(speed, 2),
            "gflop_per_window": round(work, 4),
            "gemm_gflops": {name: [round(value, 1) for value in values] for name, values in gemm.items()},
            "share_of_gemm": round(share, 4),
        },
    )


if __name__ == "__main__":
    main()
