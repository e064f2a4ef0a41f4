"""What sharing steps brings: the engine under many clients, against one request after the other.

    python -m benchmarks.serving_engine --model trajectory-3d --clients 1,8,64 --horizons 16
    python -m benchmarks.serving_engine --model trajectory-3d --clients 1,8,64 --horizons 16,48,100

Clients are threads that ask one forecast after the other, each of its own context; every answer is compared
with `model.forecast` of the same context. The last line printed is one JSON document.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.report import print_json
from m import load
from m.arrays import Array
from m.generation import Engine, EngineWorker, Job
from m.moe import MoESequenceRegressor

Ask = Callable[[Array, int], Array]  # path, horizon -> forecast


def contexts(count: int, length: int) -> Array:
    """Smooth noisy paths, ``[count, length, 3]``."""
    rng = np.random.default_rng(0)
    times = np.linspace(0.0, 6.0, length)[None, :, None]
    rates, phases = rng.uniform(0.3, 2.0, (2, count, 1, 3))
    paths: Array = 2.0 * np.sin(rates * times + 3.0 * phases) + 0.02 * rng.standard_normal((count, length, 3))
    return paths


def serve(
    ask: Ask, paths: Array, horizons: Sequence[int], clients: int
) -> tuple[float, list[float], list[Array]]:
    """Answer all paths through so many clients: seconds, seconds of each request, and the answers."""

    def work(first: int) -> list[tuple[int, float, Array]]:
        found = []
        for number in range(first, len(paths), clients):
            began = time.perf_counter()
            answer = ask(paths[number], horizons[number % len(horizons)])
            found.append((number, time.perf_counter() - began, answer))
        return found

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = sorted(
            (each for part in pool.map(work, range(clients)) for each in part), key=lambda each: each[0]
        )
    seconds = time.perf_counter() - began
    return seconds, [latency for _, latency, _ in found], [answer for _, _, answer in found]


def one_at_a_time(model: MoESequenceRegressor) -> Ask:
    """Plain forecasts behind a lock, as a server without batching has it."""
    lock = threading.Lock()

    def ask(path: Array, horizon: int) -> Array:
        with lock:
            return model.forecast(path, horizon).mean

    return ask


def through(worker: EngineWorker, model: MoESequenceRegressor) -> Ask:
    """Forecasts of the engine."""

    def ask(path: Array, horizon: int) -> Array:
        return worker.submit(Job.read(model, path, horizon)).future.result().mean

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
    parser.add_argument("--horizons", default="16,48,100", help="of one request after the other")
    arguments = parser.parse_args()
    model = load(arguments.model)
    paths = contexts(arguments.requests, arguments.length)
    horizons = [int(text) for text in arguments.horizons.split(",")]
    expected = [
        model.forecast(path, horizons[number % len(horizons)]).mean for number, path in enumerate(paths)
    ]
    worker = EngineWorker(Engine(model), most_waiting=4096)
    table = Table(title=f"{arguments.model}: context {arguments.length}, horizons {arguments.horizons}")
    for heading in ("clients", "way", "forecasts/s", "median ms", "99 % ms", "largest difference"):
        table.add_column(heading, justify="right")
    figures = []
    for clients in (int(text) for text in arguments.clients.split(",")):
        for way, ask in (
            ("one at a time", one_at_a_time(model)),
            ("engine", through(worker, model)),
        ):
            seconds, latencies, answers = serve(ask, paths, horizons, clients)
            figure = {
                "clients": clients,
                "way": way,
                "per_second": len(paths) / seconds,
                "median_ms": 1e3 * statistics.median(latencies),
                "p99_ms": 1e3 * float(np.quantile(latencies, 0.99)),
                "largest_difference": max(
                    float(np.abs(ours - theirs).max()) for ours, theirs in zip(answers, expected, strict=True)
                ),
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
    print_json("serving_engine", {"model": arguments.model, "horizons": horizons, "figures": figures})


if __name__ == "__main__":
    main()
