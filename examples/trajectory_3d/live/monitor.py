"""From a run's records to the live page's events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.trajectory_3d.experts.validation_metrics import SERVED, served
from examples.trajectory_3d.live.history import History
from examples.trajectory_3d.live.snapshot import Snapshots
from examples.trajectory_3d.metrics import METRICS
from examples.trajectory_3d.recordings.units import in_unit, unit_label
from m.training import Callback, EvaluationRecord, StartRecord, StepRecord, TrainingStatus, read_jsonl


class LiveMonitor(Callback):
    """Adds events ``start``, ``step``, ``evaluation``, ``snapshot``, ``note`` and ``end`` to a history.

    A run that goes on begins with what its log tells of the time before; forecasts are not in the log.

    Args:
        history: to add to.
        snapshots: of the model being trained.
        name: of the run.
        log: of the run, already cut back to the step it goes on from.
        dt: seconds between points.
        unit: of positions.
    """

    def __init__(
        self, history: History, snapshots: Snapshots, *, name: str, log: Path, dt: float, unit: str = "m"
    ) -> None:
        self._history = history
        self._snapshots = snapshots
        self._about = {"name": name, "dt": dt, "unit": unit_label(unit)}
        self._log = log
        self._unit = unit

    def on_start(self, record: StartRecord) -> None:
        """Tell what begins, and what was before."""
        about = {
            **self._about,
            "step": record.step,
            "max_steps": record.max_steps,
            "resumed": record.resumed,
            "parameters": record.parameters,
            "device": record.device,
            "precision": record.precision,
            "folder": str(record.output_dir),
            "types": list(self._snapshots.types),
            "units": {"gn": "", **{spec.name: in_unit(spec.unit, self._unit) for spec in METRICS}},
            "windows": self._snapshots.windows(),
        }
        self._history.add("start", about)
        if record.resumed:
            for line in read_jsonl(self._log):
                if line["event"] == "step":
                    self._history.add("step", line)
                elif line["event"] == "evaluation":
                    self._history.add("evaluation", self._evaluation(line))

    def on_step(self, record: StepRecord) -> None:
        """Pass on, the load to four digits."""
        load = record.expert_load
        shares = None if load is None else [[round(share, 4) for share in layer] for layer in load]
        self._history.add("step", {**vars(record), "expert_load": shares})

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Pass on, with what the model now forecasts."""
        self._history.add("evaluation", self._evaluation(vars(record)))
        try:
            forecasts = self._snapshots.take()
        except (RuntimeError, ValueError, ArithmeticError) as error:  # a page may show less; the run goes on
            self._history.add("note", {"step": record.step, "text": f"no forecasts to show: {error}"})
        else:
            self._history.add("snapshot", {"step": record.step, "forecasts": forecasts})

    def on_end(self, status: TrainingStatus) -> None:
        """Tell how it ended."""
        self._history.add("end", {"status": status})

    def _evaluation(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A validation, with its hundreds of numbers of who serves whom as one table."""
        metrics = record["metrics"]
        plain = {name: value for name, value in metrics.items() if not name.startswith(SERVED)}
        return {**record, "metrics": plain, "served": served(metrics, self._snapshots.types)}
