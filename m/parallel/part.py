"""One process's rows of a micro-batch that all processes share."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup

from m.batch_part import BatchPart


class ProcessPart(BatchPart):
    """Rows ``rank * n`` to ``(rank + 1) * n - 1`` of ``size * n``.

    Random numbers come from a generator that is at the same place in all processes: each draws for all rows,
    as a single process does, and keeps its own.

    Args:
        rank: of this process.
        size: processes.
        group: that sums are taken over.
        device: of the generator.
    """

    def __init__(self, rank: int, size: int, group: ProcessGroup, device: torch.device) -> None:
        self._rank, self._size, self._group = rank, size, group
        self.generator = torch.Generator(device)

    def mean(self, values: Tensor) -> Tensor:
        """See `BatchPart.mean`."""
        count = torch.tensor(float(values.numel()), device=values.device)
        return values.sum() / self.mean_of_parts(count)

    def mean_of_parts(self, values: Tensor) -> Tensor:
        """See `BatchPart.mean_of_parts`."""
        total = values.detach().clone()
        dist.all_reduce(total, group=self._group)
        return total / self._size

    def rand(self, size: int, device: torch.device) -> Tensor:
        """See `BatchPart.rand`."""
        return self._own(torch.rand(self._size * size, device=device, generator=self.generator))

    def randint(self, low: int, high: int, size: int, device: torch.device) -> Tensor:
        """See `BatchPart.randint`."""
        drawn = torch.randint(low, high, (self._size * size,), device=device, generator=self.generator)
        return self._own(drawn)

    def randn_like(self, rows: Tensor) -> Tensor:
        """See `BatchPart.randn_like`."""
        shape = (self._size * rows.shape[0], *rows.shape[1:])
        return self._own(torch.randn(shape, dtype=rows.dtype, device=rows.device, generator=self.generator))

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn.chunk(self._size)[self._rank]
