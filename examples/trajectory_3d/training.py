"""Training a forecaster of 3-D motion: wires the motion data, the model and the loop together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from examples.trajectory_3d import initial_weights, run_folder
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.datasets import TrajectoryBatch, stream_batches, type_names
from examples.trajectory_3d.evaluation import MIXED, EvaluationSet, evaluate
from examples.trajectory_3d.experts.validation_metrics import expert_metrics
from examples.trajectory_3d.live.history import History
from examples.trajectory_3d.live.monitor import LiveMonitor
from examples.trajectory_3d.live.snapshot import Snapshots
from examples.trajectory_3d.metrics import METRICS, acceleration_error, position_error, velocity_error
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.recorded.account import keep_account
from examples.trajectory_3d.together import note_launch
from examples.trajectory_3d.training_pictures import PictureWriter
from examples.trajectory_3d.training_summary import SummaryWriter
from examples.trajectory_3d.windows import evaluation_windows
from m.config import ConfigError, load_config, nearest_hint, to_dict, write_yaml
from m.moe import LossOutput, MoESequenceRegressor, SequenceBatch
from m.training import (
    SHARDED_NAME,
    STATE_NAME,
    Callback,
    JsonlLogger,
    TensorBoardLogger,
    Trainer,
    TrainingResult,
)

if TYPE_CHECKING:
    from m.parallel import ParallelEngine, World

_FREE_AT_RESUME = frozenset({"dataset.num_workers"})  # the stream is the same for any number


def train(
    experiment: ExperimentConfig,
    folder: Path,
    *,
    device: torch.device,
    resume: bool = False,
    callbacks: tuple[Callback, ...] = (),
    live: History | None = None,
    world: World | None = None,
) -> TrainingResult:
    """Train, leaving models, log, pictures and summary in ``folder``.

    Called by every process of a ``world``, with the same arguments; its main one writes.

    Args:
        experiment: what to train.
        folder: of the run; created.
        device: where to train.
        resume: go on with the run that the folder holds.
        callbacks: further receivers of the run's records, such as a display.
        live: is told everything that a live page shows.
        world: the processes that train together; None for this one alone.

    Raises:
        FileExistsError: the folder already holds a run and ``resume`` is False.
        ConfigError: resuming a run of another model or other data, or one that began with other weights;
            initial weights that do not fit; recordings that cannot be read or give no window; a batch or a
            model that the processes cannot share.
        NonFiniteLossError: see `m.training.Trainer.fit`.
    """
    check_best_metric(experiment)
    check_share(experiment, 1 if world is None else world.size)
    torch.manual_seed(experiment.training.seed)
    model = MoESequenceRegressor(experiment.model)
    if resume:  # it has all of its state, and does not ask for its first weights again
        experiment = initial_weights.recalled(experiment, folder)
    else:
        experiment = initial_weights.begin(experiment, model, folder.parent)
    validation = evaluation_windows(
        experiment.dataset, "validation", experiment.evaluation.validation_windows
    )
    if world is None or world.is_main:  # last: what was wrong so far leaves nothing behind
        prepare_folder(folder, experiment, resume=resume, launched=world is not None)
    step_seconds = validation.dt
    log = folder / run_folder.LOG
    monitors = () if live is None else (_monitor(live, model, validation, experiment.name, log),)
    trainer = Trainer(
        model,
        lambda first: training_batches(experiment, first, world),
        experiment.training,
        output_dir=folder,
        device=device,
        evaluate=Validation(experiment, validation),
        batch_metrics=lambda batch, output: motion_metrics(batch, output, step_seconds),
        callbacks=(
            JsonlLogger(log),
            TensorBoardLogger(folder / run_folder.TENSORBOARD),
            PictureWriter(model, experiment.name, validation, folder),
            SummaryWriter(experiment, folder),
            *monitors,
            *callbacks,
        ),
        evaluate_first=experiment.init_from is not None,
        engine=None if world is None else _engine(model.to(device), experiment, world),
        metadata={
            **initial_weights.describe(experiment),
            "model_config": to_dict(experiment.model),
            "dataset": to_dict(experiment.dataset),
            "name": experiment.name,
        },
    )
    return trainer.fit(resume=resume)


def _engine(model: MoESequenceRegressor, experiment: ExperimentConfig, world: World) -> ParallelEngine:
    from m.parallel import ParallelEngine  # noqa: PLC0415  (seconds, that one process alone need not wait)

    return ParallelEngine(model, experiment.parallel, world)


def check_share(experiment: ExperimentConfig, processes: int) -> None:
    """Refuse what so many processes cannot share.

    Raises:
        ConfigError: a batch, a set of experts or an optimizer that cannot be split, or a compiled loss.
    """
    parallel, training, router = experiment.parallel, experiment.training, experiment.model.router
    if processes % parallel.expert:
        raise ConfigError(
            f"parallel.expert {parallel.expert} must divide the number of processes, which is {processes}; "
            "start as many with --nproc or torchrun"
        )
    if parallel.expert > 1 and (router.is_dense or router.n_experts % parallel.expert):
        held = "no experts" if router.is_dense else f"{router.n_experts} experts"
        raise ConfigError(f"parallel.expert {parallel.expert} must divide the experts, and there are {held}")
    if training.batch_size % processes:
        raise ConfigError(
            f"training.batch_size {training.batch_size} is that of all {processes} processes together, "
            "which must divide it"
        )
    if processes > 1 and parallel.mode == "fsdp" and training.optimizer == "soap":
        raise ConfigError(
            "training.optimizer soap turns whole matrices, and parallel fsdp splits them; use parallel ddp "
            "(with parallel.expert, if experts are to be split) or training.optimizer=adamw"
        )
    if processes > 1 and training.compile == "always":
        raise ConfigError("training.compile=always is for one process; use auto or never with several")


def _monitor(
    history: History, model: MoESequenceRegressor, validation: EvaluationSet, name: str, log: Path
) -> LiveMonitor:
    return LiveMonitor(
        history, Snapshots(model, validation), name=name, log=log, dt=validation.dt, unit=validation.unit
    )


def check_best_metric(experiment: ExperimentConfig) -> None:
    """Refuse a ``training.best_metric`` that no validation will have, or a mode that keeps the worst.

    Raises:
        ConfigError: names the nearest metric, or the right mode.
    """
    training = experiment.training
    modes = {spec.name: spec.better for spec in METRICS}
    modes |= {"loss": "lower", "gn": "lower"}
    modes |= {f"position_error/{name}": "lower" for name in type_names(experiment.dataset)}
    if training.best_metric not in modes:
        hint = nearest_hint(training.best_metric, modes)
        raise ConfigError(f"training.best_metric '{training.best_metric}' is no metric of validation{hint}")
    mode = "min" if modes[training.best_metric] == "lower" else "max"
    if training.best_mode != mode:
        raise ConfigError(f"training.best_metric '{training.best_metric}' needs training.best_mode: {mode}")


def prepare_folder(
    folder: Path, experiment: ExperimentConfig, *, resume: bool, launched: bool = False
) -> None:
    """Make the folder and put the resolved configuration into it, or check it against the one there.

    Args:
        folder: of the run.
        experiment: to be trained.
        resume: whether it goes on.
        launched: whether a launcher started this process, and may start it again.

    Raises:
        FileExistsError, ConfigError: see `check_folder`.
    """
    check_folder(folder, experiment, resume=resume)
    folder.mkdir(parents=True, exist_ok=True)
    if launched:
        note_launch(folder)  # first: whatever else is there was then put there by this launch
    keep_account(folder, experiment.dataset, resume=resume)
    if not resume:
        write_yaml(folder / run_folder.CONFIG, to_dict(experiment))


def check_folder(folder: Path, experiment: ExperimentConfig, *, resume: bool) -> None:
    """Refuse a folder that a run cannot begin or go on in; changes nothing.

    Raises:
        FileExistsError: the folder is not empty and ``resume`` is False.
        ConfigError: resuming with another model or other data than the run was begun with.
    """
    path = folder / run_folder.CONFIG
    if resume:
        if not path.exists():
            raise ConfigError(f"{folder} holds no run to resume ({run_folder.CONFIG} is missing)")
        if not any((folder / name).exists() for name in (STATE_NAME, SHARDED_NAME)):
            raise ConfigError(
                f"{folder} holds no saved state, so its run never began; remove the folder and start again"
            )
        # Read as a configuration, so that options which are newer than the run count at their defaults.
        _refuse_changes(to_dict(load_config(ExperimentConfig, path)), to_dict(experiment), path)
    elif folder.exists() and any(folder.iterdir()):
        raise FileExistsError(
            f"{folder} already holds files; give the run another name (--name), "
            "go on with it (--resume), or remove the folder"
        )


def _refuse_changes(saved: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    for part in ("model", "dataset", "init_from", "init_weights"):
        mine, theirs = wanted[part], saved.get(part)
        if not isinstance(mine, Mapping):
            mine, theirs = {"": mine}, {"": theirs}
        theirs = theirs if isinstance(theirs, Mapping) else {}
        differing = [
            f"{part}.{key}".rstrip(".") + f": {theirs.get(key)} -> {value}"
            for key, value in mine.items()
            if theirs.get(key) != value and f"{part}.{key}" not in _FREE_AT_RESUME
        ]
        if differing:
            raise ConfigError(
                f"cannot resume: the configuration differs from {path} in {'; '.join(differing)}; "
                "resume with the configuration the run was begun with, or start another run"
            )


def training_batches(
    experiment: ExperimentConfig, first: int, world: World | None = None
) -> Iterator[SequenceBatch]:
    """The training stream from micro-batch ``first`` on, with fresh noise in every window.

    Of several processes each gets its part of every micro-batch; together they get every window once.
    """
    steps = experiment.model.head.prediction_steps
    rank, size = (0, 1) if world is None else (world.rank, world.size)
    stream = stream_batches(
        experiment.dataset,
        split="train",
        batch_size=experiment.training.batch_size // size,
        start_batch=first,
        rank=rank,
        world_size=size,
    )
    return (sequence_batch(batch, steps) for batch in stream)


def sequence_batch(batch: TrajectoryBatch, steps: int) -> SequenceBatch:
    """What the model trains on: the noisy context, and the true path through it and P points on."""
    length = batch.context.shape[1]
    return SequenceBatch(batch.context, batch.path[:, : length + steps], batch.type_ids)


def motion_metrics(batch: SequenceBatch, output: LossOutput, dt: float) -> dict[str, Tensor]:
    """Position, velocity and acceleration error of a training batch's forecasts, means over it."""
    del batch
    predicted, target = output.forecast.cpu().numpy(), output.target.cpu().numpy()
    values = {
        "position_error": position_error(predicted, target),
        "velocity_error": velocity_error(predicted, target, dt),
        "acceleration_error": acceleration_error(predicted, target, dt),
    }
    return {name: torch.tensor(float(np.mean(value))) for name, value in values.items()}


