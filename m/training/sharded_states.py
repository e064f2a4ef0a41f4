"""The full state of a run as parts that many processes hold: written by all of them, read by any number."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from m.checkpoint.errors import CheckpointError
from m.checkpoint.io import load_checkpoint
from m.checkpoint.sharded import ShardedCheckpoints

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

SHARDED_NAME = "training_state"
_TENSORS = ("model", "optimizer", "random")  # keys of a state whose content is tensors


class Parts(Protocol):
    """Which part of each parameter a process holds."""

    def view(self, name: str, tensor: Tensor) -> Tensor:
        """A parameter, or a tensor of its shape, as the part that it is; shares its memory."""
        ...

    def empty(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Room for this process's part of a whole of ``shape``."""
        ...

    def part(self, name: str, whole: Tensor) -> Tensor:
        """This process's part of a whole."""
        ...


class WholeParts:
    """Of a process that holds everything."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def view(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor."""
        del name
        return tensor

    def empty(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Zeros."""
        del name
        return torch.zeros(shape, dtype=dtype, device=self._device)

    def part(self, name: str, whole: Tensor) -> Tensor:
        """The whole."""
        del name
        return whole


class Agreement(Protocol):
    """What of an engine is needed here."""

    is_main: bool

    def from_main(self, value: Any) -> Any:
        """What the main process has."""
        ...


class ShardedStates:
    """A `m.training.engine.StateStore` of numbered folders, each written while training goes on.

    Args:
        path: of the folder that holds them.
        file: where a single process keeps its state; the later one of the two is taken up.
        model: whose state it is.
        parts: of it that this process holds.
        engine: the processes' agreement.
        rank: of this process.
        group: see `ShardedCheckpoints`.
    """

    def __init__(
        self,
        path: Path,
        *,
        file: Path,
        model: nn.Module,
        parts: Parts,
        engine: Agreement,
        rank: int = 0,
        group: ProcessGroup | None = None,
    ) -> None:
        self.path = path
        self._file = file
        self._model = model
        self._parts = parts
        self._engine = engine
        self._rank = rank
        self._checkpoints = ShardedCheckpoints(path, is_main=engine.is_main, group=group)

    def save(self, state: dict[str, Any], step: int) -> None:
        """Begin to write; the state before is kept until this one is whole."""
        tensors = {f"model/{name}": self._parts.view(name, t) for name, t in state["model"].items()}
        for name, moments in state["optimizer"].items():
            for key, tensor in moments.items():
                tensors[f"optimizer/{name}/{key}"] = self._parts.view(name, tensor)
        averaged = state["ema"]
        if averaged is not None:
            tensors |= {f"ema/{name}": self._parts.view(name, t) for name, t in averaged["weights"].items()}
        tensors["random/shared"] = state["random"]["shared"]
        tensors[f"random/{self._rank}"] = _packed(state["random"]["own"])
        plain = {key: value for key, value in state.items() if key not in (*_TENSORS, "ema")}
        plain["ema_updates"] = None if averaged is None else averaged["updates"]
        self._checkpoints.save(step, tensors, plain)

    def settle(self) -> None:
        """Wait until what was saved is safe."""
        self._checkpoints.settle()

    def load(self) -> dict[str, Any]:
        """The later of the last good state of many processes and that of a single one.

        Raises:
            CheckpointError: there is none.
        """
        step, problem = self._engine.from_main(self._chosen())
        if problem is not None:
            raise CheckpointError(problem)
        if step is None:
            return self._split(load_checkpoint(self._file, kind="training_state"))
        return self._load(step)

    def _chosen(self) -> tuple[int | None, str | None]:
        """Step of the state to load, None for the file; and what is wrong when there is none."""
        if not self._engine.is_main:
            return None, None
        try:
            step = self._checkpoints.latest() if self._checkpoints.steps() else None
            if self._file.exists():
                saved = load_checkpoint(self._file, kind="training_state")["progress"]["step"]
                if step is None or saved > step:
                    return None, None
            elif step is None:
                return None, f"{self.path}: no state to resume from; check the folder"
        except CheckpointError as error:
            return None, str(error)
        return step, None

    def _load(self, step: int) -> dict[str, Any]:
        state = self._checkpoints.plain(step)
        tensors: dict[str, Tensor] = {}  # views that are read into
        model = self._model.state_dict()
        optimizer: dict[str, dict[str, Tensor]] = {}
        averaged: dict[str, Tensor] = {}
        drawn: dict[str, Tensor] = {}
        for key, (shape, dtype) in self._checkpoints.shapes(step).items():
            kind, _, rest = key.partition("/")
            if kind == "model" and rest in model:
                tensors[key] = self._parts.view(rest, model[rest])
            elif kind == "optimizer":
                name, _, moment = rest.rpartition("/")
                room = optimizer.setdefault(name, {})[moment] = self._parts.empty(name, shape, dtype)
                tensors[key] = self._parts.view(name, room)
            elif kind == "ema":
                averaged[rest] = _held(self._parts.empty(rest, shape, dtype))
                tensors[key] = self._parts.view(rest, averaged[rest])
            elif kind == "random" and rest in ("shared", str(self._rank)):
                drawn[rest] = tensors[key] = torch.zeros(shape, dtype=dtype)
        self._checkpoints.load(step, tensors)
        own = drawn.get(str(self._rank))
        updates = state.pop("ema_updates")
        return {
            **state,
            "model": model,
            "optimizer": optimizer,
            "ema": None if updates is None else {"updates": updates, "weights": averaged},
            "random": {"shared": drawn["shared"], "own": None if own is None else _unpacked(own)},
        }

    def _split(self, state: dict[str, Any]) -> dict[str, Any]:
        """A single process's state as this process's part of it."""
        part, averaged = self._parts.part, state["ema"]
        if averaged is not None:
            weights = {name: _held(part(name, tensor)) for name, tensor in averaged["weights"].items()}
            averaged = {**averaged, "weights": weights}
        return {
            **state,
            "model": {name: part(name, tensor) for name, tensor in state["model"].items()},
            "optimizer": {
                name: {key: part(name, tensor) for key, tensor in moments.items()}
                for name, moments in state["optimizer"].items()
            },
            "ema": averaged,
        }


def _held(tensor: Tensor) -> Tensor:
    """What of a tensor is in this process."""
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def _packed(content: Mapping[str, Any]) -> Tensor:
    """Plain content as bytes, ``[n]`` uint8: the one kind of thing that a shared state is made of."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def _unpacked(packed: Tensor) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(io.BytesIO(bytes(packed.tolist())), weights_only=True)
    return content
