# ruff: noqa: E402  (the thread limits must be set before the libraries load)
"""How fast motion windows are generated, per type and mixed, on one core, and taken in from workers.

    python benchmarks/data_generation.py
    python benchmarks/data_generation.py --sequence-length 128 --prediction-length 32 --sampling-rate 100

What one process can take in is measured with a worker that sends one block, made beforehand, again and again:
what it costs the receiving process, in processor time, to get blocks from shared memory and to cut them into
batches. Workers are processes of their own, so eight make eight times the rate of one core, up to that limit.

The last line printed is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import scipy
import torch

from benchmarks.timing import call_seconds
from examples.trajectory_3d import datasets
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import stream_batches
from examples.trajectory_3d.motions import get_motion
from examples.trajectory_3d.motions.mixture import MotionMixture


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Shortest of several timings, after one run that is not counted."""
    work()
    return min(call_seconds(work, repeats))


def measure_types(config: DatasetConfig, repeats: int) -> dict[str, float]:
    """Windows per second of each type, as many at once as a block of the mix holds."""
    times = np.arange(config.window_length) / config.sampling_rate
    rates = {}
    for name, weight in config.type_weights.items():
        count = round(weight * config.windows_per_block)
        work = partial(get_motion(name), np.random.default_rng(0), count, times)
        rates[name] = count / best_seconds(work, repeats)
    return rates


def measure_mix(config: DatasetConfig, batch_size: int, repeats: int) -> tuple[float, float]:
    """Windows per second of the whole stream, as float32 torch batches: best block and mean."""
    stream = stream_batches(config, split="train", batch_size=batch_size, num_workers=0)
    batches = -(-config.windows_per_block // batch_size)

    def one_block() -> None:
        for _ in range(batches):
            next(stream)

    one_block()
    timings = []
    for _ in range(repeats):
        start = time.perf_counter()
        one_block()
        timings.append(time.perf_counter() - start)
    windows = batches * batch_size
    return windows / min(timings), windows / (sum(timings) / repeats)


def measure_intake(config: DatasetConfig, batch_size: int, windows: int) -> float:
    """Windows a second of processor time that the process which trains can take in from workers."""
    block = MotionMixture(config).block(config.seed, 0, 0)
    made = datasets._MotionBlocks.make
    setattr(datasets._MotionBlocks, "make", lambda *_: block)  # noqa: B010  (workers are forks and inherit it)
    try:
        stream = stream_batches(config, split="train", batch_size=batch_size, num_workers=1)
        for _ in range(-(-config.windows_per_block // batch_size)):
            next(stream)
        began = time.process_time()
        for _ in range(windows // batch_size):
            next(stream)
        return windows / (time.process_time() - began)
    finally:
        setattr(datasets._MotionBlocks, "make", made)  # noqa: B010


def processor() -> str:
    """The processor's model name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure motion data generation on one core.")
    parser.add_argument("--sequence-length", type=int, default=64)
    parser.add_argument("--prediction-length", type=int, default=16)
    parser.add_argument("--sampling-rate", type=float, default=50.0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = DatasetConfig(
        sequence_length=arguments.sequence_length,
        prediction_length=arguments.prediction_length,
        sampling_rate=arguments.sampling_rate,
    )
    rates = measure_types(config, arguments.repeats)
    best, mean = measure_mix(config, arguments.batch_size, arguments.repeats)
    shape = f"{config.sequence_length}+{config.prediction_length} points at {config.sampling_rate:g} Hz"
    print(f"windows of {shape}, one core, blocks of {config.windows_per_block}")
    for name, rate in rates.items():
        print(f"  {name:<12} {rate:>10,.0f} windows/s")
    print(f"  {'mix, best':<12} {best:>10,.0f} windows/s  (float32 batches of {arguments.batch_size})")
    print(f"  {'mix, mean':<12} {mean:>10,.0f} windows/s")
    intake = {size: measure_intake(config, size, 400_000) for size in (32, 1024)}
    for size, rate in intake.items():
        print(f"  {'taken in':<12} {rate:>10,.0f} windows/s  (batches of {size}, one receiving process)")
    record = {
        "benchmark": "data_generation",
        "arguments": vars(arguments),
        "windows_per_block": config.windows_per_block,
        "windows_per_second": {**rates, "mix_best": best, "mix_mean": mean},
        "taken_in_per_second": intake,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "torch": torch.__version__,
        },
        "machine": {"processor": processor(), "system": platform.system(), "threads": 1},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
