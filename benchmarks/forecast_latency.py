"""What a forecast takes: this package's ways to make one, classical ones, and generation by transformers.

    uv run --group bench python -m benchmarks.forecast_latency

For contexts of 64 and 512 points, horizons of 16 and 128 and batches of 1, 32 and 256:

- ``eager``: `model.forecast` of a shipped model, from NumPy points to a mean;
- ``compiled``: the same by ``torch.compile``, whose compiling is not counted;
- ``onnx``: the same model exported, by the engine that serves;
- ``by one``: `model.forecast` asked for one point at a time, each appended to the context: what a head of
  several steps saves;
- ``transformers``: a ``MixtralModel`` as wide and deep as ``small_3d_moe``, a token a point, that reads the
  context once and then generates point by point from its key-value cache;
- ``ridge``, ``combination``: the best single classical forecaster, and the one chosen by back-testing.

The contestants take turns within a case; medians are compared. Cases that one of them needs more than
``--patience`` seconds for are left out for it.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.mixtral import STACKS, mixtral_stack
from benchmarks.report import print_json
from examples.trajectory_3d.baselines.registry import make_baselines
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.deployment.expected import ask_exported
from examples.trajectory_3d.windows import evaluation_windows
from m import load
from m.arrays import Array
from m.config import load_config
from m.export import export_model
from m.moe import MoESequenceRegressor
from m.runtime.model import load_exported
from m.training.compilation import exempt_parts

CONFIG = Path("examples/trajectory_3d/configs/small_3d_moe.yaml")
CONTEXTS, HORIZONS, BATCHES = (64, 512), (16, 128), (1, 32, 256)
CLASSICAL = {"ridge": "ridge autoregression", "combination": "classical combination"}
COMPILED = "compiled"
_LEAST, _MOST, _SECONDS = 5, 60, 3.0

Ask = Callable[[Array, int], Any]


def one_at_a_time(model: MoESequenceRegressor) -> Ask:
    """As many forecasts as points, each of the next one."""

    def ask(context: Array, horizon: int) -> Array:
        path = context
        for _ in range(horizon):
            path = np.concatenate((path, model.forecast(path, 1).mean), axis=-2)
        return path[..., -horizon:, :]

    return ask


def compile_forward(model: MoESequenceRegressor) -> MoESequenceRegressor:
    """A copy whose passes are compiled, but for what the training loop leaves out too."""
    torch._dynamo.config.recompile_limit = 64  # a program for each number of tokens and paths
    copied = copy.deepcopy(model)
    exempt_parts(copied)
    copied.compile()
    return copied


class Generator(nn.Module):
    """A Mixtral that maps points to points."""

    def __init__(self, experiment: ExperimentConfig, implementation: str) -> None:
        super().__init__()
        config = experiment.model
        self.stack = mixtral_stack(config, implementation)
        self.embed, self.head = (
            nn.Linear(config.input_dim, config.dim),
            nn.Linear(config.dim, config.input_dim),
        )

    @torch.inference_mode()
    def forward(self, context: Array, horizon: int) -> Array:
        """Read the context, then a point after the other."""
        point = torch.as_tensor(context, dtype=torch.float32)
        point = point[None] if point.ndim == 2 else point
        past, found = None, []
        for _ in range(horizon):
            output = self.stack(inputs_embeds=self.embed(point), cache=past, use_cache=True)
            past = output.cache
            point = self._next(output.last_hidden_state)
            found.append(point)
        result: Array = torch.cat(found, 1).double().numpy()
        return result

    def _next(self, hidden: Tensor) -> Tensor:
        step: Tensor = self.head(hidden[:, -1:])
        return step


def contestants(name: str, folder: Path) -> dict[str, Ask]:
    """Everybody, by the name of a column."""
    model = load(name)
    export_model(model, "onnx", folder)
    compiled = compile_forward(model)
    serve = ask_exported(load_exported(folder, threads=torch.get_num_threads()))
    experiment = load_config(ExperimentConfig, CONFIG)
    found: dict[str, Ask] = {
        "eager": lambda context, horizon: model.forecast(context, horizon).mean,
        COMPILED: lambda context, horizon: compiled.forecast(context, horizon).mean,
        "onnx": lambda context, horizon: serve(context, horizon, ()),
        "by one": one_at_a_time(model),
    }
    for implementation in STACKS:
        found[f"transformers {implementation}"] = Generator(experiment, implementation).eval()
    for column, baseline in zip(CLASSICAL, make_baselines(list(CLASSICAL.values())), strict=True):
        found[column] = baseline.forecast
    return found


def measure(asks: dict[str, Ask], context: Array, horizon: int, patience: float) -> dict[str, float | None]:
    """Median milliseconds of each, None where once takes too long."""
    once: dict[str, float] = {}
    asks[COMPILED](context, horizon)  # compiles
    for name, ask in asks.items():
        began = time.perf_counter()
        ask(context, horizon)
        once[name] = time.perf_counter() - began
    able = {name: ask for name, ask in asks.items() if once[name] <= patience}
    times: dict[str, list[float]] = {name: [] for name in able}
    for _ in range(min(max(int(_SECONDS / sum(once[name] for name in able)), _LEAST), _MOST)):
        for name, ask in able.items():
            began = time.perf_counter()
            ask(context, horizon)
            times[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(times[name]) if name in able else None for name in asks}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="trajectory-3d", help="name of a shipped model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds a forecast may take")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dataset = load_config(ExperimentConfig, CONFIG).dataset
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        asks = contestants(arguments.model, Path(folder))
        wide = {name: max(len(name), 10) + 2 for name in asks}
        print("context horizon batch" + "".join(f"{name:>{wide[name]}s}" for name in asks) + "   (ms)")
        for length in CONTEXTS:
            windows = evaluation_windows(replace(dataset, sequence_length=length), "test", max(BATCHES))
            contexts = windows.context.astype(np.float64)
            for horizon in HORIZONS:
                for batch in BATCHES:
                    found = measure(asks, contexts[:batch], horizon, arguments.patience)
                    rows.append({"context": length, "horizon": horizon, "batch": batch, "ms": found})
                    cells = (
                        f"{'-' if ms is None else f'{ms:.2f}':>{wide[name]}s}" for name, ms in found.items()
                    )
                    print(f"{length:7d} {horizon:7d} {batch:5d}" + "".join(cells), flush=True)
    print_json("forecast_latency", {"model": arguments.model, "rows": rows})


if __name__ == "__main__":
    main()
