"""Experts of one layer against the dense products they are made of, a loop, and another library's experts.

    uv run --group bench python -m benchmarks.moe_layer
    uv run --group bench python -m benchmarks.moe_layer --expert-counts

For each width, number format and number of tokens the same work is done by

- ``limit``: two plain matrix products of as many rows as there are token-expert pairs, no activation, no
  routing: what a mixture's active operations would cost at best;
- ``ours``: `m.experts.Experts`, from chosen experts and gates to the sum, as in training;
- ``loop``: a textbook loop over experts with a mask, an index and an ``index_add``;
- ``transformers``: Hugging Face's Mixtral experts by each of their implementations that runs here.

Every repetition takes another routing from a pool, as training does: who measures one routing again and again
measures kernels that were compiled for its very numbers of tokens. Each contestant warms up on other routings
and then takes all its repetitions, in two rounds: taking turns they would throw each other's compiled kernels
out of a cache that all share. Medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.mixtral import IMPLEMENTATIONS, mixtral_experts
from benchmarks.report import print_json
from benchmarks.training_step import TYPES
from m.experts import Experts, ExpertsConfig

TOKENS = (1, 8, 64, 512, 1024, 2048, 4096, 8192)
POOL = 128  # routings; the first half are for warming up
_WARM_SECONDS = 0.5
_BATCHED_LIMIT = 64  # tokens: batched_mm copies one expert's weights for every pair
_KEPT_BYTES = 31 << 20  # glibc keeps freed blocks as large as the largest that was freed, up to 32 MB
_MOST_SECONDS = 2.0  # of one contestant at one size
_LEAST_REPEATS, _MOST_REPEATS = 5, 60


@dataclass(frozen=True)
class Size:
    """Widths of a layer: D, F, E experts of which K serve a token."""

    name: str
    dim: int
    hidden: int
    experts: int
    top_k: int = 2


SIZES = (
    Size("quick", 64, 128, 4),
    Size("small", 256, 128, 8),
    Size("large", 1024, 512, 32),
)


@dataclass(frozen=True)
class Work:
    """Tokens, and a pool of routings of them."""

    tokens: Tensor  # [N, D]
    chosen: list[Tensor]  # [N, K] each
    weights: Tensor  # [N, K]
    gradient: Tensor  # [N, D]


Contestant = Callable[[Tensor, Tensor, Tensor], Tensor]


def make_work(size: Size, count: int, dtype: torch.dtype) -> Work:
    """Routings whose experts are as unevenly liked as in a balanced training: loads within about 30 %."""
    generator = torch.Generator().manual_seed(0)
    chosen = []
    for _ in range(POOL):
        liking = 0.3 * torch.randn(size.experts, generator=generator)
        noise = -(-torch.rand(count, size.experts, generator=generator).log()).log()  # Gumbel
        chosen.append((liking + noise).topk(size.top_k).indices)
    weights = torch.rand(count, size.top_k, generator=generator)
    weights = (weights / weights.sum(-1, keepdim=True)).to(dtype)
    tokens = torch.randn(count, size.dim, generator=generator).to(dtype)
    return Work(tokens, chosen, weights, torch.randn(count, size.dim, generator=generator).to(dtype))


def our_experts(size: Size, dtype: torch.dtype) -> Experts:
    """The layer of this package."""
    torch.manual_seed(0)
    experts = Experts(size.dim, size.experts, ExpertsConfig(hidden_dim=size.hidden))
    experts.reset_parameters(1.0)
    return experts.to(dtype)


class Products(nn.Module):
    """The products alone: every pair through one expert."""

    def __init__(self, ours: Experts) -> None:
        super().__init__()
        self.w_in = nn.Parameter(ours.w_in.detach()[0].clone())
        self.w_out = nn.Parameter(ours.w_out.detach()[0].clone())

    def forward(self, tokens: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Two products of ``N * K`` rows; the rest of what they give is not used."""
        del weights
        rows = tokens.repeat(chosen.shape[1], 1)
        hidden = rows @ self.w_in
        return (hidden[:, : self.w_out.shape[0]] @ self.w_out)[: len(tokens)]


