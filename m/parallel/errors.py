"""What is said when other processes are gone."""

from __future__ import annotations

import torch.distributed as dist

# Gloo and NCCL raise plain RuntimeErrors for most of what can happen to a connection.
_SIGNS = ("connection closed", "connection re", "timed out", "timeout", "broken pipe", "nccl error")


class LostProcessError(RuntimeError):
    """Another process of the training did not answer in time, or is gone."""


def lost_process(error: BaseException) -> bool:
    """Whether an error says that others could not be reached."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)
