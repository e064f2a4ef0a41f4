"""The full state of a run: all that is needed to go on as if it had never stopped, as plain content."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from m.checkpoint.errors import CheckpointError
from m.training.config import TrainingConfig
from m.training.ema import Ema
from m.training.optimizer import load_optimizer_state, optimizer_state

# Changing one of these would give other batches at the position where the run goes on.
_STREAM_OPTIONS = ("batch_size", "accumulation_steps", "seed")
_ADDED_OPTIONS = {"optimizer": "adamw", "compile": "never"}  # what runs did whose state does not say


@dataclasses.dataclass(kw_only=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: optimizer steps done.
        best_value: best value of the chosen metric; None before the first evaluation.
        best_step: step of `best_value`.
        last_evaluated: step of the latest evaluation, -1 before the first.
        metrics: the latest evaluation.
        elapsed: seconds spent by earlier sessions.
    """

    step: int = 0
    best_value: float | None = None
    best_step: int | None = None
    last_evaluated: int = -1
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    elapsed: float = 0.0


def capture_state(
    *,
    model: nn.Module,
    optimizer: Optimizer,
    ema: Ema | None,
    progress: Progress,
    config: TrainingConfig,
    metadata: Mapping[str, Any],
    random: Mapping[str, Any],
) -> dict[str, Any]:
    """Gather the state for `m.checkpoint.save_checkpoint`.

    Returns:
        Keys ``kind`` ("training_state"), ``model``, ``optimizer`` (moments by parameter name), ``ema``,
        ``random``, ``progress``, ``data_position`` (micro-batches consumed), ``training_config``,
        ``metadata``.
    """
    return {
        "kind": "training_state",
        "model": model.state_dict(),
        "optimizer": optimizer_state(optimizer),
        "ema": None if ema is None else ema.state_dict(),
        "random": dict(random),
        "progress": dataclasses.asdict(progress),
        "data_position": progress.step * config.accumulation_steps,
        "training_config": dataclasses.asdict(config),
        "metadata": dict(metadata),
    }


def restore_state(
    state: Mapping[str, Any],
    *,
    source: str,
    model: nn.Module,
    optimizer: Optimizer,
    ema: Ema | None,
    config: TrainingConfig,
    restore_random: Callable[[dict[str, Any]], None],
) -> tuple[Progress, tuple[str, ...]]:
    """Put a state from `capture_state` into the parts of a fresh run.

    Args:
        state: the loaded payload.
        source: its file, for messages.
        model: receives weights and buffers.
        optimizer: receives the moments.
        ema: receives the averaged weights; None when averaging is off now.
        config: options of the resumed run.
        restore_random: puts random generators back.

    Returns:
        The progress, and the training options that differ from the saved run's ("name: old -> new").

    Raises:
        CheckpointError: the state is of another model, of another data stream, or lacks parts.
    """
    try:
        changed = _changed_options(state["training_config"], config, source)
        model.load_state_dict(state["model"], strict=True)
        load_optimizer_state(optimizer, state["optimizer"])
        _restore_ema(ema, state["ema"], model)
        progress = Progress(**state["progress"])
        restore_random(state["random"])
    except KeyError as error:
        raise CheckpointError(f"{source}: the training state lacks {error}; start a new run") from error
    except (RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{source}: does not fit this run: {' '.join(str(error).split())}; "
            "resume with the configuration the run was started with"
        ) from error
    if progress.step > config.max_steps:
        raise CheckpointError(
            f"{source}: already at step {progress.step}, beyond max_steps = {config.max_steps}"
        )
    if any(line.startswith(("best_metric:", "best_mode:")) for line in changed):
        progress.best_value = progress.best_step = None  # not comparable with what comes
    return progress, changed


def _restore_ema(ema: Ema | None, saved: Mapping[str, Any] | None, model: nn.Module) -> None:
    if ema is None:
        return
    if saved is None:  # averaging was switched on for the resumed run: it begins at the loaded weights
        ema.load_state_dict(0, {name: p.detach() for name, p in model.named_parameters() if p.requires_grad})
    else:
        ema.load_state_dict(saved["updates"], saved["weights"])


def _changed_options(saved: Mapping[str, Any], config: TrainingConfig, source: str) -> tuple[str, ...]:
    saved = {**_ADDED_OPTIONS, **saved}
    now = dataclasses.asdict(config)
    changed = {
        name: f"{name}: {saved.get(name)} -> {now[name]}" for name in now if saved.get(name) != now[name]
    }
    broken = [changed[name] for name in _STREAM_OPTIONS if name in changed]
    if broken:
        raise CheckpointError(
            f"{source}: cannot resume with other data: {'; '.join(broken)}. Keep these as they were, "
            "or start a new run"
        )
    if "optimizer" in changed:
        raise CheckpointError(
            f"{source}: cannot resume with another optimizer, whose state means something else: "
            f"{changed['optimizer']}. Keep it as it was, or start a new run"
        )
    return tuple(changed.values())
