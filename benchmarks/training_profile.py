"""Where the time of a training step goes: its phases, and shares of a configuration's operators.

    uv run python -m benchmarks.training_profile examples/trajectory_3d/configs/small_3d_moe.yaml

Phases are in processor time, on windows made in advance, so that other work on the machine changes little.
Shares are of the operators' own time on the CPU, forward, backward and optimizer, read from
``torch.profiler``. The last line printed is one JSON document.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

from benchmarks.report import print_json
from benchmarks.training_step import TrainingStep, read_command
from examples.trajectory_3d.training import training_batches
from m.moe import MoESequenceRegressor

_BATCHES = 8  # of windows, made in advance
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


def processor_time(step: TrainingStep, count: int) -> dict[str, float]:
    """Seconds of all threads in the phases of a step, means; other programs add nothing to them."""
    seconds: dict[str, float] = {"forward": 0.0, "backward": 0.0, "optimizer": 0.0}
    for _ in range(count):
        began = time.process_time()
        loss = step.forward()
        forward = time.process_time()
        loss.backward()  # type: ignore[no-untyped-call]
        backward = time.process_time()
        step.update()
        seconds["forward"] += forward - began
        seconds["backward"] += backward - forward
        seconds["optimizer"] += time.process_time() - backward
    return {name: value / count for name, value in seconds.items()}


def main() -> None:
    """Profile and print."""
    command = read_command(__doc__, steps=10)
    experiment, precision = command.experiment, command.precision
    torch.manual_seed(0)
    batches = itertools.cycle(list(itertools.islice(training_batches(experiment, 0), _BATCHES)))
    step = TrainingStep(MoESequenceRegressor(experiment.model), experiment.training, batches, precision)
    for _ in range(command.warmup):
        step()
    phases = processor_time(step, command.steps)
    shown = ", ".join(f"{name} {1e3 * seconds:.0f}" for name, seconds in phases.items())
    print(f"processor time of a step in ms: {shown}, together {1e3 * sum(phases.values()):.0f}")
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        for _ in range(command.steps):
            step()
    times: Counter[str] = Counter()
    for event in trace.events() or ():
        times[group_of(event)] += event.self_cpu_time_total
    total = sum(times.values())
    shares = {name: round(time / total, 3) for name, time in times.most_common()}
    print(f"{experiment.name}, {precision.name}: {total / 1e3 / command.steps:.0f} ms a step in operators")
    for name, share in shares.items():
        print(f"  {name:36s} {share:6.1%}")
    print_json("training_profile", {"config": experiment.name, "shares": shares, "processor_seconds": phases})


if __name__ == "__main__":
    main()
