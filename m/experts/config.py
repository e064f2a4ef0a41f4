"""What experts are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from m._checks import at_least

Activation = Literal["gelu", "relu", "silu", "swiglu", "geglu", "reglu"]
Kernel = Literal["auto", "grouped_mm", "loop", "batched"]


@dataclass(frozen=True, kw_only=True)
class ExpertsConfig:
    """The feed-forward networks behind a router.

    Attributes:
        hidden_dim: hidden width F of one expert. A dense model gets ``top_k * hidden_dim``.
        activation: ``gelu``, ``relu``, ``silu``, or a gated form ``swiglu``, ``geglu``, ``reglu``
            (arXiv 2002.05202), which has a third weight matrix.
        shared_hidden_dim: hidden width of a shared expert that every token passes; 0 for none.
        tied_steps: optimizer steps at the beginning of training in which all experts are one and the same,
            so that it learns from every token at the cost of a dense layer; from then on each goes its own
            way (sparse upcycling, Komatsuzaki et al. 2023, arXiv 2212.05055, within one run). 0: never.
        kernel: ``grouped_mm`` (one grouped matrix product), ``loop`` (a product per expert),
            ``batched`` (all experts on all tokens, masked: the form that exports), or ``auto``:
            grouped_mm where type, alignment and compile mode allow, else the loop.
    """

    hidden_dim: int = 512
    activation: Activation = "swiglu"
    shared_hidden_dim: int = 0
    tied_steps: int = 0
    kernel: Kernel = "auto"

    def __post_init__(self) -> None:
        at_least("experts.hidden_dim", self.hidden_dim, 1)
        at_least("experts.shared_hidden_dim", self.shared_hidden_dim, 0)
        at_least("experts.tied_steps", self.tied_steps, 0)
