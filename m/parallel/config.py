"""How training is spread over processes. Imports no torch, so that commands can parse it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from m._checks import at_least, positive


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """What the processes of a training that ``torchrun`` started do for each other.

    One process alone trains as if none of this were said, except that experts cannot be spread over it.

    Attributes:
        mode: ``ddp``: each process holds all weights and their optimizer state, and gradients are averaged
            (Li et al. 2020, arXiv 2006.15704). ``fsdp``: each holds a part, and weights are gathered block by
            block when they are needed (FSDP2; Zhao et al. 2023, arXiv 2304.11277; ZeRO, arXiv 1910.02054).
        expert: processes that share one set of experts: each holds ``n_experts / expert`` of them, and tokens
            travel to theirs and back (GShard, arXiv 2006.16668). 1: every process has all, as ``mode`` says.
            The processes of a set see different windows, as all do.
        timeout: seconds that a process waits for the others before it gives up. Longer than an evaluation
            takes, which the main process makes alone.
    """

    # `parallel: fsdp` in a file says as much as `parallel: {mode: fsdp}`.
    shorthand: ClassVar[str] = "mode"

    mode: Literal["ddp", "fsdp"] = "ddp"
    expert: int = 1
    timeout: float = 1800.0

    def __post_init__(self) -> None:
        at_least("parallel.expert", self.expert, 1)
        positive("parallel.timeout", self.timeout)
        if self.mode not in ("ddp", "fsdp"):
            raise ValueError(f"parallel.mode must be ddp or fsdp, got {self.mode!r}")
