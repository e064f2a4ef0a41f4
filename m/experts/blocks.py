"""Blocks of rows small enough that what is computed of one stays in memory that the process already has.

glibc gives allocations above 32 MB back to the system when they are freed, and the system hands out the next
ones page by page, zeroed: at 8,192 tokens of width 1,024 a forward pass met 98,000 page faults, a quarter of
its time. Blocks also stay in the processor's caches from one operator to the next.
"""

from __future__ import annotations

import torch

from m.experts.plan import ROW_MULTIPLE

_BLOCK_BYTES = 4 << 20  # of the widest tensor of a block; at 12 MB the pages were still given back


def row_blocks(rows: int, row_bytes: int) -> list[slice]:
    """Cut ``rows`` into blocks whose widest tensor has ``row_bytes`` a row; compiled programs get one block.

    At least one block, also of no rows.
    """
    if torch.compiler.is_compiling():
        return [slice(0, rows)]
    # As runs are filled up, so that no block cuts a run into an odd number of rows.
    step = max(_BLOCK_BYTES // row_bytes // ROW_MULTIPLE, 1) * ROW_MULTIPLE
    return [slice(first, min(first + step, rows)) for first in range(0, max(rows, 1), step)]
