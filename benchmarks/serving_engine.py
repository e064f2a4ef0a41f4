"""What sharing steps brings: the engine under many clients, against one request after the other.

    python -m benchmarks.serving_engine --model trajectory-3d --clients 1,8,64

Clients are threads that ask one forecast after the other, each of its own context; every answer is compared
with `model.forecast` of the same context. The last line printed is one JSON document.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.report import print_json
from m import load
from m.generation import Engine, EngineWorker, Job
from m.moe import MoESequenceRegressor
from m.moe.request import Array

Ask = Callable[[Array], Array]


def contexts(count: int, length: int) -> Array:
    """Smooth noisy paths, ``[count, length, 3]``."""
    rng = np.random.default_rng(0)
    times = np.linspace(0.0, 6.0, length)[None, :, None]
    rates, phases = rng.uniform(0.3, 2.0, (2, count, 1, 3))
    paths: Array = 2.0 * np.sin(rates * times + 3.0 * phases) + 0.02 * rng.standard_normal((count, length, 3))
    return paths


def serve(ask: Ask, paths: Array, clients: int) -> tuple[float, list[float], Array]:
    """Answer all paths through so many clients: seconds, seconds of each request, and the answers."""
    answers = np.empty((len(paths), 0))
    found: list[Array | None] = [None] * len(paths)
    latencies = [0.0] * len(paths)

    def work(first: int) -> None:
        for number in range(first, len(paths), clients):
            began = time.perf_counter()
            found[number] = ask(paths[number])
            latencies[number] = time.perf_counter() - began

    threads = [threading.Thread(target=work, args=(first,)) for first in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    answers = np.stack([answer for answer in found if answer is not None])
    return seconds, latencies, answers


def one_at_a_time(model: MoESequenceRegressor, horizon: int) -> Ask:
    """Plain forecasts behind a lock, as a server without batching has it."""
    lock = threading.Lock()

    def ask(path: Array) -> Array:
        with lock:
            return model.forecast(path, horizon).mean

    return ask


def through(worker: EngineWorker, horizon: int) -> Ask:
    """Forecasts of the engine."""

    def ask(path: Array) -> Array:
        return worker.submit(Job.read(worker.engine.model, path, horizon)).future.result().mean

    return ask


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="trajectory-3d")
    parser.add_argument("--clients", default="1,8,64")
    parser.add_argument("--requests", type=int, default=1024)
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--horizon", type=int, default=16)
    arguments = parser.parse_args()
    model = load(arguments.model)
    paths = contexts(arguments.requests, arguments.length)
    expected = np.stack([model.forecast(path, arguments.horizon).mean for path in paths])
    worker = EngineWorker(Engine(model), most_waiting=4096)
    table = Table(title=f"{arguments.model}: context {arguments.length}, horizon {arguments.horizon}")
    for heading in ("clients", "way", "forecasts/s", "median ms", "99 % ms", "largest difference"):
        table.add_column(heading, justify="right")
    figures = []
    for clients in (int(text) for text in arguments.clients.split(",")):
        for way, ask in (
            ("one at a time", one_at_a_time(model, arguments.horizon)),
            ("engine", through(worker, arguments.horizon)),
        ):
            seconds, latencies, answers = serve(ask, paths, clients)
            figure = {
                "clients": clients,
                "way": way,
                "per_second": len(paths) / seconds,
                "median_ms": 1e3 * statistics.median(latencies),
                "p99_ms": 1e3 * float(np.quantile(latencies, 0.99)),
                "largest_difference": float(np.abs(answers - expected).max()),
            }
            figures.append(figure)
            table.add_row(
                str(clients),
                way,
                f"{figure['per_second']:,.0f}",
                f"{figure['median_ms']:.2f}",
                f"{figure['p99_ms']:.2f}",
                f"{figure['largest_difference']:.1e}",
            )
    worker.close()
    Console().print(table)
    print_json("serving_engine", {"model": arguments.model, "horizon": arguments.horizon, "figures": figures})


if __name__ == "__main__":
    main()
