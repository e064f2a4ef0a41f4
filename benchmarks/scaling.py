"""Training by several processes of this machine: same losses, counted bytes, and windows in a second.

    uv run python -m benchmarks.scaling examples/trajectory_3d/configs/small_3d_moe.yaml

- *losses*: the largest relative difference of any step's loss from that of one process, for every kind of
  parallelism, in fp32 with AdamW;
- *bytes*: what passed the loopback device in a step, over all processes, beside `m.parallel.cost`;
- *windows/s*: steps as configured, one process with all threads against several that share them.

Linux only. Whatever else uses the loopback device is counted too: run it alone (as root, ``unshare -n``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.report import print_json
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.training import training_batches
from m.config import apply_overrides, from_dict, read_yaml
from m.experts.experts import Experts
from m.moe import MoESequenceRegressor
from m.parallel import ParallelConfig, ParallelEngine, World, joined_world, started_together
from m.parallel.cost import Workload, bytes_sent
from m.training import Callback, StepRecord, Trainer

_DEVICES = Path("/proc/self/net/dev")
_WARMUP = 3
KINDS: dict[str, tuple[int, dict[str, Any]]] = {
    "one process": (1, {}),
    "ddp": (2, {}),
    "fsdp": (2, {"mode": "fsdp"}),
    "experts over 2": (2, {"expert": 2}),
    "ddp of 4": (4, {}),
    "ddp 2 x experts 2": (4, {"expert": 2}),
    "fsdp 2 x experts 2": (4, {"mode": "fsdp", "expert": 2}),
}
_UNTIED = "model.experts.tied_steps=0"  # else no token is sent in the first steps
_COMPARED = ("training.optimizer=adamw", "training.precision=fp32", "training.batch_size=64")


class _Watch(Callback):
    """Losses, bytes and times of steps."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.sent: list[int] = []
        self.times: list[float] = []

    def on_step(self, record: StepRecord) -> None:
        """Note."""
        self.losses.append(record.loss)
        self.sent.append(loopback_bytes())
        self.times.append(time.perf_counter())


def loopback_bytes() -> int:
    """Bytes that this machine has sent to itself."""
    for line in _DEVICES.read_text(encoding="utf-8").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[8])
    raise RuntimeError("no loopback device")


def _experiment(
    config: Path, overrides: list[str], steps: int, parallel: Mapping[str, Any]
) -> ExperimentConfig:
    settings = apply_overrides(read_yaml(config), overrides)
    training = settings["training"] | {
        "max_steps": steps,
        "log_interval": 1,
        "checkpoint_interval": steps + 1,
        "warmup_steps": 1,
    }
    return from_dict(ExperimentConfig, settings | {"training": training, "parallel": dict(parallel)})


def _steps(experiment: ExperimentConfig, world: World | None) -> _Watch:
    """Train, without evaluation."""
    torch.manual_seed(0)
    model = MoESequenceRegressor(experiment.model)
    watch = _Watch()
    engine = None if world is None else ParallelEngine(model, experiment.parallel, world)
    with tempfile.TemporaryDirectory() as own:
        folder = own if world is None else world.from_main(own)
        Trainer(
            model,
            lambda first: training_batches(experiment, first, world),
            experiment.training,
            output_dir=folder,
            engine=engine,
            callbacks=(watch,),
        ).fit()
        if world is not None:
            world.from_main(None)  # the folder is removed when all are done
    return watch


def _in_process(arguments: argparse.Namespace) -> None:
    """One process of a measurement; the main one prints what it saw."""
    kind = KINDS[arguments.kind]
    experiment = _experiment(arguments.config, arguments.overrides, arguments.steps, kind[1])
    if started_together():
        with joined_world(experiment.parallel, "cpu") as world:
            watch = _steps(experiment, world)
            if not world.is_main:
                return
    else:
        watch = _steps(experiment, None)
    print(json.dumps(vars(watch)))


