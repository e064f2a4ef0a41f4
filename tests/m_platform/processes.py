"""A crew of processes that talk to each other over loopback, as torchrun would start them."""

from __future__ import annotations

import contextlib
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import torch
import torch.multiprocessing as mp

_PATIENCE = 120.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def serve(orders: Connection) -> None:
    """Do what is ordered until nothing more is."""
    torch.set_num_threads(1)
    while (order := orders.recv()) is not None:
        rank, size, port, work, arguments = order
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        try:
            orders.send((work(*arguments), None))
        except BaseException:  # whatever it was, the test is told
            orders.send((None, traceback.format_exc()))


class Crew:
    """Processes that stay, since starting one costs more than what most tests ask of it.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        context = mp.get_context("spawn")
        pipes = [context.Pipe() for _ in range(size)]
        self._ends = [mine for mine, _ in pipes]
        self._members = [context.Process(target=serve, args=(theirs,), daemon=True) for _, theirs in pipes]
        for member in self._members:
            member.start()

    def begin(self, size: int, work: Callable[..., Any], *arguments: Any) -> None:
        """Have ``work(*arguments)`` done by each of the first ``size``, which form a world."""
        port = free_port()
        for rank in range(size):
            self._ends[rank].send((rank, size, port, work, arguments))

    def answer(self, rank: int) -> tuple[Any, str | None]:
        """What it returned, or the trace of what it raised."""
        assert self._ends[rank].poll(_PATIENCE), f"process {rank} did not answer"
        result, trace = self._ends[rank].recv()
        return result, trace

    def run(self, size: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What ``work(*arguments)`` returns in each.

        Raises:
            AssertionError: one of them failed; with its trace.
        """
        self.begin(size, work, *arguments)
        answers = [self.answer(rank) for rank in range(size)]
        traces = [f"process {rank}:\n{trace}" for rank, (_, trace) in enumerate(answers) if trace is not None]
        assert not traces, "\n".join(traces)
        return [result for result, _ in answers]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self._members:
            member.kill()
            member.join()
