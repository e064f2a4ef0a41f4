"""Recordings larger than memory should be: 20 million points inspected and cut into windows, time and memory.

    python -m benchmarks.large_recordings [--points 20000000]

Writes a CSV file of about a gigabyte, the same as Parquet, and as Parquet shards of one track each, into a
temporary folder, then measures each job in a process of its own. Rates count points of the file over seconds
of wall-clock time, start of the interpreter and imports included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.report import print_json
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.writers import write

TRACKS = 20
RATE = 100.0  # points a second
# The peak that wait4 reports would be that of this process where it was larger when the other was started.
_PEAK = """
import re
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
_INSPECT = """
import sys
from examples.trajectory_3d.cli.data import main
if code := main(["inspect", sys.argv[1]]):
    sys.exit(code)
"""
_WINDOWS = """
import sys, time
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import stream_batches
lengths = {"sequence_length": 64, "prediction_length": 16}
config = DatasetConfig(source="files", paths=(sys.argv[1],), stream=True, **lengths)
begin = time.perf_counter()
batches = stream_batches(config, split="train", batch_size=4096)
first = next(batches)
opened = time.perf_counter() - begin
begin, count = time.perf_counter(), 0
for _ in range(200):
    count += len(next(batches).context)
print(opened, count / (time.perf_counter() - begin))
"""


@dataclass(frozen=True)
class Job:
    """What was measured of one process."""

    name: str
    megabytes: float
    seconds: float
    points_per_second: float
    peak_megabytes: float
    told: str


def tracks(points: int) -> Iterator[Trajectory]:
    """Smooth wandering of so many points in all, each track with its own noise."""
    rng = np.random.default_rng(0)
    count = points // TRACKS
    times = np.round(np.arange(count) / RATE, 9)
    for number in range(TRACKS):
        angles = np.outer(times, rng.uniform(0.5, 2.0, 3))
        path = 3 * np.sin(angles + rng.uniform(0, 6, 3)) + 0.2 * times[:, None] ** 0.5
        path += rng.normal(scale=0.002, size=path.shape)
        yield Trajectory(times, path, unit="m", frame="xyz", track=f"track{number}")


def generate(folder: Path, points: int) -> tuple[Path, Path, Path]:
    """A CSV file, a Parquet file, and a folder of shards, all of the same tracks."""
    text, whole, shards = folder / "large.csv", folder / "large.parquet", folder / "shards"
    schema = pa.schema([("track", pa.string()), ("time", pa.float64()), *((a, pa.float64()) for a in "xyz")])
    with pyarrow.csv.CSVWriter(text, schema) as rows, pq.ParquetWriter(whole, schema) as columns:
        for track in tracks(points):
            parts = [pa.array([track.track] * len(track)), pa.array(track.times)]
            table = pa.table([*parts, *(pa.array(axis) for axis in track.points.T)], schema=schema)
            rows.write_table(table)
            columns.write_table(table, row_group_size=100_000)
            write(shards / f"{track.track}.parquet", [track])
    return text, whole, shards


def measure(name: str, code: str, read: Path, points: int) -> Job:
    """Run Python code on a file or folder, in a process of its own (on Linux, which tells its peak memory).

    Raises:
        RuntimeError: it failed.
    """
    begin = time.perf_counter()
    command = [sys.executable, "-c", code + _PEAK, str(read)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}:\n{process.stderr}")
    *told, peak = process.stdout.splitlines()
    files = read.rglob("*") if read.is_dir() else [read]
    size = sum(file.stat().st_size for file in files) / 1e6
    return Job(name, size, seconds, points / seconds, int(peak) * 1024 / 1e6, "\n".join(told))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_recordings", allow_abbrev=False)
    parser.add_argument("--points", type=int, default=20_000_000, help="in all (default: 20 million)")
    points = parser.parse_args(argv).points
    with tempfile.TemporaryDirectory() as folder:
        text, whole, shards = generate(Path(folder), points)
        jobs = [
            measure("inspect, CSV", _INSPECT, text, points),
            measure("inspect, Parquet", _INSPECT, whole, points),
            measure("windows, Parquet shards", _WINDOWS, shards, points),
        ]
    opened, windows = map(float, jobs[-1].told.split()[-2:])
    table = Table(title=f"{points:,} points", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("job", "file (MB)", "seconds", "million points/s", "peak memory (MB)"):
        table.add_column(column, justify="left" if column == "job" else "right")
    for job in jobs:
        cells = (job.megabytes, job.seconds, job.points_per_second / 1e6, job.peak_megabytes)
        table.add_row(job.name, *(f"{value:.3g}" if value < 100 else f"{value:,.0f}" for value in cells))
    console = Console(width=100)
    console.print(table)
    console.print(
        f"Windows: counted {opened:.1f} s after the request ({points / opened / 1e6:.2f} million points/s), "
        f"then {windows:,.0f} windows/s ({80 * windows / 1e6:.1f} million points/s)",
        highlight=False,
        soft_wrap=True,
    )
    print_json(
        "large_recordings",
        {
            "points": points,
            "jobs": [{k: v for k, v in vars(job).items() if k != "told"} for job in jobs],
            "windows_opened_s": opened,
            "windows_per_second": windows,
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