class Loop(nn.Module):
    """One expert after the other, each with the tokens that chose it."""

    def __init__(self, ours: Experts) -> None:
        super().__init__()
        self.w_in, self.w_out = ours.w_in, ours.w_out

    def forward(self, tokens: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """As a textbook has it."""
        result = torch.zeros_like(tokens)
        for expert in range(len(self.w_in)):
            token, place = torch.where(chosen == expert)
            gate, value = (tokens[token] @ self.w_in[expert]).chunk(2, -1)
            output = (F.silu(gate) * value) @ self.w_out[expert]
            result.index_add_(0, token, output * weights[token, place, None])
        return result


def contestants(size: Size, count: int, dtype: torch.dtype) -> dict[str, nn.Module]:
    """Everybody who can do this much."""
    ours = our_experts(size, dtype)
    found: dict[str, nn.Module] = {"limit": Products(ours), "ours": ours, "loop": Loop(ours)}
    for implementation in IMPLEMENTATIONS:
        if implementation != "batched_mm" or count <= _BATCHED_LIMIT:
            found[f"transformers {implementation}"] = mixtral_experts(ours, size.top_k, implementation)
    return found


def check_same(found: dict[str, nn.Module], work: Work) -> None:
    """Refuse to time contestants that compute something else."""
    with torch.no_grad():
        expected = found["ours"](work.tokens, work.chosen[0], work.weights).float()
        for name, module in found.items():
            if name == "limit":
                continue
            error = (module(work.tokens, work.chosen[0], work.weights).float() - expected).norm()
            if not error <= 0.03 * expected.norm():  # bf16 sums in another order
                raise RuntimeError(f"{name} computes something else: off by {error / expected.norm():.2g}")


def run_once(module: nn.Module, work: Work, turn: int, *, backward: bool) -> float:
    """Seconds of one forward, or of forward and backward."""
    tokens = work.tokens.detach().requires_grad_(backward)
    weights = work.weights.detach().requires_grad_(backward)
    for parameter in module.parameters():
        parameter.grad = None
    began = time.perf_counter()
    with torch.set_grad_enabled(backward):
        result = module(tokens, work.chosen[turn % POOL], weights)
        if backward:
            result.backward(work.gradient)
    return time.perf_counter() - began


def keep_freed_memory() -> None:
    """Let freed blocks stay with the process, as they do in a training, which has freed large ones before."""
    torch.empty(_KEPT_BYTES, dtype=torch.uint8).fill_(0)


def warm_up(module: nn.Module, work: Work, *, backward: bool) -> float:
    """Let a contestant compile what it compiles, on routings that are not timed; its fastest time."""
    until, fastest = time.perf_counter() + _WARM_SECONDS, float("inf")
    for turn in range(POOL // 2):
        fastest = min(fastest, run_once(module, work, turn, backward=backward))
        if time.perf_counter() > until and turn >= 2:
            break
    return fastest


def measure(size: Size, count: int, dtype: torch.dtype, *, backward: bool) -> dict[str, float]:
    """Median seconds of each contestant."""
    work, found = make_work(size, count, dtype), contestants(size, count, dtype)
    check_same(found, work)
    first = {name: warm_up(module, work, backward=backward) for name, module in found.items()}
    repeats = min(max(int(_MOST_SECONDS / max(first.values())), _LEAST_REPEATS), _MOST_REPEATS)
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for half in (range(repeats // 2), range(repeats // 2, repeats)):
        for name, module in found.items():
            warm_up(module, work, backward=backward)
            seconds[name] += [run_once(module, work, POOL // 2 + turn, backward=backward) for turn in half]
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(
    size: Size, count: int, kind: str, seconds: dict[str, float], *, backward: bool
) -> dict[str, object]:
    """Print a line, and give it back for programs."""
    limit, ours = seconds["limit"], seconds["ours"]
    peers = {name: value for name, value in seconds.items() if name.startswith("transformers")}
    best = min(peers, key=lambda name: peers[name])
    way = "forward + backward" if backward else "forward"
    print(
        f"{size.name:8s} {size.experts:4d} {kind:5s} {way:19s} {count:6d} {1e3 * ours:9.3f} ms "
        f"{limit / ours:7.2f} {seconds['loop'] / ours:7.2f}x {peers[best] / ours:7.2f}x "
        f"({best.removeprefix('transformers ')})",
        flush=True,
    )
    return {
        "size": size.name,
        "experts": size.experts,
        "type": kind,
        "backward": backward,
        "tokens": count,
        "milliseconds": {name: round(1e3 * value, 4) for name, value in seconds.items()},
        "share_of_limit": round(limit / ours, 3),
        "against_transformers": round(peers[best] / ours, 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default=",".join(size.name for size in SIZES))
    parser.add_argument("--tokens", default=",".join(map(str, TOKENS)))
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("--ways", default="forward,backward", help="backward means both passes")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--expert-counts", action="store_true", help="4 to 128 experts of the small width at 4,096 tokens"
    )
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    counts = [int(text) for text in arguments.tokens.split(",")]
    sizes = [size for size in SIZES if size.name in arguments.sizes.split(",")]
    if arguments.expert_counts:
        counts, small = [4096], SIZES[1]
        sizes = [Size(small.name, small.dim, small.hidden, 2**power) for power in range(2, 8)]
    keep_freed_memory()
    print(
        f"{'size':8s} {'E':>4s} {'type':5s} {'pass':19s} {'tokens':>6s} {'ours':>12s} {'limit':>7s} "
        f"{'loop':>8s} {'best of transformers':s}"
    )
    rows = []
    for size in sizes:
        for kind in arguments.types.split(","):
            for way in arguments.ways.split(","):
                for count in counts:
                    backward = way == "backward"
                    seconds = measure(size, count, TYPES[kind], backward=backward)
                    rows.append(report(size, count, kind, seconds, backward=backward))
    print("limit: the products' time over ours; loop, transformers: their time over ours")
    print_json("moe_layer", {"threads": torch.get_num_threads(), "rows": rows})


if __name__ == "__main__":
    main()
