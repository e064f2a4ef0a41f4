"""Memory that freed tensors leave behind."""

from __future__ import annotations

import ctypes

from torch import nn

# Options of mallopt, in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_MOST_MAPPED = 1 << 16  # blocks; what glibc begins with
_BLOCK = 1 << 20  # bytes
_MOST_KEPT = 32 << 20  # bytes of a block that glibc keeps at most, unless told otherwise


def return_freed_memory() -> bool:
    """Give blocks of a megabyte and more back to the system as soon as they are freed, in the whole process.

    glibc keeps freed blocks of up to 32 MB for itself, in pieces that later tensors often do not fit into:
    half a gigabyte of 8.3 while the large configuration trains with recomputed activations. Fresh pages cost
    some time, so this is for those who want memory.

    Returns:
        Whether this system's memory management could be told so.
    """
    return _tell((_M_MMAP_MAX, _MOST_MAPPED), (_M_TRIM_THRESHOLD, 2 * _BLOCK), (_M_MMAP_THRESHOLD, _BLOCK))


def keep_freed_memory() -> bool:
    """Keep all blocks for later tensors when they are freed, in the whole process.

    glibc gives blocks above 32 MB back to the system at once, and the system hands the next ones out page by
    page, zeroed. Weights in bf16, gradients and activations of a large model are such blocks, and come and go
    at every step: more than a third of a step of the large configuration was spent on fresh pages.

    In the first rounds small blocks may come to lie between the large ones, so that a few more are needed.

    Returns:
        Whether this system's memory management could be told so.
    """
    return _tell((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1))


def exceeds_kept(model: nn.Module) -> bool:
    """Whether a gradient of the model, on a processor, is larger than any block that glibc keeps."""
    return any(
        p.requires_grad and p.device.type == "cpu" and p.nbytes > _MOST_KEPT for p in model.parameters()
    )


def _tell(*options: tuple[int, int]) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return all(mallopt(option, value) == 1 for option, value in options)
    except (OSError, AttributeError, TypeError):  # not glibc
        return False
