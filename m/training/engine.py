"""Where training computes: what the loop asks of one process, or of many that train one model together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from m.checkpoint.io import load_checkpoint, save_checkpoint
from m.training.compilation import exempt_parts
from m.training.ema import Ema
from m.training.interfaces import Batch, LossOutput, TrainableModel
from m.training.random_state import capture_random, restore_random, seed_all
from m.training.sharded_states import SHARDED_NAME, ShardedStates, WholeParts

STATE_NAME = "training_state.pt"
T = TypeVar("T")


class StateStore(Protocol):
    """Where the full state of a run is kept."""

    @property
    def path(self) -> Path:
        """What a user is told that the state lies in."""
        ...

    def save(self, state: dict[str, Any], step: int) -> None:
        """Keep a state from `m.training.state.capture_state`; it may be written while training goes on."""
        ...

    def load(self) -> dict[str, Any]:
        """The last good state.

        Raises:
            CheckpointError: there is none.
        """
        ...

    def settle(self) -> None:
        """Wait until what was saved is safe."""
        ...


class Engine(Protocol):
    """The processes that train a model. Methods are called by all of them, in the same order.

    Attributes:
        model: what the optimizer moves: the model, or this process's part of it.
        is_main: whether this is the process that evaluates, writes models and reports.
        processes: how many there are.
        signals_repeat: whether a second signal to stop may be the first one again.
        compile_refusal: why `compile` cannot be called, or None.
    """

    model: nn.Module
    is_main: bool
    processes: int
    signals_repeat: bool
    compile_refusal: str | None

    def compile(self) -> None:
        """Let the loss be compiled when it is first asked for.

        Raises:
            ValueError: `compile_refusal` says why not.
        """
        ...

    def loss(self, batch: Batch, *, last: bool) -> LossOutput:
        """Loss of this process's part of a micro-batch.

        Args:
            batch: the part.
            last: whether it is the last of a step, whose backward pass may bring gradients together.
        """
        ...

    def finish_gradients(self, clip_norm: float) -> Tensor:
        """After the last backward pass: the L2 norm of the gradient, [], clipped to ``clip_norm`` above 0.

        Raises:
            RuntimeError: no parameter received a gradient.
        """
        ...

    def mean(self, values: Tensor) -> Tensor:
        """The mean of the processes' values, the same in all."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        ...

    def from_main(self, value: T) -> T:
        """What the main process has."""
        ...

    def adopt(self, optimizer: Optimizer) -> None:
        """Tell an optimizer of `model` that others hold the rest.

        Raises:
            ValueError: it cannot work on parts.
        """
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """This process's trainable numbers by name, to be averaged."""
        ...

    def shown(self, ema: Ema | None) -> AbstractContextManager[None]:
        """Context in which the model that was given, in the main process, holds the weights to be judged."""
        ...

    def seed(self, seed: int) -> None:
        """Begin all random streams."""
        ...

    def random_state(self) -> dict[str, Any]:
        """Random streams as plain content."""
        ...

    def restore_random(self, state: dict[str, Any]) -> None:
        """Put them back."""
        ...

    def states(self, folder: Path) -> StateStore:
        """Where the state of a run in ``folder`` is kept."""
        ...


class LocalEngine:
    """One process that holds all of the model.

    Args:
        model: a `TrainableModel`, on its device.
        device: of the model.
    """

    is_main = True
    processes = 1
    signals_repeat = False
    compile_refusal: str | None = None

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model = model
        self.device = device
        self._compiled: Callable[[Batch], LossOutput] | None = None

    def compile(self) -> None:
        """See `Engine.compile`; a model may name `uncompiled_parts`."""
        exempt_parts(self.model)
        # Random numbers are drawn as without compiling, so that runs differ in the last bits alone.
        self._compiled = torch.compile(trainable(self.model).loss, options={"fallback_random": True})

    def loss(self, batch: Batch, *, last: bool) -> LossOutput:
        """See `Engine.loss`.

        Raises:
            TypeError: the model is no `TrainableModel`.
        """
        del last
        return self._compiled(batch) if self._compiled else trainable(self.model).loss(batch)

    def finish_gradients(self, clip_norm: float) -> Tensor:
        """See `Engine.finish_gradients`."""
        return clip_gradients(self.model, clip_norm)

    def mean(self, values: Tensor) -> Tensor:
        """The values."""
        return values

    def any(self, flag: bool) -> bool:
        """The flag."""
        return flag

    def from_main(self, value: T) -> T:
        """The value."""
        return value

    def adopt(self, optimizer: Optimizer) -> None:
        """Nothing to tell."""

    def weights(self) -> Mapping[str, Tensor]:
        """All trainable parameters."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    @contextmanager
    def shown(self, ema: Ema | None) -> Iterator[None]:
        """The averaged weights, or those of training."""
        with nullcontext() if ema is None else ema.applied():
            yield

    def seed(self, seed: int) -> None:
        """See `seed_all`."""
        seed_all(seed)

    def random_state(self) -> dict[str, Any]:
        """See `capture_random`."""
        return capture_random(self.device)

    def restore_random(self, state: dict[str, Any]) -> None:
        """See `restore_random`; of many processes' streams the one that all drew from goes on."""
        if "shared" not in state:
            restore_random(state, self.device)
            return
        if state["own"] is not None:
            restore_random(state["own"], self.device)
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["shared"], self.device)
        else:
            torch.set_rng_state(state["shared"])

    def states(self, folder: Path) -> StateStore:
        """One file."""
        return FileStates(folder / STATE_NAME, self)


def trainable(model: nn.Module) -> TrainableModel:
    """The model, as what it is.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(model, TrainableModel):
        raise TypeError(f"{type(model).__name__} lacks loss, update_routers or parameter_kinds")
    return model


class FileStates:
    """A state in one file, written atomically before training goes on; reads those of many processes too.

    Args:
        path: of the file.
        engine: of the one process.
    """

    def __init__(self, path: Path, engine: LocalEngine) -> None:
        self.path = path
        self._shared = ShardedStates(
            path.with_name(SHARDED_NAME),
            file=path,
            model=engine.model,
            parts=WholeParts(engine.device),
            engine=engine,
        )

    def save(self, state: dict[str, Any], step: int) -> None:
        """Write it."""
        del step
        save_checkpoint(self.path, state)

    def load(self) -> dict[str, Any]:
        """Read it, or that of many processes when it is the later one."""
        if (self.path.with_name(SHARDED_NAME)).is_dir():
            return self._shared.load()
        return load_checkpoint(self.path, kind="training_state")

    def settle(self) -> None:
        """Nothing to wait for."""


def clip_gradients(model: nn.Module, clip_norm: float) -> Tensor:
    """L2 norm, [], of gradients that are whole; clipped to ``clip_norm`` where that is above 0.

    Raises:
        RuntimeError: no parameter received a gradient.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    if not parameters:
        raise RuntimeError(
            "no parameter received a gradient; does the loss depend on the model's parameters?"
        )
    if clip_norm > 0:
        return nn.utils.clip_grad_norm_(parameters, clip_norm)
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
