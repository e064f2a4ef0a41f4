"""Averages step outcomes into records without waiting for the device at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from m.training.records import StepRecord
from m.training.step import StepOutcome


class StepMeter:
    """Collects the steps since the last record."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._scalars: dict[str, list[Tensor]] = {}
        self._load: Tensor | None = None
        self._sequences = 0
        self._tokens = 0
        self._seconds = 0.0

    def add(self, outcome: StepOutcome, seconds: float) -> None:
        """Take in one optimizer step that took ``seconds``, data included."""
        # The prefix keeps a model's own metric called "loss" apart from the loss.
        scalars = {"loss": outcome.loss, "grad_norm": outcome.grad_norm}
        scalars |= {f"metric:{name}": value for name, value in outcome.metrics.items()}
        for name, value in scalars.items():
            self._scalars.setdefault(name, []).append(value)
        if outcome.expert_load is not None:
            self._load = outcome.expert_load if self._load is None else self._load + outcome.expert_load
        self._sequences += outcome.sequences
        self._tokens += outcome.tokens
        self._seconds += seconds

    def take(self, *, step: int, learning_rate: float, elapsed: float) -> StepRecord:
        """Make the record of the steps collected and begin anew. At least one step must be in."""
        names = list(self._scalars)
        device = self._scalars["loss"][0].device
        means = [torch.stack(self._scalars[name]).float().mean().to(device) for name in names]
        values = dict(zip(names, torch.stack(means).tolist(), strict=True))  # one transfer
        shares, imbalance = load_shares(self._load)
        seconds = max(self._seconds, 1e-9)
        record = StepRecord(
            step=step,
            loss=values.pop("loss"),
            grad_norm=values.pop("grad_norm"),
            metrics={name.removeprefix("metric:"): value for name, value in values.items()},
            learning_rate=learning_rate,
            expert_load=shares,
            imbalance=imbalance,
            sequences_per_second=self._sequences / seconds,
            tokens_per_second=self._tokens / seconds,
            elapsed=elapsed,
        )
        self._clear()
        return record


def load_shares(load: Tensor | None) -> tuple[list[list[float]] | None, float | None]:
    """Turn token counts [layers, experts] into shares per layer and the worst layer's imbalance.

    Imbalance is the largest share times the number of experts: 1 when even, the number of experts when
    one takes all. A layer without tokens has shares of 0 and no say in the imbalance.
    """
    if load is None or load.numel() == 0:
        return None, None
    counts = load.float()  # [layers, experts]
    shares = counts / counts.sum(dim=1, keepdim=True).clamp(min=1.0)
    return shares.tolist(), float(shares.max()) * counts.shape[1]
