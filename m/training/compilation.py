"""Whether the loss is compiled before training, and why."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from m.config import ConfigError
from m.training.config import TrainingConfig

# A loss takes half a minute to compile and saves 7 % of a step of 1,024 windows of the small configuration,
# so that 3,000 of these pay for it. Steps of few windows gain nothing, and are over sooner.
_FEWEST_STEPS = 10_000


@dataclasses.dataclass(frozen=True)
class Compilation:
    """What was chosen: whether the loss is compiled, and why or why not."""

    on: bool
    reason: str


def choose_compilation(
    config: TrainingConfig, device: torch.device, refusal: str | None, probe: Callable[[], str | None]
) -> Compilation:
    """Settle ``config.compile``. The same configuration on the same machine gives the same answer.

    Args:
        config: of the run.
        device: where it trains.
        refusal: why its engine cannot compile, or None.
        probe: why nothing can be compiled on this machine, or None; asked last, since it takes seconds.

    Raises:
        ConfigError: compiling is demanded where it cannot be.
    """
    if config.compile == "never":
        return Compilation(False, "as configured")
    if config.compile == "auto":
        if device.type != "cpu":
            return Compilation(False, f"not chosen by itself on {device.type}")
        if config.max_steps < _FEWEST_STEPS:
            return Compilation(False, f"{config.max_steps} steps would not pay for it")
    if refusal is None and config.activation_checkpointing:
        refusal = "activations are recomputed"
    obstacle = refusal or probe()
    if obstacle is None:
        long = f"pays in {config.max_steps} steps"
        return Compilation(True, "as configured" if config.compile == "always" else long)
    if config.compile == "always":
        raise ConfigError(f"training.compile is 'always', but {obstacle}; use 'auto' or 'never'")
    return Compilation(False, obstacle)


def compiler_obstacle() -> str | None:
    """Why ``torch.compile`` does not work on this processor, found out by compiling something small."""
    _quiet_compiler()
    try:
        torch.compile(_something_small)(torch.ones(64))
    except (RuntimeError, OSError, ImportError) as error:  # of compilers, of what they run and load
        return f"torch.compile fails here: {str(error).strip().splitlines()[0]}"
    return None


def _quiet_compiler() -> None:
    """Let the compiler keep to itself what it tells developers, unless they asked (``TORCH_LOGS``)."""
    if "TORCH_LOGS" not in os.environ:
        for name in ("torch._dynamo", "torch._inductor", "torch.utils.cpp_extension"):
            logging.getLogger(name).setLevel(logging.ERROR)


def exempt_parts(model: nn.Module) -> None:
    """Keep the compiler out of a model's `uncompiled_parts`, whose work depends on numbers."""
    parts = getattr(model, "uncompiled_parts", tuple)
    for part in parts():
        part.forward = torch.compiler.disable(part.forward)  # type: ignore[no-untyped-call]


def _something_small(x: Tensor) -> Tensor:
    return x.sin() * x + 1
