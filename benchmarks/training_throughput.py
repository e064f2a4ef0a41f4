"""Training speed of a configuration against the matrix-product speed of the same machine, in one run.

    uv run python -m benchmarks.training_throughput examples/trajectory_3d/configs/small_3d_moe.yaml

The whole loop is timed as users run it: data, forward, backward, clipping, optimizer, metrics. Useful
work is counted as 3 forward passes a step (backward costs two), matrix products only; masked attention
pairs count, recomputation would not. The limit is the speed of large square products in the type that
training computes in. It is measured again after every step, since shared machines drift, and a figure from
one moment would flatter or slander the other. Windows and operations are divided by the seconds of all steps
together: a few steps in every ten refresh an optimizer's bases or make a block of data, and a median would
not see them.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.report import print_json
from benchmarks.training_step import TYPES, read_command
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.training import motion_metrics, training_batches
from m.moe import MoESequenceRegressor, model_size
from m.training import Callback, StepRecord, Trainer

GEMM_SIZE = 2048


class GemmClock:
    """Times square products of one type."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._factors: tuple[Tensor, Tensor] = (
            torch.randn(GEMM_SIZE, GEMM_SIZE).to(dtype),
            torch.randn(GEMM_SIZE, GEMM_SIZE).to(dtype),
        )
        self.gigaflops()

    def gigaflops(self, repeats: int = 3) -> float:
        """Best of a few products, in GFLOP/s."""
        best = float("inf")
        for _ in range(repeats):
            began = time.perf_counter()
            torch.mm(*self._factors)
            best = min(best, time.perf_counter() - began)
        return float(2 * GEMM_SIZE**3 / best / 1e9)


class Speeds(Callback):
    """Windows per second of each step, and the product's speed right after it (outside the step's time)."""

    def __init__(self, clock: GemmClock) -> None:
        self._clock = clock
        self.windows: list[float] = []
        self.gemm: list[float] = []

    def on_step(self, record: StepRecord) -> None:
        """Remember both."""
        self.windows.append(record.sequences_per_second)
        self.gemm.append(self._clock.gigaflops())


def measure(experiment: ExperimentConfig, speeds: Speeds | None, steps: int) -> None:
    """Train for ``steps`` optimizer steps through the loop that users run."""
    never = 10**9
    config = replace(
        experiment.training,
        max_steps=steps,
        warmup_steps=None,
        log_interval=1,
        eval_interval=never,
        checkpoint_interval=never,
    )
    experiment = replace(experiment, training=config)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            MoESequenceRegressor(experiment.model),
            lambda first: training_batches(experiment, first),
            config,
            output_dir=Path(folder),
            batch_metrics=lambda batch, output: motion_metrics(batch, output, experiment.dataset.time_step),
            callbacks=() if speeds is None else (speeds,),
        ).fit()


def main() -> None:
    """Measure and print."""
    command = read_command(__doc__, steps=20)
    experiment, precision = command.experiment, command.precision
    speeds = Speeds(GemmClock(TYPES[precision.name]))
    measure(experiment, speeds, command.steps + command.warmup)
    windows, gemm = speeds.windows[command.warmup :], speeds.gemm[command.warmup :]
    size = model_size(experiment.model)
    work = 3 * size.forward_flops(experiment.dataset.sequence_length) / 1e9
    speed, limit = statistics.harmonic_mean(windows), statistics.median(gemm)
    share = len(windows) * work / sum(g / w for w, g in zip(windows, gemm, strict=True))
    print(f"{experiment.name}: {size.total_parameters:,} parameters, {size.active_parameters:,} active")
    print(f"precision {precision.name}: {precision.reason}")
    print(
        f"{precision.name} product of {GEMM_SIZE} x {GEMM_SIZE}: {limit:.0f} GFLOP/s, "
        f"{min(gemm):.0f} to {max(gemm):.0f}"
    )
    print(
        f"training: {speed:.1f} windows/s of {experiment.dataset.sequence_length} points "
        f"(median step {statistics.median(windows):.1f})"
    )
    print(f"useful work: {speed * work:.0f} GFLOP/s; {share:.0%} of the product")
    print_json(
        "training_throughput",
        {
            "config": experiment.name,
            "overrides": list(command.overrides),
            "precision": precision.name,
            "windows_per_second": round(speed, 2),
            "gflop_per_window": round(work, 4),
            "gemm_gflops": round(limit, 1),
            "share_of_gemm": round(share, 4),
        },
    )


if __name__ == "__main__":
    main()
