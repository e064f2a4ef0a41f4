"""How much a training step and a forecast do: operators run, bytes they write, operations of their products.

    uv run python -m benchmarks.work_counts            # beside what is recorded
    uv run python -m benchmarks.work_counts --record   # after a change that is meant

Counted, not timed, so that a busy machine cannot hide that something does more than it did. Views are not
counted: they cost next to nothing. A slow test, ``test_work_counts.py``, holds the figures to the recorded.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.flops import product_flops
from benchmarks.report import UNTIED, print_json
from benchmarks.training_step import TrainingStep
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.training import training_batches
from m import load
from m.config import load_config
from m.moe import MoESequenceRegressor
from m.training import choose_precision

RECORDED = Path(__file__).with_name("work_counts.json")
CONFIGS = Path(__file__).parents[1] / "examples" / "trajectory_3d" / "configs"
# More than this beyond what is recorded is a regression. Routing decides some sizes, and rounding a routing.
TOLERANCE = 0.03


@dataclass
class Work:
    """What was done.

    Attributes:
        operators: run, without views.
        megabytes: written by them.
        gigaflops: of matrix products, 2 a multiply-add.
    """

    operators: int = 0
    megabytes: float = 0.0
    gigaflops: float = 0.0


class _Counting(TorchDispatchMode):
    """Counts each operator that reaches a kernel, gradients' own included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work = Work()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        if not (isinstance(func, OpOverload) and func.is_view):
            self.work.operators += 1
            self.work.megabytes += _written(result) / 1e6
        return result


def _written(result: Any) -> int:
    if isinstance(result, Tensor):
        return result.numel() * result.element_size()
    return sum(map(_written, result)) if isinstance(result, (tuple, list)) else 0


def count(action: Callable[[], object]) -> Work:
    """What an action does."""
    flops = product_flops(action)
    with _Counting() as counting:
        action()
    work: Work = counting.work
    work.gigaflops = flops / 1e9
    return work


def training_step(name: str) -> Callable[[], None]:
    """A step of a configuration, after the one that begins the optimizer; always on the same windows."""
    experiment = load_config(ExperimentConfig, CONFIGS / f"{name}.yaml", [UNTIED])
    torch.manual_seed(0)
    model = MoESequenceRegressor(experiment.model)
    batches = itertools.cycle(itertools.islice(training_batches(experiment, 0), 1))
    precision = choose_precision("fp32", model.device)  # bf16 only adds casts, on machines that have it
    step = TrainingStep(model, experiment.training, batches, precision)
    step()
    return step


def forecast(batch: int, horizon: int) -> Callable[[], object]:
    """A forecast of the shipped model."""
    model = load("trajectory-3d")
    context = torch.randn(batch, 64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = context.cumsum(1).numpy()
    return lambda: model.forecast(points, horizon)


def all_counts() -> dict[str, Work]:
    """Everything that is recorded."""
    return {
        "training step, quick_test_3d": count(training_step("quick_test_3d")),
        "training step, small_3d_moe": count(training_step("small_3d_moe")),
        "forecast of 16 points": count(forecast(1, 16)),
        "forecast of 128 points": count(forecast(1, 128)),
        "forecast of 16 points, batch 32": count(forecast(32, 16)),
    }


def recorded() -> dict[str, dict[str, float]]:
    """What was recorded."""
    content: dict[str, dict[str, float]] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return content


def regressions(found: Mapping[str, Work], before: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What does more than it did, in words."""
    return [
        f"{name}: {part} {value:,.4g}, recorded {before[name][part]:,.4g}"
        for name, work in found.items()
        for part, value in vars(work).items()
        if value > (1 + TOLERANCE) * before[name][part]
    ]


def main() -> None:
    """Count, and print or record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="make these the figures to hold")
    arguments = parser.parse_args()
    found = all_counts()
    rows = {
        name: {part: round(value, 4) for part, value in vars(work).items()} for name, work in found.items()
    }
    before = recorded() if RECORDED.is_file() and not arguments.record else rows
    print(f"{'':34s} {'operators':>18s} {'MB written':>20s} {'GFLOP':>18s}")
    for name, row in rows.items():
        cells = (f"{row[part]:9,.5g} ({before[name][part]:,.5g})" for part in row)
        print(f"{name:34s} {''.join(f'{cell:>20s}' for cell in cells)}")
    if arguments.record:
        RECORDED.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print("in brackets: recorded")
    print_json("work_counts", {"rows": rows})


if __name__ == "__main__":
    main()
