"""Where the time of a training step goes: shares of a configuration's operators.

    uv run python -m benchmarks.training_profile examples/trajectory_3d/configs/small_3d_moe.yaml

Shares are of the operators' own time on the CPU, forward, backward and optimizer, read from
``torch.profiler``. The last line printed is one JSON document.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from benchmarks.report import UNTIED, print_json
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.training import training_batches
from m.config import load_config
from m.moe import MoESequenceRegressor
from m.training import build_optimizer, choose_precision

# Begin of an operator's name -> what it is counted as; the first that fits.
GROUPS = {
    "aten::mm": "matrix products",
    "aten::addmm": "matrix products",
    "aten::bmm": "matrix products",
    "aten::_scaled_dot_product": "attention",
    "aten::silu": "activation (without its products)",
    "aten::mul": "elementwise products",
    "aten::index": "gathers",
    "aten::gather": "gathers",
    "aten::cat": "concatenation",
}


def group_of(event: FunctionEvent) -> str:
    """What an operator is counted as; whatever runs inside the optimizer is the optimizer's."""
    outer: FunctionEvent | None = event
    while outer is not None:
        if outer.name.startswith("Optimizer"):
            return "optimizer"
        outer = outer.cpu_parent
    return next((group for begin, group in GROUPS.items() if event.name.startswith(begin)), "other")


def main() -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    experiment = load_config(ExperimentConfig, arguments.config, [UNTIED])
    torch.manual_seed(0)
    model = MoESequenceRegressor(experiment.model)
    optimizer = build_optimizer(model, model.parameter_kinds(), experiment.training)
    batches = training_batches(experiment, 0)
    precision = choose_precision(experiment.training.precision, model.device)

    def step() -> None:
        with precision.autocast():
            loss = model.loss(next(batches)).loss
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        for _ in range(arguments.steps):
            step()
    times: Counter[str] = Counter()
    for event in trace.events() or ():
        times[group_of(event)] += event.self_cpu_time_total
    total = sum(times.values())
    shares = {name: round(time / total, 3) for name, time in times.most_common()}
    print(f"{experiment.name}, {precision.name}: {total / 1e3 / arguments.steps:.0f} ms a step in operators")
    for name, share in shares.items():
        print(f"  {name:36s} {share:6.1%}")
    print_json("training_profile", {"config": experiment.name, "shares": shares})


if __name__ == "__main__":
    main()
