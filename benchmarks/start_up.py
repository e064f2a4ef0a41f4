"""What a user waits for before anything happens: commands that only tell, and a first forecast.

    uv run python -m benchmarks.start_up

Each line is a process of its own, timed from outside, several times in turn with the others; medians, and
ratios to a Python that does nothing. The packages that take longest to import on the way to a first forecast
are listed by Python's own ``-X importtime``.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict

from benchmarks.report import print_json

_FORECAST = (
    "import numpy as np; from m import load; "
    "load('trajectory-3d').forecast(np.random.default_rng(0).normal(size=(64, 3)).cumsum(0), 16)"
)
CASES = {
    "python, nothing": "pass",
    "import numpy": "import numpy",
    "import torch": "import torch",
    "first forecast": _FORECAST,
    "trajectory-3d-train --help": "from examples.trajectory_3d.cli.train import main; main(['--help'])",
    "trajectory-3d-data --help": "from examples.trajectory_3d.cli.data import main; main(['--help'])",
    "trajectory-3d-models list": "from examples.trajectory_3d.cli.models import main; main(['list'])",
    "m-serve --help": "from m.inference_server.cli import main; main(['--help'])",
}


def seconds(code: str) -> float:
    """Wall time of one process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    return time.perf_counter() - began


def import_costs(code: str) -> dict[str, float]:
    """Milliseconds of each top-level package's own modules, largest first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=False
    )
    costs: dict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
        found = re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)", line)
        if found:
            costs[found[2].split(".")[0]] += int(found[1]) / 1e3
    return dict(sorted(costs.items(), key=lambda item: -item[1]))


def main() -> None:
    """Entry point."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, code in CASES.items():
            taken[name].append(seconds(code))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    bare = medians["python, nothing"]
    for name, value in sorted(medians.items(), key=lambda item: item[1]):
        print(f"{name:30} {value:6.2f} s {value / bare:6.1f}x")
    costs = import_costs(_FORECAST)
    print("imports of a first forecast, ms:", ", ".join(f"{k} {v:.0f}" for k, v in list(costs.items())[:8]))
    print_json("start_up", {"seconds": medians, "imports_ms": dict(list(costs.items())[:20])})


if __name__ == "__main__":
    main()
