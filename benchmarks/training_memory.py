"""Peak memory of training: each configuration, with and without keeping activations, whole and in parts.

    uv run python -m benchmarks.training_memory

Every case is a process of its own that takes two optimizer steps through the loop that users run, and reports
the most memory that it ever held. ``before`` is what is held when nothing but libraries is loaded.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.report import UNTIED, print_json

CONFIGS = Path("examples/trajectory_3d/configs")
CASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("quick_test_3d", ()),
    ("small_3d_moe", ()),
    ("small_3d_moe", ("training.activation_checkpointing=true",)),
    ("small_3d_moe", ("training.batch_size=256", "training.accumulation_steps=4")),
    ("large_3d_moe", ()),
    ("large_3d_moe", ("training.activation_checkpointing=true",)),
    ("large_3d_moe", ("training.batch_size=8", "training.accumulation_steps=4")),
)
_PER_MEGABYTE = 1024  # ru_maxrss counts kilobytes


def held_most() -> float:
    """Megabytes, the peak of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _PER_MEGABYTE


def train(name: str, overrides: list[str]) -> None:
    """Take two steps and print what they held; for a process of its own."""
    from benchmarks.training_throughput import measure  # noqa: PLC0415  (libraries are counted first)
    from examples.trajectory_3d.config import ExperimentConfig  # noqa: PLC0415
    from m.config import load_config  # noqa: PLC0415
    from m.moe import model_size  # noqa: PLC0415

    experiment = load_config(ExperimentConfig, CONFIGS / f"{name}.yaml", [UNTIED, *overrides])
    before = held_most()
    measure(experiment, None, 2)
    parameters = model_size(experiment.model).total_parameters
    print(json.dumps({"before": before, "peak": held_most(), "parameters": parameters}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="configurations, separated by commas")
    parser.add_argument("--case", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        train(arguments.case[0], arguments.case[1:])
        return
    wanted = arguments.only.split(",") if arguments.only else [name for name, _ in CASES]
    rows = []
    print(f"{'configuration':16s} {'parameters':>12s} {'before':>8s} {'peak':>8s}  changed")
    for name, overrides in CASES:
        if name not in wanted:
            continue
        command = [sys.executable, "-m", "benchmarks.training_memory", "--case", name, *overrides]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append({"config": name, "changed": list(overrides)} | row)
        print(
            f"{name:16s} {row['parameters']:12,} {row['before']:5.0f} MB {row['peak']:5.0f} MB  "
            f"{' '.join(overrides)}",
            flush=True,
        )
    print_json("training_memory", {"rows": rows})


if __name__ == "__main__":
    main()