class Validation:
    """Judges the model on the validation windows.

    Args:
        experiment: batch size and horizon.
        windows: what to forecast.
    """

    def __init__(self, experiment: ExperimentConfig, windows: EvaluationSet) -> None:
        self._experiment = experiment
        self._windows = windows

    def __call__(self, model: nn.Module, step: int) -> dict[str, float]:
        """Metrics over all windows, position error by type, the likelihood loss, and `expert_metrics`."""
        del step
        if not isinstance(model, MoESequenceRegressor):
            raise TypeError(f"expected a MoESequenceRegressor, got {type(model).__name__}")
        batch_size = self._experiment.evaluation.batch_size
        result = evaluate([ModelForecaster(model, "model")], self._windows, batch_size=batch_size)
        groups = result.forecasters[0].groups
        mixed = groups[MIXED]
        metrics = {"loss": self._likelihood(model), "gn": mixed.skill.gn, **mixed.metrics}
        for name, scores in groups.items():
            if name != MIXED:
                metrics[f"position_error/{name}"] = scores.metrics["position_error"]
        if mixed.uncertainty is not None:
            metrics["coverage_80"] = mixed.uncertainty.coverage
        metrics |= expert_metrics(model, self._windows, batch_size)
        return metrics

    @torch.no_grad()
    def _likelihood(self, model: MoESequenceRegressor) -> float:
        """Negative log-likelihood of the first P true points, nats per coordinate."""
        steps = model.config.head.prediction_steps
        size = self._experiment.evaluation.batch_size
        total, count = 0.0, len(self._windows.context)
        for first in range(0, count, size):
            context = torch.from_numpy(self._windows.context[first : first + size])
            target = torch.from_numpy(self._windows.targets[first : first + size, :steps])
            batch = SequenceBatch(context, torch.cat((context, target), 1)).to(model.device)
            total += float(model.loss(batch).loss) * len(context)
        return total / count


if __name__ == "__main__":  # what ``torchrun -m examples.trajectory_3d.training`` starts
    import sys

    from examples.trajectory_3d.cli.train import main

    sys.exit(main())
