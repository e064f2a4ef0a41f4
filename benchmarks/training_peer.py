"""Training steps of this package against those of a Hugging Face Mixtral stack of the same sizes, in one run.

    uv run --group bench python -m benchmarks.training_peer examples/trajectory_3d/configs/small_3d_moe.yaml

Both see the same windows, and so the same number of tokens, embed them and state their distributions by the
same modules, and take AdamW steps on the same loss, in the number format that training chooses. Between
embedding and head one has this package's blocks, the other a ``MixtralModel`` of as many layers, as wide,
with as many heads and experts, once for each implementation of its experts. Configurations with parts that
Mixtral lacks (a dense feed-forward, a shared expert) do more work in a step, and those whose tokens see only
themselves less: so what is compared is useful work in a second, matrix products of three forward passes, and
its share of the speed of large square products, measured after each step.

``as configured`` is this package's step with the configuration's own optimizer, counted as if that
did no useful work.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.mixtral import STACKS, mixtral_stack
from benchmarks.report import print_json
from benchmarks.training_step import TYPES, TrainingStep, read_command
from benchmarks.training_throughput import GemmClock
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.training import training_batches
from m.moe import ModelConfig, MoESequenceRegressor, model_size
from m.routing.record import RoutingRecord
from m.training import Precision

_BATCHES = 8  # windows made in advance, so that data costs nobody anything


class MixtralRegressor(MoESequenceRegressor):
    """This package's embedding, head and loss around a ``MixtralModel``."""

    def __init__(self, config: ModelConfig, implementation: str) -> None:
        super().__init__(replace(config, n_layers=1))
        self.blocks = nn.ModuleList()
        self.stack = mixtral_stack(config, implementation)

    def _transform(
        self, history: Tensor, tokens: Tensor, places: Tensor, valid: Tensor, cache: Any
    ) -> tuple[Tensor, RoutingRecord]:
        """Mixtral's layers in place of the blocks; its own norm comes last."""
        del tokens, valid, cache
        hidden = self.stack(inputs_embeds=self.embedding(history, places), use_cache=False).last_hidden_state
        return hidden.to(self.norm.weight.dtype), RoutingRecord(())


def mixtral_flops(config: ModelConfig, length: int) -> int:
    """Operations of a forward pass, counted as `ModelSize.forward_flops` counts those of this package."""
    own = model_size(config)
    plain = replace(
        config,
        dense_feed_forward=False,
        attention=replace(config.attention, reach=None, every=1),
        experts=replace(config.experts, shared_hidden_dim=0),
    )
    return replace(model_size(plain), stride=own.stride).forward_flops(length)


@dataclass
class Contestant:
    """Somebody who trains.

    Attributes:
        name: for the table.
        step: takes one optimizer step.
        work: useful operations of a step.
        speeds: of each step, operations a second.
        shares: of each step, of the matrix product's speed.
    """

    name: str
    step: Callable[[], None]
    work: float
    speeds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def take_turn(self, clock: GemmClock) -> None:
        """One step, timed, and the product's speed after it."""
        began = time.perf_counter()
        self.step()
        speed = self.work / (time.perf_counter() - began)
        self.speeds.append(speed)
        self.shares.append(speed / (clock.gigaflops() * 1e9))


def contestants(experiment: ExperimentConfig, precision: Precision) -> list[Contestant]:
    """This package with AdamW and as configured, and Mixtral by each implementation."""
    batches = list(itertools.islice(training_batches(experiment, 0), _BATCHES))
    length, windows = experiment.dataset.sequence_length, experiment.training.batch_size
    config = experiment.model
    adamw = replace(experiment, training=replace(experiment.training, optimizer="adamw"))
    own = 3.0 * windows * model_size(config).forward_flops(length)
    peer = 3.0 * windows * mixtral_flops(config, length)
    found = []

    def add(name: str, model: MoESequenceRegressor, how: ExperimentConfig, work: float) -> None:
        step = TrainingStep(model, how.training, itertools.cycle(batches), precision)
        found.append(Contestant(name, step, work))

    torch.manual_seed(0)
    add("ours", MoESequenceRegressor(config), adamw, own)
    if experiment.training.optimizer != "adamw":
        add("ours, as configured", MoESequenceRegressor(config), experiment, own)
    for implementation in STACKS:
        add(f"transformers {implementation}", MixtralRegressor(config, implementation), adamw, peer)
    return found


def main() -> None:
    """Measure and print."""
    command = read_command(__doc__, steps=20)
    experiment, precision = command.experiment, command.precision
    clock = GemmClock(TYPES[precision.name])
    found = contestants(experiment, precision)
    for turn in range(command.warmup + command.steps):
        for contestant in found:
            contestant.take_turn(clock)
            if turn < command.warmup:
                contestant.speeds.clear()
                contestant.shares.clear()
    speeds = {each.name: statistics.harmonic_mean(each.speeds) for each in found}
    best = max(value for name, value in speeds.items() if name.startswith("transformers"))
    print(f"{experiment.name}, {precision.name}, {torch.get_num_threads()} threads")
    heads = f"{'GFLOP a step':>12s} {'windows/s':>10s} {'GFLOP/s':>8s} {'of the product':>14s} {'ratio':>6s}"
    print(f"{'':24s} {heads}")
    rows = []
    for each in found:
        speed, share = speeds[each.name], statistics.harmonic_mean(each.shares)
        windows = experiment.training.batch_size * speed / each.work
        print(
            f"{each.name:24s} {each.work / 1e9:12.1f} {windows:10,.0f} {speed / 1e9:8.0f} {share:14.0%} "
            f"{speed / best:6.2f}"
        )
        rows.append(
            {
                "name": each.name,
                "gflop_per_step": round(each.work / 1e9, 2),
                "windows_per_second": round(windows, 1),
                "share_of_gemm": round(share, 4),
                "against_transformers": round(speed / best, 3),
            }
        )
    print("ratio: useful work in a second over that of the best of transformers")
    print_json("training_peer", {"config": experiment.name, "precision": precision.name, "rows": rows})


if __name__ == "__main__":
    main()
