"""Which device a name means."""

from __future__ import annotations

import torch

# What torch raises for a device that this machine or this build of torch does not have.
_MISSING = (RuntimeError, AssertionError, NotImplementedError)


def choose_device(name: str) -> torch.device:
    """The device that a name means; ``auto`` is CUDA where there is one.

    Raises:
        ValueError: it cannot be used here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except _MISSING as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {name} cannot be used here: {reason}; try auto") from None
    return device
