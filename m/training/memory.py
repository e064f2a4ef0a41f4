"""Memory that freed tensors leave behind."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # of mallopt, in glibc's malloc.h
_BLOCK = 1 << 20  # bytes


def return_freed_memory() -> bool:
    """Give blocks of a megabyte and more back to the system as soon as they are freed, in the whole process.

    glibc keeps freed blocks of up to 32 MB for itself, in pieces that later tensors often do not fit into:
    half a gigabyte of 8.3 while the large configuration trains with recomputed activations. Fresh pages cost
    some time, so this is for those who want memory.

    Returns:
        Whether this system's memory management could be told so.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _BLOCK))
    except (OSError, AttributeError, TypeError):  # not glibc
        return False
