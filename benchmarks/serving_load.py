"""The server under load: throughput and latency over HTTP, every answer checked, and memory over time.

    python -m benchmarks.serving_load --model trajectory-3d --clients 1,8,64 --seconds 10
    python -m benchmarks.serving_load --model trajectory-3d --requests 10000 --clients 64

Starts ``m-serve`` as a process of its own, once with continuous batching and once serving one request after
the other (``--most-rows 1``), and asks over loopback with as many keep-alive connections as there are
clients. Each client sends its next request when it has the answer to the last one. Answers are kept as they
come and compared with `model.forecast` of the same context after the clock has stopped. With ``--wrk`` the
same requests are also sent by wrk (Debian package ``wrk``), a load generator of others. The last line printed
is one JSON document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.report import print_json
from benchmarks.serving_engine import contexts
from m import load
from m.arrays import Array

KINDS = {"continuous": 256, "one at a time": 1}  # paths that share a step
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PATHS = 512  # different contexts; more than the prefix cache is asked to help with


@dataclass(frozen=True)
class Load:
    """What a load brought.

    Attributes:
        kind: of serving.
        clients: that asked at once.
        requests: answered.
        per_second: of them.
        p50_ms: median latency.
        p99_ms: latency that one request of a hundred exceeded.
        lost: requests without an answer of status 200.
        difference: largest from `model.forecast`, metres.
    """

    kind: str
    clients: int
    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    lost: int
    difference: float


@contextmanager
def serving(model: str, rows: int, threads: int, *options: str) -> Iterator[tuple[str, int, int]]:
    """A server process: its host, port and process id."""
    command = [sys.executable, "-m", "m.inference_server.cli", model, "--port", "0", "--device", "cpu"]
    command += ["--threads", str(threads), "--most-rows", str(rows), *options]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
    )
    try:
        line = running.stdout.readline() if running.stdout else ""
        found = re.search(r"http://([\d.]+):(\d+)", line)
        if found is None:
            raise RuntimeError(f"the server did not start: {line!r}")
        asyncio.run(_wait_until_ready(found[1], int(found[2])))
        yield found[1], int(found[2]), running.pid
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(60)


async def _wait_until_ready(host: str, port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        reader, writer = await asyncio.open_connection(host, port)
        status, _ = await _exchange(reader, writer, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        writer.close()
        if status == 200:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the server was not ready within a minute")


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, bytes]:
    """One request on a connection: status and body of its answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1]) if length else 0)
    return int(head[9:12]), body


def requests_for(paths: Array, horizon: int) -> list[bytes]:
    """A whole HTTP request for each path."""
    made = []
    for path in paths:
        body = json.dumps({"points": path.tolist(), "horizon": horizon}).encode()
        head = (
            "POST /v1/forecast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def ask(
    host: str, port: int, requests: Sequence[bytes], clients: int, *, seconds: float, most: int
) -> tuple[float, list[tuple[int, float, int, bytes]]]:
    """Ask through so many connections until the time is over or enough has been asked.

    Returns:
        Seconds it took, and of every request: which, its latency, status and body.
    """
    numbers, found = count(), []
    began = time.perf_counter()

    async def work() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() - began < seconds:
            number = next(numbers)
            if number >= most:
                break
            sent = time.perf_counter()
            status, body = await _exchange(reader, writer, requests[number % len(requests)])
            found.append((number % len(requests), time.perf_counter() - sent, status, body))
        writer.close()

    await asyncio.gather(*(work() for _ in range(clients)))
    return time.perf_counter() - began, found


def measure(
    kind: str, address: tuple[str, int], requests: Sequence[bytes], expected: Array, clients: int, *,
    seconds: float, most: int,
) -> Load:  # fmt: skip
    """Put a load on a server and check all of its answers."""
    asyncio.run(ask(*address, requests, clients, seconds=1.0, most=10**9))  # warm
    took, found = asyncio.run(ask(*address, requests, clients, seconds=seconds, most=most))
    latencies = np.array([latency for _, latency, _, _ in found])
    good = [(number, body) for number, _, status, body in found if status == 200]
    differences = [float(np.abs(json.loads(body)["mean"] - expected[number]).max()) for number, body in good]
    return Load(
        kind,
        clients,
        len(found),
        len(found) / took,
        float(1e3 * np.percentile(latencies, 50)),
        float(1e3 * np.percentile(latencies, 99)),
        len(found) - len(good),
        max(differences, default=float("nan")),
    )


