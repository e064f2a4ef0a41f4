"""The forms a model can be deployed in, beside eager PyTorch: size, cold start, latency, memory, error.

    uv run python -m benchmarks.deployment_forms trajectory-3d

Each form is deployed as `trajectory-3d-deploy` does. *Cold start* is from starting the process to the first
200 of ``/readyz``. *Forecast* is one call in this process: `model.forecast` for eager, the engine that serves
for the others, context 64 and horizon 16 of the shipped model's data, the forms taking turns. *HTTP* is a
request to the deployment's own server over one connection.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.report import print_json
from benchmarks.timing import call_seconds
from examples.trajectory_3d.deploy import EXPORTED, Deployment, Optimize, deploy
from examples.trajectory_3d.deployment.expected import Ask, ask_exported, ask_model
from examples.trajectory_3d.model_discovery import named_model
from examples.trajectory_3d.trained_model import motion_of
from examples.trajectory_3d.windows import evaluation_windows
from m import load
from m.arrays import Array
from m.runtime.model import load_exported

BATCHES = (1, 32)
HORIZON = 16
_ROUNDS, _CALLS = 7, 20
_HTTP_CALLS = 60
_STARTS = 3
_START_SECONDS = 60


@dataclass
class Measured:
    """Figures of one form.

    Attributes:
        megabytes: of what is served.
        worse: share by which its error is larger than the model's.
        largest: difference from the model, in standard deviations of a context.
        cold_start: seconds, median of three.
        forecast_ms: by batch, median.
        http_ms: by batch, median.
        peak_mb: memory of the serving process after all that.
    """

    megabytes: float
    worse: float = 0.0
    largest: float = 0.0
    cold_start: float = 0.0
    forecast_ms: dict[int, float] = field(default_factory=dict)
    http_ms: dict[int, float] = field(default_factory=dict)
    peak_mb: float = 0.0


@contextmanager
def started(folder: Path, threads: int) -> Iterator[tuple[str, float, int]]:
    """A deployment's server: address, seconds until it was ready, process id."""
    command = [
        sys.executable,
        "-u",
        str(folder / "start_server.py"),
        "--port",
        "0",
        "--threads",
        str(threads),
    ]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tempfile.gettempdir()) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            url = line.split()[-1]
            while not _ready(url):
                if time.perf_counter() - begun > _START_SECONDS:
                    raise TimeoutError(f"{folder} did not become ready")
            yield url, time.perf_counter() - begun, process.pid
        finally:
            process.terminate()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def call_milliseconds(call: Callable[[], Any], calls: int) -> list[float]:
    """Of each call."""
    return [1e3 * seconds for seconds in call_seconds(call, calls)]


def time_forecasts(asks: dict[str, Ask], context: Array, results: dict[str, Measured]) -> None:
    """One call after the other in this process, the forms taking turns."""
    for batch in BATCHES:
        piece = context[0] if batch == 1 else context[:batch]
        times: dict[str, list[float]] = {name: [] for name in asks}
        for turn in range(_ROUNDS + 1):
            for name, ask in asks.items():
                found = call_milliseconds(partial(ask, piece, HORIZON, ()), _CALLS)
                times[name] += found if turn else []  # the first turn warms up
        for name, found in times.items():
            results[name].forecast_ms[batch] = statistics.median(found)


def time_server(folder: Path, context: Array, threads: int, measured: Measured) -> None:
    """Start it three times, then ask it."""
    starts = []
    for _ in range(_STARTS):
        with started(folder, threads) as (url, seconds, process):
            starts.append(seconds)
            if len(starts) < _STARTS:
                continue
            with httpx.Client(base_url=url, timeout=30) as client:
                for batch in BATCHES:
                    points = (context[0] if batch == 1 else context[:batch]).tolist()
                    body = json.dumps({"points": points, "horizon": HORIZON})
                    times = call_milliseconds(partial(_ask, client, body), _HTTP_CALLS)
                    measured.http_ms[batch] = statistics.median(times[_HTTP_CALLS // 4 :])
            measured.peak_mb = _peak_megabytes(process)
    measured.cold_start = statistics.median(starts)


def _ask(client: httpx.Client, body: str) -> None:
    client.post("/v1/forecast", content=body, headers={"content-type": "application/json"}).raise_for_status()


def _peak_megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def show(results: dict[str, Measured]) -> None:
    """The table."""
    table = Table(title="Forms of deployment")
    for heading in ("form", "MB", "error", "cold start s", *(f"forecast ms, batch {b}" for b in BATCHES)):
        table.add_column(heading, justify="left" if heading == "form" else "right")
    for heading in (*(f"HTTP ms, batch {b}" for b in BATCHES), "peak MB"):
        table.add_column(heading, justify="right")
    eager = results["none"]
    for name, each in results.items():
        forecast = [
            f"{each.forecast_ms[b]:.2f} ({eager.forecast_ms[b] / each.forecast_ms[b]:.1f}x)" for b in BATCHES
        ]
        http = [f"{each.http_ms[b]:.2f}" for b in BATCHES]
        label = "eager (none)" if name == "none" else name
        error = "" if name == "none" else f"{each.worse:+.2%}"
        table.add_row(
            label,
            f"{each.megabytes:.1f}",
            error,
            f"{each.cold_start:.2f}",
            *forecast,
            *http,
            f"{each.peak_mb:.0f}",
        )
    Console(width=130).print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="trajectory-3d")
    parser.add_argument("--threads", type=int, default=1, help="of the processor for the model (default: 1)")
    parser.add_argument("--windows", type=int, default=2000, help="to compare errors on (default: 2000)")
    arguments = parser.parse_args()
    found = named_model(arguments.model)
    data = replace(motion_of(found), prediction_length=HORIZON)
    context = evaluation_windows(data, "test", max(BATCHES)).context.astype(np.float64)
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as root:
        results: dict[str, Measured] = {}
        asks: dict[str, Ask] = {}
        for form in sorted(get_args(Optimize), key=lambda form: form != "none"):
            done = deploy(
                found,
                form,
                optimize=form,
                root=Path(root),
                windows=arguments.windows,
                most_worse=1e9,
                smoke_test=False,
            )
            results[form] = _measured(done)
            if form == "none":
                asks[form] = ask_model(load(done.folder))
            else:
                asks[form] = ask_exported(load_exported(done.folder / EXPORTED, threads=arguments.threads))
        time_forecasts(asks, context, results)
        for form, measured in results.items():
            time_server(Path(root) / form, context, arguments.threads, measured)
    show(results)
    print_json(
        "deployment_forms",
        {
            "model": arguments.model,
            "threads": arguments.threads,
            "forms": {name: vars(each) for name, each in results.items()},
        },
    )


def _measured(done: Deployment) -> Measured:
    measured = Measured(done.bytes / 1e6)
    if done.parity is not None:
        measured.worse, measured.largest = done.parity.worse, done.parity.largest
    return measured


if __name__ == "__main__":
    main()
