"""Which number format the forward pass multiplies in, and why."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractContextManager
from typing import Literal

import torch

# Names of torch.cpu.get_capabilities() under which a CPU multiplies bf16 in hardware (x86, then ARM).
# Without them bf16 is emulated and slower than fp32.
_CPU_BF16_FEATURES = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


@dataclasses.dataclass(frozen=True)
class Precision:
    """A chosen precision: bf16 means autocast of the forward pass. Weights and optimizer state stay fp32."""

    name: Literal["fp32", "bf16"]
    device_type: str
    reason: str

    def autocast(self) -> AbstractContextManager[object]:
        """Context to run the forward pass in."""
        return torch.autocast(self.device_type, dtype=torch.bfloat16, enabled=self.name == "bf16")


def choose_precision(requested: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """Settle ``requested`` for ``device``: "auto" takes bf16 only where the hardware multiplies it.

    Raises:
        ValueError: an unknown request.
    """
    if requested in ("fp32", "bf16"):
        return Precision(requested, device.type, "as configured")
    if requested != "auto":
        raise ValueError(f"precision must be auto, fp32 or bf16, got {requested!r}")
    if device.type == "cuda":
        return _choose_cuda(device)
    if device.type == "cpu":
        return _choose_cpu()
    return Precision("fp32", device.type, f"bf16 is not chosen by itself on {device.type}")


def _choose_cuda(device: torch.device) -> Precision:
    with torch.cuda.device(device):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    if native:
        return Precision("bf16", "cuda", f"{torch.cuda.get_device_name(device)} multiplies bf16")
    return Precision("fp32", "cuda", f"{torch.cuda.get_device_name(device)} does not multiply bf16")


def _choose_cpu() -> Precision:
    features = cpu_bf16_features()
    if features:
        return Precision("bf16", "cpu", f"this CPU multiplies bf16 ({', '.join(features)})")
    return Precision("fp32", "cpu", "this CPU does not multiply bf16")


def cpu_bf16_features() -> list[str]:
    """Names of the CPU features found that multiply bf16; empty when there are none."""
    capabilities = torch.cpu.get_capabilities()
    return [name for name in _CPU_BF16_FEATURES if capabilities.get(name)]
