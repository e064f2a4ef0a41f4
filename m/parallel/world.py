"""The processes that ``torchrun`` started: who they are, their groups, and how they begin and end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, ProcessGroup, Store  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.rendezvous import rendezvous

from m.config import ConfigError
from m.parallel.config import ParallelConfig
from m.parallel.errors import LostProcessError, lost_process

REPLICAS, EXPERTS = "replicas", "experts"
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process among the others.

    Attributes:
        rank: its number.
        size: of all.
        device: that it trains on.
        mesh: ``[replicas, experts]``: rows hold the same experts' parts in the same columns.
        side: group for what accompanies a step on the device: loads, shares of sums.
        control: group on the host for words, flags and metrics.
        disk: group on the host for states that are written while training goes on.
    """

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh
    side: ProcessGroup
    control: ProcessGroup
    disk: ProcessGroup

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports."""
        return self.rank == 0

    def from_main(self, value: T) -> T:
        """What the main process has; called by all."""
        held = [value]
        dist.broadcast_object_list(held, src=0, group=self.control)
        return held[0]


@contextmanager
def joined_world(config: ParallelConfig, kind: Literal["cpu", "cuda"]) -> Iterator[World]:
    """Join the others; inside the block they can be talked to.

    Args:
        config: how long to wait for them, and how many share a set of experts.
        kind: of device that each trains on; GPUs are taken by ``LOCAL_RANK``.

    Raises:
        ConfigError: the number of processes does not fit, or there are fewer GPUs than processes.
        LostProcessError: from the block, when others were lost.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if size % config.expert:
        raise ConfigError(
            f"parallel.expert {config.expert} does not divide the {size} processes; start a multiple of it"
        )
    device = _device(kind, int(os.environ.get("LOCAL_RANK", "0")))
    wait = timedelta(seconds=config.timeout)
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo",
            store=_store(wait),
            rank=rank,
            world_size=size,
            timeout=wait,
        )
        mesh = init_device_mesh(
            kind, (size // config.expert, config.expert), mesh_dim_names=(REPLICAS, EXPERTS)
        )
        yield World(
            rank=rank,
            size=size,
            device=device,
            mesh=mesh,
            side=dist.new_group(timeout=wait),
            control=dist.new_group(timeout=wait, backend="gloo"),
            disk=dist.new_group(timeout=wait, backend="gloo"),
        )
    except RuntimeError as error:
        if not lost_process(error):
            raise
        raise LostProcessError(
            f"process {rank} of {size} lost the others ({_first_line(error)}), or waited "
            f"{config.timeout:g} s for them (parallel.timeout). What was saved is good: go on with --resume"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _store(wait: timedelta) -> Store:
    """Where processes find each other's addresses, apart from those of processes that were started before.

    torchrun keeps one store for all its restarts, in which the dead left theirs.
    """
    store, _, _ = next(rendezvous("env://", timeout=wait))
    return PrefixStore(f"restart_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _device(kind: Literal["cpu", "cuda"], local: int) -> torch.device:
    if kind == "cpu":
        return torch.device("cpu")
    if local >= torch.cuda.device_count():
        raise ConfigError(
            f"process {local} of this machine has no GPU, there are {torch.cuda.device_count()}; "
            "start as many processes as GPUs, or train with --device cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)
