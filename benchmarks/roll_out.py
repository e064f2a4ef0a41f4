"""What a key-value cache and a head of several points save when a forecast goes on from its own points.

    uv run python -m benchmarks.roll_out

A model of the small configuration's width with a token for each point, untrained (speed does not ask what
was learned), that keeps its anchor while it rolls on (``anchor.rolling: held``). For contexts of 64 and 512
points and horizons of 16 and 128, a head of P = 1 or 16 points continues a path

- ``cached``: as `model.forecast` does, each new point read once;
- ``anew``: without a cache, all points read again for every block. Both give the same points.

Then the cost of one more point in a session whose past is ever longer: attention looks at all of it, and the
rest of the model at the new point alone.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.report import print_json
from benchmarks.timing import call_seconds
from m.attention import AttentionConfig
from m.experts import ExpertsConfig
from m.heads import HeadConfig
from m.moe import ModelConfig, MoESequenceRegressor
from m.moe.anchor import compute_anchor
from m.moe.config import AnchorConfig
from m.moe.forecast import feed_back, inference

CONTEXTS, HORIZONS, HEADS = (64, 512), (16, 128), (1, 16)
PASTS = (64, 256, 1024, 4096)
_REPEATS = 7


def make_model(steps: int) -> MoESequenceRegressor:
    """A token a point, a head of P points."""
    torch.manual_seed(0)
    config = ModelConfig(
        dim=256,
        n_layers=4,
        attention=AttentionConfig(n_heads=8),
        experts=ExpertsConfig(hidden_dim=256),
        head=HeadConfig(prediction_steps=steps),
        anchor=AnchorConfig(rolling="held"),
    )
    return MoESequenceRegressor(config).eval()


def anew(model: MoESequenceRegressor, context: Tensor, horizon: int) -> Tensor:
    """Continue ``[B, T, 3]`` without a cache: all points are read for every block of P."""
    lengths = torch.full((len(context),), context.shape[1])
    anchor = compute_anchor(context, lengths, model.config.anchor)
    path = context
    with inference(model):
        while path.shape[1] < context.shape[1] + horizon:
            read = path.shape[1]
            tokens = torch.arange(read)[None]
            output = model(path, anchor=anchor, lengths=torch.full_like(lengths, read), tokens=tokens)
            block = output.distribution.at((slice(None), -1))
            points = anchor.for_targets(3).restore(block.location)
            path = torch.cat((path, points.to(path.dtype)), 1)
    return path[:, context.shape[1] :][:, :horizon]


def milliseconds(action: Callable[[], object]) -> float:
    """Median of some calls after one that warms up."""
    action()
    return 1e3 * statistics.median(call_seconds(action, _REPEATS))


def compare(steps: int, length: int, horizon: int) -> dict[str, float]:
    """One row of the table; checks that both ways give the same path."""
    model = make_model(steps)
    context = np.random.default_rng(0).normal(size=(1, length, 3)).cumsum(1)
    points = torch.from_numpy(context).float()
    kept, read = model.forecast(context, horizon).mean, anew(model, points, horizon).numpy()
    error = float(np.abs(kept - read).max() / np.abs(kept).max())
    if error > 1e-3:
        raise RuntimeError(f"the two ways differ by {error:.2g}")
    return {
        "cached": milliseconds(lambda: model.forecast(context, horizon)),
        "anew": milliseconds(lambda: anew(model, points, horizon)),
        "difference": error,
    }


def push(past: int) -> float:
    """Milliseconds to read one more point after ``past`` of them."""
    model = make_model(1)
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(1, past, 3)).cumsum(1)).float()
    lengths = torch.tensor([past])
    anchor = compute_anchor(points, lengths, model.config.anchor)
    cache = model.allocate_cache(1, past + 1)
    with inference(model):
        model(points, anchor=anchor, lengths=lengths, tokens=torch.arange(past)[None], cache=cache)
        return milliseconds(lambda: feed_back(model, points[:, -1:], anchor, lengths, cache))


def main() -> None:
    """Measure and print."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    rows = []
    print(
        f"{'context':>7s} {'horizon':>7s} {'head':>4s} {'cached':>10s} {'anew':>10s} {'anew / cached':>14s}"
    )
    for length in CONTEXTS:
        for horizon in HORIZONS:
            for steps in HEADS:
                found = compare(steps, length, horizon)
                rows.append({"context": length, "horizon": horizon, "head": steps, **found})
                ratio = found["anew"] / found["cached"]
                print(
                    f"{length:7d} {horizon:7d} {steps:4d} {found['cached']:7.1f} ms {found['anew']:7.1f} ms "
                    f"{ratio:13.1f}x",
                    flush=True,
                )
    pushes = {past: push(past) for past in PASTS}
    print("one more point after " + ", ".join(f"{past}: {ms:.2f} ms" for past, ms in pushes.items()))
    print_json("roll_out", {"rows": rows, "push_milliseconds": pushes})


if __name__ == "__main__":
    main()
