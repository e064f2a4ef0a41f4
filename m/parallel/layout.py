"""Which part of each parameter this process holds, and the whole that it is a part of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, distribute_tensor


class Layout:
    """Parts by parameter name. Parameters that were not noted are whole everywhere.

    Args:
        model: whose parameters are parts already.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self._parts: dict[str, tuple[DeviceMesh, tuple[Placement, ...], torch.Size]] = {}
        for name, parameter in self._parameters.items():
            if isinstance(parameter, DTensor):
                self._parts[name] = (parameter.device_mesh, tuple(parameter.placements), parameter.shape)

    def note(self, name: str, mesh: DeviceMesh, placements: Sequence[Placement], shape: torch.Size) -> None:
        """A parameter is a part of one of this shape, placed so."""
        self._parts[name] = (mesh, tuple(placements), shape)

    def groups(self, name: str) -> list[ProcessGroup]:
        """Groups of processes that a parameter is split over, one for each axis of its mesh."""
        if name not in self._parts:
            return []
        mesh, placements, _ = self._parts[name]
        return [mesh.get_group(axis) for axis, placed in enumerate(placements) if placed.is_shard()]

    def view(self, name: str, tensor: Tensor) -> Tensor:
        """A parameter, or a tensor of its shape such as a moment, as the part of a whole that it is.

        The view shares memory with the tensor. Those of other shapes, a step's number, are equal everywhere.
        """
        if name not in self._parts or local(tensor).shape != local(self._parameters[name]).shape:
            return tensor
        mesh, placements, shape = self._parts[name]
        return DTensor.from_local(
            local(tensor), mesh, placements, run_check=False, shape=shape, stride=_strides(shape)
        )

    def empty(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Room for what `view` would show as a whole of ``shape``, in the parameter's own form."""
        parameter = self._parameters.get(name)
        if parameter is None:
            return torch.zeros(shape, dtype=dtype)
        if name not in self._parts or self._parts[name][2] != shape:
            return torch.zeros(shape, dtype=dtype, device=local(parameter).device)
        return torch.zeros_like(parameter, dtype=dtype, requires_grad=False)

    def part(self, name: str, whole: Tensor) -> Tensor:
        """This process's part of a whole, in the parameter's own form."""
        if name not in self._parts or self._parts[name][2] != whole.shape:
            return whole
        mesh, placements, _ = self._parts[name]
        device = local(self._parameters[name]).device
        piece = local(distribute_tensor(whole.to(device), mesh, placements, src_data_rank=None))
        parameter = self._parameters[name]
        if not isinstance(parameter, DTensor):
            return piece
        return DTensor.from_local(
            piece,
            parameter.device_mesh,
            parameter.placements,
            run_check=False,
            shape=parameter.shape,
            stride=parameter.stride(),
        )


def local(tensor: Tensor) -> Tensor:
    """What of a tensor is in this process; shares its memory."""
    return tensor.to_local().detach() if isinstance(tensor, DTensor) else tensor.detach()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, gathered from those that hold it."""
    return tensor.full_tensor().detach() if isinstance(tensor, DTensor) else tensor.detach()


def _strides(shape: torch.Size) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides)) if shape else ()
