"""Splitting a model: experts over the processes of a set, weights over all."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import Placement, Shard

from m.config import ConfigError
from m.experts.experts import Experts
from m.moe.model import MoESequenceRegressor
from m.parallel.expert_dispatch import AllToAllDispatcher
from m.parallel.layout import Layout
from m.parallel.world import EXPERTS, REPLICAS, World

_EXPERT_AXIS = 0
_WIDTH_AXIS = 1  # along which FSDP splits what expert parallelism has split already


def stacked_experts(model: nn.Module) -> Iterator[tuple[str, Experts]]:
    """Names and modules."""
    for name, module in model.named_modules():
        if isinstance(module, Experts):
            yield name, module


def spread_experts(model: nn.Module, world: World) -> None:
    """Keep this process's experts of every layer, and send tokens of others to who has theirs.

    Raises:
        ConfigError: no experts, or a number or a kernel that cannot be spread.
    """
    group = world.mesh.get_group(EXPERTS)
    processes, place = world.mesh[EXPERTS].size(), world.mesh.get_local_rank(EXPERTS)
    layers = list(stacked_experts(model))
    if not layers:
        raise ConfigError(f"parallel.expert {processes} spreads experts, and this model has none")
    for _, experts in layers:
        if experts.n_experts % processes:
            raise ConfigError(
                f"parallel.expert {processes} does not divide model.router.n_experts {experts.n_experts}"
            )
        if experts.config.kernel == "batched":
            raise ConfigError("parallel.expert needs model.experts.kernel auto, grouped_mm or loop")
        for name in ("w_in", "w_out"):
            mine = getattr(experts, name).detach().chunk(processes)[place].clone()
            setattr(experts, name, nn.Parameter(mine))
        experts.dispatcher = AllToAllDispatcher(experts.n_experts, group)


def shard_weights(model: nn.Module, world: World) -> None:
    """FSDP2: parameters become `DTensor` parts, gathered block by block.

    Spread experts are split once more, over the processes that hold the same ones. Single numbers stay whole:
    FSDP2 does not split them, nor does it bring their gradients together (see `whole_parameters`).

    Raises:
        ConfigError: experts whose width cannot be split evenly.
    """
    everyone = init_device_mesh(world.device.type, (world.size,))
    replicas = world.mesh[REPLICAS]
    for _, experts in stacked_experts(model):
        if world.mesh[EXPERTS].size() > 1:
            for parameter in (experts.w_in, experts.w_out):
                _check_width(parameter.shape, replicas.size())
            fully_shard(experts, mesh=replicas, shard_placement_fn=lambda _: Shard(_WIDTH_AXIS))
    blocks = model.blocks if isinstance(model, MoESequenceRegressor) else model.children()
    for block in blocks:
        fully_shard(block, mesh=everyone, ignored_params=set(whole_parameters(block)))
    fully_shard(model, mesh=everyone, ignored_params=set(whole_parameters(model)))


def whole_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Single numbers, which no process holds a part of."""
    return [parameter for parameter in model.parameters() if parameter.ndim == 0]


def describe_parts(model: nn.Module, full: nn.Module, world: World) -> Layout:
    """What `spread_experts` and `shard_weights` have made of a model that was ``full``."""
    layout = Layout(model)
    if world.mesh[EXPERTS].size() == 1:
        return layout
    shapes = {name: parameter.shape for name, parameter in full.named_parameters()}
    for prefix, experts in stacked_experts(model):
        split = isinstance(experts, FSDPModule)
        mesh: DeviceMesh = world.mesh if split else world.mesh[EXPERTS]
        placements: list[Placement] = [Shard(_EXPERT_AXIS)]
        if split:
            placements.insert(0, Shard(_WIDTH_AXIS))
        for name in ("w_in", "w_out"):
            layout.note(f"{prefix}.{name}", mesh, placements, shapes[f"{prefix}.{name}"])
    return layout


def _check_width(shape: torch.Size, processes: int) -> None:
    if shape[_WIDTH_AXIS] % processes:
        raise ConfigError(
            f"experts of width {shape[_WIDTH_AXIS]} cannot be split over {processes} processes; "
            "choose widths that they divide, or parallel.mode ddp"
        )
