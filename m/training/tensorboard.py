"""A run's history as TensorBoard events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from m.training.callbacks import Callback
from m.training.records import EvaluationRecord, StartRecord, StepRecord, TrainingStatus

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


_EXPERTS = "experts/"


class TensorBoardLogger(Callback):
    """Writes scalars under ``train/``, ``evaluation/``, ``experts/`` and ``speed/`` into ``folder``.

    The load of each layer's experts is a histogram over their numbers, ``experts/load/layer_<n>``, whose
    bars are shares of the layer's work.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writer: SummaryWriter | None = None

    def on_start(self, record: StartRecord) -> None:
        """Open the event file; events of steps that a resumed run repeats are purged on display.

        Raises:
            RuntimeError: the tensorboard package is not installed.
        """
        try:
            # Imported here: it costs seconds, and only runs that log to TensorBoard need it.
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415
        except ImportError as error:
            raise RuntimeError("TensorBoard logging needs the package 'tensorboard'; install it") from error
        purge = record.step + 1 if record.resumed else None
        self._writer = SummaryWriter(str(self.folder), purge_step=purge)

    def on_step(self, record: StepRecord) -> None:
        """Write the record's scalars."""
        self._write(
            record.step,
            {
                "train/loss": record.loss,
                "train/grad_norm": record.grad_norm,
                "train/learning_rate": record.learning_rate,
                "experts/imbalance": record.imbalance,
                "speed/sequences_per_second": record.sequences_per_second,
                "speed/tokens_per_second": record.tokens_per_second,
                **{f"train/{name}": value for name, value in record.metrics.items() if name != "loss"},
            },
        )

        for layer, shares in enumerate(record.expert_load or []):
            self._write_load(f"experts/load/layer_{layer}", shares, record.step)

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Write the metrics; those called ``experts/...`` under their own names."""
        grouped = {
            name if name.startswith(_EXPERTS) else f"evaluation/{name}": value
            for name, value in record.metrics.items()
        }
        self._write(record.step, grouped)

    def on_end(self, status: TrainingStatus) -> None:  # noqa: ARG002  (the hook's signature)
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, step: int, scalars: Mapping[str, float | None]) -> None:
        writer = self._open_writer()
        for name, value in scalars.items():
            if value is not None:
                writer.add_scalar(name, value, step)

    def _write_load(self, name: str, shares: list[float], step: int) -> None:
        """Write shares of experts, [E], as a histogram whose bar e covers (e - 1/2, e + 1/2]."""
        used = [expert for expert, share in enumerate(shares) if share > 0]
        if not used:  # a layer without tokens
            return
        # TensorBoard drops empty buckets at both ends, and lets the outermost begin and end at min and max.
        self._open_writer().add_histogram_raw(
            name,
            min=used[0] - 0.5,
            max=used[-1] + 0.5,
            num=sum(shares),
            sum=sum(expert * shares[expert] for expert in used),
            sum_squares=sum(expert**2 * shares[expert] for expert in used),
            bucket_limits=[expert + 0.5 for expert in range(len(shares))],
            bucket_counts=shares,
            global_step=step,
        )

    def _open_writer(self) -> SummaryWriter:
        if self._writer is None:
            raise RuntimeError("TensorBoardLogger received a record before on_start")
        return self._writer
