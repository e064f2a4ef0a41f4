"""The engine of many processes: PyTorch's own parallelism behind the interface that the loop asks for."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from m.batch_part import BatchPart
from m.config import ConfigError
from m.experts.experts import Experts
from m.parallel.config import ParallelConfig
from m.parallel.gradients import add_over, clip_parts
from m.parallel.layout import local, whole
from m.parallel.part import ProcessPart
from m.parallel.sharding import (
    describe_parts,
    shard_weights,
    spread_experts,
    stacked_experts,
    whole_parameters,
)
from m.parallel.world import EXPERTS, REPLICAS, World
from m.training.ema import Ema
from m.training.engine import STATE_NAME, StateStore, clip_gradients
from m.training.interfaces import Batch, LossOutput
from m.training.random_state import capture_random, restore_random, seed_all
from m.training.sharded_states import SHARDED_NAME, ShardedStates
from m.training.soap import Soap

T = TypeVar("T")
_RANK_STRIDE = 1_000_003  # between the seeds of processes; a prime


class _Loss(nn.Module):
    """A model whose forward pass is its loss: what `DistributedDataParallel` wraps."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Any:
        """See `TrainableModel.loss`."""
        return self.model.loss(batch)  # type: ignore[operator]


class ParallelEngine:
    """Trains one model in all processes of a world; see `m.training.engine.Engine`.

    Args:
        model: whole and equal in every process, on its device. What the main process evaluates and
            saves; under ``ddp`` without spread experts also what is trained, else a copy of it is split.
        config: how.
        world: the processes.

    Raises:
        ConfigError: the model cannot be split so.
    """

    compile_refusal: str | None = "several processes train uncompiled"
    signals_repeat = True  # launchers pass on what the terminal has sent to the processes already

    def __init__(self, model: nn.Module, config: ParallelConfig, world: World) -> None:
        self.is_main = world.is_main
        self.processes = world.size
        self._world = world
        self._shown = model
        self._sharded = config.mode == "fsdp"
        self._spread = config.expert > 1
        self.model = copy.deepcopy(model) if self._sharded or self._spread else model
        self._part = ProcessPart(world.rank, world.size, world.side, world.device)
        for module in self.model.modules():
            if isinstance(getattr(module, "part", None), BatchPart):
                setattr(module, "part", self._part)  # noqa: B010  (modules type their attributes as tensors)
        if self._spread:
            spread_experts(self.model, world)
        if self._sharded:
            shard_weights(self.model, world)
        self._layout = describe_parts(self.model, model, world)
        self._replicated = None if self._sharded else self._replicate()

    def _replicate(self) -> DistributedDataParallel:
        """Weights equal in all processes get equal gradients; those of spread experts are left out."""
        loss = _Loss(self.model)
        if self._spread:
            apart = [f"model.{name}" for name in self._names_of_experts()]
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(loss, apart)  # type: ignore[no-untyped-call]
        # Buffers change alike everywhere: what they measure is averaged where it is measured.
        return DistributedDataParallel(loss, forward_sync_buffers=False, gradient_as_bucket_view=True)

    def _names_of_experts(self) -> list[str]:
        return [f"{name}.{weight}" for name, _ in stacked_experts(self.model) for weight in ("w_in", "w_out")]

    def compile(self) -> None:
        """Refuse; see `Engine.compile`."""
        raise ValueError(self.compile_refusal)

    def loss(self, batch: Batch, *, last: bool) -> LossOutput:
        """See `Engine.loss`."""
        if self._replicated is None:
            if isinstance(self.model, FSDPModule):
                self.model.set_requires_gradient_sync(last)
            output: LossOutput = self.model.loss(batch)  # type: ignore[operator]
            return output
        apart: AbstractContextManager[object] = nullcontext() if last else self._replicated.no_sync()
        with apart:  # decides in the forward pass what the backward pass will do
            replicated: LossOutput = self._replicated(batch)
            return replicated

    def finish_gradients(self, clip_norm: float) -> Tensor:
        """See `Engine.finish_gradients`."""
        if self._spread:
            self._agree_on_experts()
        if self._sharded:
            numbers = [_gradient(number) for number in whole_parameters(self.model) if number.requires_grad]
            add_over(numbers, self._world.side, float(self.processes))
        if self.model is self._shown:
            return clip_gradients(self.model, clip_norm)
        return clip_parts(self.model, self._layout, clip_norm)

    def _agree_on_experts(self) -> None:
        """Gradients of spread experts as means over all processes; they hold those of their set's tokens.

        Experts that still are one (`ExpertsConfig.tied_steps`) were not sent any tokens: each process
        computed the mean of its own with its own tokens.
        """
        layers = [experts for _, experts in stacked_experts(self.model)]
        gradients = [local(_gradient(weight)) for each in layers for weight in (each.w_in, each.w_out)]
        sets = float(self._world.mesh[EXPERTS].size())
        if self._sharded:  # FSDP has averaged them over those that hold the same experts
            torch._foreach_div_(gradients, sets)
        else:
            add_over(gradients, self._world.mesh.get_group(REPLICAS), float(self.processes))
        if any(each.tied for each in layers):
            add_over(gradients, self._world.mesh.get_group(EXPERTS), sets)

    def mean(self, values: Tensor) -> Tensor:
        """See `Engine.mean`."""
        return self._part.mean_of_parts(values)

    def any(self, flag: bool) -> bool:
        """See `Engine.any`."""
        found = torch.tensor(int(flag))
        dist.all_reduce(found, op=dist.ReduceOp.MAX, group=self._world.control)
        return bool(found)

    def from_main(self, value: T) -> T:
        """See `Engine.from_main`."""
        return self._world.from_main(value)

    def adopt(self, optimizer: Optimizer) -> None:
        """See `Engine.adopt`.

        Raises:
            ConfigError: SOAP on weights that are split along the sides it turns.
        """
        if not isinstance(optimizer, Soap):
            return
        if self._sharded:
            raise ConfigError(
                "training.optimizer soap turns whole matrices, and parallel.mode fsdp splits them; "
                "use parallel.mode ddp (with parallel.expert, if experts are to be split) or optimizer adamw"
            )
        if self._spread:
            group = self._world.mesh.get_group(EXPERTS)
            names = set(self._names_of_experts())

            def add(name: str, covariance: Tensor) -> None:
                if name in names:
                    dist.all_reduce(covariance, group=group)

            optimizer.complete_covariance = add

    def weights(self) -> Mapping[str, Tensor]:
        """See `Engine.weights`."""
        parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        if self.model is self._shown:
            return parameters
        return {name: local(parameter) for name, parameter in parameters.items()}

    @contextmanager
    def shown(self, ema: Ema | None) -> Iterator[None]:
        """See `Engine.shown`; a split model is gathered."""
        if self.model is self._shown:
            with nullcontext() if ema is None else ema.applied():
                yield
            return
        self._gather(self.weights() if ema is None else ema.weights)
        yield

    @torch.no_grad()
    def _gather(self, weights: Mapping[str, Tensor]) -> None:
        state = self._shown.state_dict()
        for name, held in self.model.state_dict().items():
            gathered = whole(self._layout.view(name, weights.get(name, held)))
            if self.is_main:
                state[name].copy_(gathered)
        for module in self._shown.modules():
            if isinstance(module, Experts):
                module.read_steps()

    def seed(self, seed: int) -> None:
        """What all draw together begins as in one process alone; what each draws, apart from the others."""
        self._part.generator.manual_seed(seed)
        seed_all(seed + _RANK_STRIDE * (self._world.rank + 1))

    def random_state(self) -> dict[str, Any]:
        """Keys ``shared`` (the state of the generator that all draw from together) and ``own``."""
        return {
            "shared": self._part.generator.get_state(),
            "own": capture_random(self._world.device),
        }

    def restore_random(self, state: dict[str, Any]) -> None:
        """Put back; a process that was not there when the state was taken begins its own stream anew."""
        shared = state["shared"] if "shared" in state else _stream_of(state, self._world.device)
        self._part.generator.set_state(shared)
        if state.get("own") is not None:
            restore_random(state["own"], self._world.device)
        else:
            numbers = random.Random(bytes(shared.tolist()) + bytes([self._world.rank % 256]))
            seed_all(numbers.randrange(2**31) + self._world.rank)

    def states(self, folder: Path) -> StateStore:
        """States that all processes write together."""
        return ShardedStates(
            folder / SHARDED_NAME,
            file=folder / STATE_NAME,
            model=self.model,
            parts=self._layout,
            engine=self,
            rank=self._world.rank,
            group=self._world.disk,
        )


def _gradient(weight: nn.Parameter) -> Tensor:
    """Its gradient; zeros where no token came by, since the others wait for it."""
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad


def _stream_of(state: Mapping[str, Any], device: torch.device) -> Tensor:
    """The stream that a single process drew from."""
    stream: Tensor = state["cuda"] if device.type == "cuda" and state["cuda"] is not None else state["torch"]
    return stream
