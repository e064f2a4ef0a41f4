"""One optimizer step: gradients of the micro-batches, then the update. Nothing is changed in between."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from m.training.engine import Engine
from m.training.interfaces import Batch, BatchMetrics, LossOutput, TrainableModel
from m.training.precision import Precision


@dataclasses.dataclass(kw_only=True)
class StepOutcome:
    """What the micro-batches of one step gave. Scalars are tensors on the device: reading one waits for it.

    Attributes:
        loss: mean over the micro-batches, [].
        metrics: means over the micro-batches that report them, [] each.
        grad_norm: L2 norm of all gradients before clipping, [].
        expert_load: tokens per expert, summed over the micro-batches, [layers, experts]; None without.
        sequences: sequences seen.
        tokens: sequence points seen.
    """

    loss: Tensor
    metrics: dict[str, Tensor]
    grad_norm: Tensor
    expert_load: Tensor | None
    sequences: int
    tokens: int

    def is_finite(self) -> bool:
        """Whether loss and gradient are finite; the one wait for the device in a step."""
        return bool(torch.isfinite(self.loss.float() + self.grad_norm.float()))

    def non_finite_names(self) -> list[str]:
        """Which of loss, gradient norm and metrics are NaN or infinite, with their values."""
        scalars = {"loss": self.loss, "gradient norm": self.grad_norm, **self.metrics}
        return [
            f"{name} = {float(value)}" for name, value in scalars.items() if not bool(torch.isfinite(value))
        ]


class _Sums:
    """Running sums over the micro-batches of a step."""

    def __init__(self) -> None:
        self.metrics: dict[str, list[Tensor]] = {}
        self.losses: list[Tensor] = []
        self.load: Tensor | None = None
        self.sequences = 0
        self.tokens = 0

    def add(self, batch: Batch, output: LossOutput) -> None:
        self.losses.append(output.loss.detach())
        self.add_metrics(output.metrics)
        if output.expert_load is not None:
            load = output.expert_load.detach()
            self.load = load.clone() if self.load is None else self.load + load
        self.sequences += batch.num_sequences
        self.tokens += batch.num_tokens

    def add_metrics(self, metrics: Mapping[str, Tensor]) -> None:
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append(value.detach())


def accumulate_gradients(
    engine: Engine,
    batches: Iterator[Batch],
    *,
    accumulation_steps: int,
    clip_norm: float,
    precision: Precision,
    device: torch.device,
    batch_metrics: BatchMetrics | None = None,
) -> StepOutcome:
    """Leave the mean gradient of the next ``accumulation_steps`` micro-batches in the parameters, clipped.

    The mean weighs micro-batches equally: for micro-batches of equal size and a loss that is a mean, it
    is the gradient of the whole batch.

    Of several processes each takes micro-batches of its own, which together are the whole ones.

    Raises:
        RuntimeError: the data ended, or no parameter received a gradient.
        TypeError: the model is no `TrainableModel`.
        ValueError: ``batch_metrics`` returns a name that the model reports itself.
    """
    sums = _Sums()
    for index in range(accumulation_steps):
        batch = _next_batch(batches).to(device)
        with precision.autocast():
            output = engine.loss(batch, last=index + 1 == accumulation_steps)
        (output.loss / accumulation_steps).backward()  # type: ignore[no-untyped-call]
        sums.add(batch, output)
        if batch_metrics is not None:
            with torch.no_grad():
                sums.add_metrics(_further_metrics(batch_metrics, batch, output))
    outcome = StepOutcome(
        loss=torch.stack(sums.losses).mean(),
        metrics={name: torch.stack(values).float().mean() for name, values in sums.metrics.items()},
        grad_norm=engine.finish_gradients(clip_norm),
        expert_load=sums.load,
        sequences=sums.sequences,
        tokens=sums.tokens,
    )
    return outcome if engine.processes == 1 else _of_all(outcome, engine)


def _of_all(outcome: StepOutcome, engine: Engine) -> StepOutcome:
    """The outcome of all processes, in one exchange; the gradient's norm is already theirs."""
    names = list(outcome.metrics)  # in the same order everywhere
    scalars = [outcome.loss, *(outcome.metrics[name] for name in names)]
    load = outcome.expert_load
    device = outcome.loss.device
    parts = [torch.stack([value.float().to(device) for value in scalars])]
    if load is not None:
        parts.append(load.float().flatten())
    means = engine.mean(torch.cat(parts))
    return StepOutcome(
        loss=means[0],
        metrics=dict(zip(names, means[1 : len(scalars)].unbind(), strict=True)),
        grad_norm=outcome.grad_norm,
        expert_load=None if load is None else (means[len(scalars) :] * engine.processes).view(load.shape),
        sequences=outcome.sequences * engine.processes,
        tokens=outcome.tokens * engine.processes,
    )


def apply_gradients(model: nn.Module, optimizer: Optimizer, outcome: StepOutcome) -> None:
    """Let the routers see their load, update the weights, clear the gradients."""
    if outcome.expert_load is not None and isinstance(model, TrainableModel):
        with torch.no_grad():
            model.update_routers(outcome.expert_load)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _further_metrics(batch_metrics: BatchMetrics, batch: Batch, output: LossOutput) -> Mapping[str, Tensor]:
    metrics = batch_metrics(batch, output)
    clash = sorted(set(metrics) & set(output.metrics))
    if clash:
        raise ValueError(f"batch_metrics returns {clash}, which the model reports itself; rename them")
    return metrics


def _next_batch(batches: Iterator[Batch]) -> Batch:
    try:
        return next(batches)
    except StopIteration:
        raise RuntimeError(
            "the data ended before max_steps; the iterator returned by data(first) must go on for "
            "max_steps * accumulation_steps micro-batches in all"
        ) from None
