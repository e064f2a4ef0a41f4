"""What each parallelism would cost on GPUs that are not here: a table by formula, no measurement.

    uv run python -m benchmarks.scaling_table

A mixture of one thousand million parameters on machines of eight GPUs. Bytes sent and kept are those of
`m.parallel.cost`, which counted bytes confirm (tests/m_platform/test_parallel_cost.py). Times divide them
by the speed of the slowest link that a group spans, and operations by what a GPU is assumed to reach. Nothing
is added for latency, uneven experts or activations: the figures are bounds to choose by.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.report import print_json
from m.parallel.cost import Workload, bytes_kept, bytes_sent

_IN_A_MACHINE = 8


@dataclass(frozen=True)
class Hardware:
    """Of one GPU: an H100 SXM by default.

    Attributes:
        flops: operations a second that training reaches: 40 % of 989e12 in bf16.
        inside: bytes a second to others of the machine, one direction (NVLink 4).
        outside: bytes a second to other machines (one 400 Gb/s adapter a GPU).
    """

    flops: float = 0.4 * 989e12
    inside: float = 450e9
    outside: float = 50e9


@dataclass(frozen=True)
class Model:
    """Sizes of a mixture whose tokens each visit K of E experts in every layer."""

    dim: int = 2048
    layers: int = 16
    experts: int = 16
    hidden: int = 512
    top_k: int = 2
    tokens: int = 32_768  # of one GPU in a step

    @property
    def attention(self) -> int:
        """Parameters of a layer's attention."""
        return 4 * self.dim**2

    @property
    def expert(self) -> int:
        """Parameters of one gated expert."""
        return 3 * self.dim * self.hidden

    def workload(self) -> Workload:
        """As the formulas want it."""
        return Workload(
            dense_parameters=self.layers * self.attention,
            expert_parameters=self.layers * self.experts * self.expert,
            expert_layers=self.layers,
            dim=self.dim,
            top_k=self.top_k,
            tokens=self.tokens,
        )

    @property
    def operations(self) -> float:
        """Of a step on one GPU: six for each active parameter and token."""
        return 6.0 * self.layers * (self.attention + self.top_k * self.expert) * self.tokens


KINDS: tuple[tuple[str, Literal["ddp", "fsdp"], int], ...] = (
    ("ddp", "ddp", 1),
    ("fsdp", "fsdp", 1),
    ("ddp, experts over 8", "ddp", 8),
    ("fsdp, experts over 8", "fsdp", 8),
)


def seconds_sending(
    work: Workload, hardware: Hardware, processes: int, mode: Literal["ddp", "fsdp"], expert: int
) -> float:
    """Time on the links of a step, one transfer after the other."""
    traffic = bytes_sent(work, processes, mode, expert)
    wide = hardware.inside if processes <= _IN_A_MACHINE else hardware.outside
    near = hardware.inside if expert <= _IN_A_MACHINE else hardware.outside
    return (traffic.dense + traffic.experts) / wide + traffic.tokens / near


def main() -> None:
    """Entry point."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    model, hardware = Model(), Hardware()
    work = model.workload()
    computing = model.operations / hardware.flops
    print(
        f"{work.parameters / 1e9:.2f} B parameters, {model.tokens:,} tokens a GPU and step, "
        f"{computing * 1e3:.0f} ms of computing"
    )
    print("| GPUs | kind | kept (GB) | sent (GB) | links (ms) | share computing, apart | overlapped |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    rows = []
    for processes in (8, 64, 1024):
        for name, mode, expert in KINDS:
            sending = seconds_sending(work, hardware, processes, mode, expert)
            row: dict[str, Any] = {
                "processes": processes,
                "kind": name,
                "kept_gb": bytes_kept(work, processes, mode, expert) / 1e9,
                "sent_gb": bytes_sent(work, processes, mode, expert).total / 1e9,
                "link_ms": sending * 1e3,
                "apart": computing / (computing + sending),
                "overlapped": computing / max(computing, sending),
            }
            rows.append(row)
            print(
                "| {processes} | {kind} | {kept_gb:.2f} | {sent_gb:.1f} | {link_ms:.0f} | {apart:.0%} | "
                "{overlapped:.0%} |".format(**row)
            )
    print_json("scaling_table", {"rows": rows})


if __name__ == "__main__":
    main()