def resident_mib(pid: int) -> float:
    """Memory of a process."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found[1]) / 1024 if found else float("nan")


def wrk(address: tuple[str, int], paths: Array, horizon: int, clients: int, seconds: float) -> str:
    """What wrk says of the same requests."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("--wrk needs the program wrk (Debian: apt-get install wrk)")
    bodies = ",\n".join(
        "[[" + json.dumps({"points": path.tolist(), "horizon": horizon}) + "]]" for path in paths[:64]
    )
    script = (
        "local bodies = {" + bodies.replace("[[{", "[==[{").replace("}]]", "}]==]") + "}\nlocal n = 0\n"
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        "request = function() n = n + 1 return wrk.format(nil, nil, nil, bodies[n % #bodies + 1]) end\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        url = f"http://{address[0]}:{address[1]}/v1/forecast"
        command = [
            program,
            "-t1",
            f"-c{clients}",
            f"-d{max(1, round(seconds))}s",
            "--latency",
            "-s",
            file.name,
            url,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def flatness(
    address: tuple[str, int], pid: int, requests: Sequence[bytes], clients: int, most: int
) -> list[tuple[int, float]]:
    """Memory of the server after each tenth of so many requests."""
    found = [(0, resident_mib(pid))]
    for part in range(1, 11):
        asyncio.run(ask(*address, requests, clients, seconds=3600, most=most // 10))
        found.append((part * most // 10, resident_mib(pid)))
    return found


def show(loads: Sequence[Load]) -> None:
    """A table for people."""
    table = Table(title="Over HTTP on loopback")
    for heading in (
        "clients",
        "kind",
        "requests",
        "a second",
        "ratio",
        "p50 ms",
        "p99 ms",
        "lost",
        "largest difference m",
    ):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    slow = {load.clients: load.per_second for load in loads if load.kind != "continuous"}
    for load_ in loads:
        ratio = load_.per_second / slow[load_.clients] if load_.clients in slow else float("nan")
        table.add_row(
            str(load_.clients), load_.kind, f"{load_.requests:,}", f"{load_.per_second:,.0f}", f"{ratio:.2f}",
            f"{load_.p50_ms:.1f}", f"{load_.p99_ms:.1f}", str(load_.lost), f"{load_.difference:.1e}",
        )  # fmt: skip
    Console(width=120).print(table)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="trajectory-3d")
    parser.add_argument("--clients", default="1,8,64")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--horizon", type=int, default=16)
    parser.add_argument("--length", type=int, default=64, help="points of context")
    parser.add_argument("--threads", type=int, default=1, help="of the model")
    parser.add_argument(
        "--requests", type=int, default=0, help="measure memory over so many requests instead"
    )
    parser.add_argument("--wrk", action="store_true", help="also ask with wrk")
    parser.add_argument("server_options", nargs="*", help="for m-serve, after --")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments = parse()
    paths = contexts(_PATHS, arguments.length)
    requests = requests_for(paths, arguments.horizon)
    clients = [int(value) for value in arguments.clients.split(",")]
    options = tuple(arguments.server_options)
    if arguments.requests:
        with serving(arguments.model, KINDS["continuous"], arguments.threads, *options) as (host, port, pid):
            memory = flatness((host, port), pid, requests, clients[-1], arguments.requests)
        for asked, mib in memory:
            print(f"{asked:7,d} requests: {mib:7.1f} MiB")
        print_json("serving_memory", {"clients": clients[-1], "mib": memory})
        return
    expected = load(arguments.model).forecast(paths, arguments.horizon).mean
    loads, said = [], []
    for kind, rows in KINDS.items():
        with serving(arguments.model, rows, arguments.threads, *options) as (host, port, _):
            for number in clients:
                loads.append(
                    measure(
                        kind, (host, port), requests, expected, number, seconds=arguments.seconds, most=10**9
                    )
                )
                if arguments.wrk:
                    said.append(
                        (kind, number, wrk((host, port), paths, arguments.horizon, number, arguments.seconds))
                    )
    for kind, number, text in said:
        print(f"wrk, {number} clients, {kind}:\n{text}")
    show(sorted(loads, key=lambda each: (each.clients, each.kind != "continuous")))
    print_json("serving_load", {"loads": [asdict(each) for each in loads]})


if __name__ == "__main__":
    main()
