"""``training_summary.yaml``: what was trained, on what, with which result; kept up to date through a run."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.experts.validation_metrics import EXPERTS
from examples.trajectory_3d.initial_weights import describe
from examples.trajectory_3d.process_identity import this_process
from examples.trajectory_3d.run_folder import CONFIG, config_hash, environment, now, update_summary
from m.config import to_dict, write_yaml
from m.moe import ModelConfig, model_size
from m.training import Callback, EvaluationRecord, StartRecord, StepRecord, TrainingStatus


class SummaryWriter(Callback):
    """Writes the summary at the start, at each evaluation and at the end.

    Args:
        experiment: what is trained.
        folder: of the run.
    """

    def __init__(self, experiment: ExperimentConfig, folder: Path) -> None:
        self._experiment = experiment
        self._folder = folder
        self._step = 0
        self._elapsed = 0.0
        self._throughput: list[float] = []
        self._best: dict[str, Any] | None = None

    def on_start(self, record: StartRecord) -> None:
        """Say what is trained, with what, where."""
        experiment = self._experiment
        self._step = record.step
        write_yaml(self._folder / CONFIG, to_dict(experiment))  # a resume was accepted: now it may differ
        changes: dict[str, Any] = {
            "name": experiment.name,
            "status": "running",
            "process": this_process(),  # a run that was killed cannot say so: its process is looked for
            "step": record.step,
            "max_steps": record.max_steps,
            "config_hash": config_hash(to_dict(experiment)),
            "seed": experiment.training.seed,
            "device": record.device,
            "precision": record.precision,
            "precision_reason": record.precision_reason,
            "compiled": record.compiled,
            "compiled_reason": record.compiled_reason,
            "model": describe_model(experiment.model, experiment.dataset.sequence_length),
            "dataset": to_dict(experiment.dataset),
            **describe(experiment),
            **environment(),
        }
        if not record.resumed:
            changes["started"] = now()
        update_summary(self._folder, changes)

    def on_step(self, record: StepRecord) -> None:
        """Remember speed and place."""
        self._step, self._elapsed = record.step, record.elapsed
        self._throughput.append(record.sequences_per_second)

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Note the newest validation, and the best one."""
        self._step, self._elapsed = record.step, record.elapsed
        plain = {name: value for name, value in record.metrics.items() if not name.startswith(EXPERTS)}
        found = {"step": record.step, "metrics": plain}  # experts' hundreds of numbers are in the log
        if record.is_best:
            self._best = found
        changes: dict[str, Any] = {"step": record.step, "last_validation": found}
        if self._best is not None:
            changes["best_validation"] = self._best
        update_summary(self._folder, changes)

    def on_end(self, status: TrainingStatus) -> None:
        """Say how it ended."""
        changes: dict[str, Any] = {
            "status": status,
            "step": self._step,
            "elapsed_seconds": round(self._elapsed, 1),
        }
        if self._throughput:
            changes["windows_per_second"] = round(statistics.median(self._throughput), 1)
        update_summary(self._folder, changes)


def describe_model(config: ModelConfig, length: int) -> dict[str, Any]:
    """Architecture and derived numbers, as plain content.

    Args:
        config: of the model.
        length: points of the context that the FLOPs are counted for.
    """
    size = model_size(config)
    return {
        **to_dict(config),
        "total_parameters": size.total_parameters,
        "active_parameters": size.active_parameters,
        "forward_megaflops_per_window": round(size.forward_flops(length) / 1e6, 2),
        "kv_cache_bytes_per_point": size.kv_bytes_per_token(),
    }
