"""What parallel training costs, by formula: bytes a process sends in a step, and what it keeps. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_FP32 = 4  # bytes of a weight, a gradient, and each of Adam's two moments
_COPIES = 4


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A mixture-of-experts model and one process's share of a step.

    Attributes:
        dense_parameters: all but those of routed experts.
        expert_parameters: of all routed experts of all layers.
        expert_layers: layers that route.
        dim: width of a token, D.
        top_k: experts that a token visits, K.
        tokens: of one process in a step, all its micro-batches together.
        token_bytes: of a number of a token on its way: 2 in bf16, 4 in fp32.
    """

    dense_parameters: int
    expert_parameters: int
    expert_layers: int
    dim: int
    top_k: int
    tokens: int
    token_bytes: int = 2

    @property
    def parameters(self) -> int:
        """All."""
        return self.dense_parameters + self.expert_parameters


@dataclass(frozen=True)
class Traffic:
    """Bytes that one process sends in a step.

    Attributes:
        dense: gradients, and under ``fsdp`` weights, of all but spread experts.
        experts: the same of spread experts; 0 where they are not spread, since they count as dense then.
        tokens: to experts and back, both passes.
    """

    dense: float
    experts: float
    tokens: float

    @property
    def total(self) -> float:
        """Sum."""
        return self.dense + self.experts + self.tokens


def bytes_sent(work: Workload, processes: int, mode: Literal["ddp", "fsdp"], expert: int = 1) -> Traffic:
    """Bytes that one process sends in a step.

    A ring all-reduce of n numbers over N processes sends ``2 (N - 1) / N`` of them from each (Patarasuk and
    Yuan 2009); an all-gather or a reduce-scatter half of that. DDP all-reduces gradients. FSDP gathers
    weights before the forward and again before the backward pass and scatters gradients: three halves.
    Experts spread over ``expert`` processes are synchronised with the ``processes / expert`` that hold the
    same ones. Each of a token's K copies leaves with probability ``1 - 1 / expert`` and comes back, and so
    does its gradient.
    """
    passes = 2.0 if mode == "ddp" else 3.0
    if expert == 1:
        return Traffic(passes * _share(processes) * _FP32 * work.parameters, 0.0, 0.0)
    dense = passes * _share(processes) * _FP32 * work.dense_parameters
    experts = passes * _share(processes // expert) * _FP32 * work.expert_parameters / expert
    copies = work.tokens * work.top_k * work.expert_layers
    return Traffic(dense, experts, 4 * _share(expert) * copies * work.dim * work.token_bytes)


def bytes_kept(work: Workload, processes: int, mode: Literal["ddp", "fsdp"], expert: int = 1) -> float:
    """Bytes of weights, gradients and Adam's moments in one process, all in fp32; activations not counted."""
    split = processes if mode == "fsdp" else 1
    dense = work.dense_parameters / split
    experts = work.expert_parameters / (split if mode == "fsdp" else expert)
    return _COPIES * _FP32 * (dense + experts)


def _share(processes: int) -> float:
    """Part of what a ring holds that is not already where it belongs."""
    return (processes - 1) / processes