def _measure(arguments: argparse.Namespace, kind: str, threads: int, *overrides: str) -> dict[str, Any]:
    processes, _ = KINDS[kind]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [
        *(sys.executable, *(launcher if processes > 1 else [])),
        *("-m", "benchmarks.scaling", str(arguments.config), "--kind", kind, "--steps", str(arguments.steps)),
        *arguments.overrides,
        *overrides,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def workload(model: MoESequenceRegressor, tokens: int) -> Workload:
    """What the formulas want to know of a model, trained in fp32 with so many tokens a process and step."""
    layers = [module for module in model.modules() if isinstance(module, Experts)]
    routed = sum(p.numel() for layer in layers for p in layer.parameters())
    return Workload(
        dense_parameters=sum(p.numel() for p in model.parameters()) - routed,
        expert_parameters=routed,
        expert_layers=len(layers),
        dim=model.config.dim,
        top_k=model.config.router.top_k,
        tokens=tokens,
        token_bytes=4,
    )


def _compare(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    expected: list[float] = []
    for kind, (processes, parallel) in KINDS.items():
        found = _measure(arguments, kind, 1, *_COMPARED, _UNTIED)
        expected = expected or found["losses"]
        experiment = _experiment(
            arguments.config, [*arguments.overrides, *_COMPARED, _UNTIED], arguments.steps, parallel
        )
        settings = ParallelConfig(**parallel)
        tokens = experiment.dataset.sequence_length // experiment.model.stride
        work = workload(
            MoESequenceRegressor(experiment.model), experiment.training.batch_size // processes * tokens
        )
        formula = processes * bytes_sent(work, processes, settings.mode, settings.expert).total
        sent = [after - before for before, after in zip(found["sent"], found["sent"][1:], strict=False)]
        rows.append(
            {
                "kind": kind,
                "processes": processes,
                "largest_difference": max(
                    abs(a - b) / abs(b) for a, b in zip(found["losses"], expected, strict=True)
                ),
                "megabytes": statistics.median(sent[_WARMUP:]) / 1e6 if processes > 1 else 0.0,
                "formula_megabytes": formula / 1e6,
            }
        )
        line = "{kind:20} {largest_difference:10.1e} {megabytes:10.2f} {formula_megabytes:10.2f}"
        print(line.format(**rows[-1]))
    return rows


def _race(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    cores = os.cpu_count() or 1
    rows = []
    contestants = {"one process": cores}
    contestants |= {kind: max(1, cores // 2) for kind, (processes, _) in KINDS.items() if processes == 2}
    batch = _experiment(arguments.config, arguments.overrides, 1, {}).training.batch_size
    for kind, threads in contestants.items():
        for overrides in ((), ("training.optimizer=adamw",)):
            if "fsdp" in kind and not overrides:
                continue  # splits matrices that SOAP turns
            found = _measure(arguments, kind, threads, _UNTIED, *overrides)
            pairs = zip(found["times"], found["times"][1:], strict=False)
            speed = batch / statistics.median([after - before for before, after in pairs][_WARMUP:])
            optimizer = "adamw" if overrides else "as configured"
            rows.append(
                {"kind": kind, "threads": threads, "optimizer": optimizer, "windows_per_second": speed}
            )
            print(f"{kind:20} {threads} threads each, {optimizer:14} {speed:10,.0f} windows/s")
    return rows


def main() -> None:
    """Entry point."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", help="key=value")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--kind", choices=KINDS, help="be one of its processes; used by the script itself")
    arguments = parser.parse_intermixed_args()
    if arguments.kind is not None:
        _in_process(arguments)
        return
    print(f"{'':20} difference  MB counted  by formula   (a step, all processes)")
    compared = _compare(arguments)
    raced = _race(arguments)
    figures = {"config": arguments.config.stem, "compared": compared, "raced": raced, "cores": os.cpu_count()}
    print_json("scaling", figures)


if __name__ == "__main__":
    main()
