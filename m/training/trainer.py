"""The training loop: steps, evaluation, checkpoints, resume. What each part does lives in its own file."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from m.checkpoint.io import save_checkpoint
from m.checkpoint.payload import model_payload
from m.training.callbacks import Callback, CallbackList
from m.training.compilation import choose_compilation, compiler_obstacle
from m.training.config import TrainingConfig
from m.training.ema import Ema
from m.training.engine import Engine, LocalEngine
from m.training.errors import NonFiniteLossError
from m.training.interfaces import Batch, BatchMetrics, BatchSource, Evaluate, TrainableModel
from m.training.memory import exceeds_kept, keep_freed_memory, return_freed_memory
from m.training.meter import StepMeter
from m.training.optimizer import build_optimizer, set_learning_rate
from m.training.precision import choose_precision
from m.training.random_state import preserved_random
from m.training.records import EvaluationRecord, StartRecord, TrainingResult, TrainingStatus
from m.training.schedule import learning_rate_factor
from m.training.signals import InterruptGuard
from m.training.state import Progress, capture_state, restore_state
from m.training.step import accumulate_gradients, apply_gradients

BEST_NAME = "best_model.pt"
FINAL_NAME = "final_model.pt"


class Trainer:
    """Trains a model and leaves ``best_model.pt``, ``final_model.pt`` and ``training_state.pt`` behind.

    Args:
        model: an `nn.Module` that is a `TrainableModel`; moved to ``device``; evaluated, saved and shown.
        data: called with the index of the first micro-batch to deliver (see `BatchSource`).
        config: options.
        output_dir: folder for the files; created when missing.
        device: where to train.
        evaluate: called with the model in eval mode (averaged weights when EMA is on), without autocast,
            every ``eval_interval`` steps and at the end; what it draws from random generators does not
            disturb training. Without it no ``best_model.pt`` is written.
        batch_metrics: further metrics of training batches for the step records. Called only in steps
            that end with a record, so these are of that step, not means over all since the last.
        callbacks: receivers of the run's records, called in order; at evaluations they find the model
            as ``evaluate`` did.
        evaluate_first: also evaluate before the first step. The weights that training began with can then be
            the best ones, as they may when it goes on from a trained model.
        engine: where it is trained; by default in this process alone.
        metadata: plain content kept in every checkpoint; its key ``model_config``, when present, becomes
            the ``model_config`` of model checkpoints.

    Raises:
        TypeError: the model lacks a method of `TrainableModel`.
        ValueError: parameter kinds are missing or unknown, or ``config.activation_checkpointing`` asks for
            what the model does not offer.
        ConfigError: ``config.compile`` demands what cannot be had here.
    """

    def __init__(
        self,
        model: nn.Module,
        data: BatchSource,
        config: TrainingConfig,
        *,
        output_dir: str | Path,
        device: str | torch.device = "cpu",
        evaluate: Evaluate | None = None,
        batch_metrics: BatchMetrics | None = None,
        callbacks: Sequence[Callback] = (),
        evaluate_first: bool = False,
        engine: Engine | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.engine = engine or LocalEngine(self.model, self.device)
        self.config = config
        if config.activation_checkpointing:
            _save_memory(self.engine.model)
        elif exceeds_kept(self.engine.model):
            keep_freed_memory()
        self.output_dir = Path(output_dir)
        self.precision = choose_precision(config.precision, self.device)
        self.compilation = choose_compilation(
            config, self.device, self.engine.compile_refusal, compiler_obstacle
        )
        if self.compilation.on:
            self.engine.compile()
        self.progress = Progress()
        self._data = data
        self._evaluate_model = evaluate
        self._batch_metrics = batch_metrics
        self._callbacks = CallbackList(callbacks if self.engine.is_main else ())
        self._evaluate_first = evaluate_first
        self._metadata = dict(metadata or {})
        trained = self.engine.model
        self._optimizer = build_optimizer(trained, _parameter_kinds(trained), config)
        self.engine.adopt(self._optimizer)
        self._ema = Ema(self.engine.weights(), config.ema_decay) if config.ema_decay > 0 else None
        self._states = self.engine.states(self.output_dir)
        self._meter = StepMeter()
        self._saved_step = -1  # none yet
        self._started = time.perf_counter()

    def fit(self, *, resume: bool = False) -> TrainingResult:
        """Train until ``max_steps``, or until SIGINT or SIGTERM asks to stop.

        Args:
            resume: go on from the saved state; on one machine's CPU the result is identical, bit
                for bit, to that of a run that never stopped (on CUDA as far as its kernels are
                deterministic).

        Raises:
            FileExistsError: a fresh run into a folder that already holds one.
            CheckpointError: there is no state to resume from, or it does not fit.
            NonFiniteLossError: the loss or the gradient is NaN or infinite.
        """
        changed: tuple[str, ...] = ()
        if resume:
            changed = self._restore()
        else:
            self._refuse_overwriting()
            self.engine.seed(self.config.seed)
        self._started = time.perf_counter()
        status: TrainingStatus = "failed"
        with InterruptGuard(second_aborts=not self.engine.signals_repeat) as interrupt:
            try:
                self._callbacks.on_start(self._start_record(resume, changed))
                status = self._run(interrupt)
            finally:
                self._callbacks.on_end(status)
        return TrainingResult(
            status=status,
            step=self.progress.step,
            best_value=self.progress.best_value,
            best_step=self.progress.best_step,
            metrics=self.progress.metrics,
            elapsed=self._elapsed(),
        )

    def _run(self, interrupt: InterruptGuard) -> TrainingStatus:
        self.engine.model.train()
        if self._saved_step < 0:
            self._save_state()  # a run killed or failing before the first interval can be resumed too
        if self.progress.step < self.config.max_steps:
            self._evaluate_if_due()  # a run stopped at an evaluation step left it to its successor
            with self._open_data() as batches:
                while self.progress.step < self.config.max_steps and not self.engine.any(interrupt.requested):
                    self._step(batches)
                    if not self.engine.any(interrupt.requested):
                        self._evaluate_if_due()
                        self._save_state_if_due()
        if self.progress.step < self.config.max_steps:
            self._save_state()
            self._states.settle()
            return "interrupted"
        self._finish()
        return "finished"

    @contextlib.contextmanager
    def _open_data(self) -> Iterator[Iterator[Batch]]:
        batches = self._data(self.progress.step * self.config.accumulation_steps)
        try:
            yield batches
        finally:
            close = getattr(batches, "close", None)  # generators and worker pools have one
            if close is not None:
                close()

    def _step(self, batches: Iterator[Batch]) -> None:
        config, progress = self.config, self.progress
        began = time.perf_counter()
        rate = config.learning_rate * learning_rate_factor(
            progress.step,
            max_steps=config.max_steps,
            warmup_steps=config.effective_warmup_steps,
            schedule=config.schedule,
            min_fraction=config.min_learning_rate_fraction,
        )
        set_learning_rate(self._optimizer, rate)
        number = progress.step + 1
        reported = number % config.log_interval == 0 or number == config.max_steps
        outcome = accumulate_gradients(
            self.engine,
            batches,
            accumulation_steps=config.accumulation_steps,
            clip_norm=config.gradient_clip_norm,
            precision=self.precision,
            device=self.device,
            batch_metrics=self._batch_metrics if reported else None,
        )
        if not outcome.is_finite():
            raise NonFiniteLossError(
                step=number,
                learning_rate=rate,
                found=outcome.non_finite_names(),
                saved_step=self._saved_step,
                state_path=self._states.path,
            )
        apply_gradients(self.engine.model, self._optimizer, outcome)
        if self._ema is not None:
            self._ema.update()
        progress.step = number
        self._meter.add(outcome, time.perf_counter() - began)
        if reported:
            record = self._meter.take(step=progress.step, learning_rate=rate, elapsed=self._elapsed())
            self._callbacks.on_step(record)

    def _evaluate_if_due(self) -> None:
        step = self.progress.step
        due = self._evaluate_first if step == 0 else step % self.config.eval_interval == 0
        if due:
            self._evaluate()

    def _evaluate(self) -> None:
        """Evaluate unless this step has been; keep the weights when they are the best so far."""
        progress = self.progress
        if self._evaluate_model is None or progress.last_evaluated == progress.step:
            return
        began = time.perf_counter()
        found: Mapping[str, float] = {}
        with self._on_show():
            if self.engine.is_main:
                found = self._evaluate_model(self.model, progress.step)
        metrics = self.engine.from_main({name: float(value) for name, value in found.items()})
        is_best = self._is_best(metrics)
        progress.last_evaluated, progress.metrics = progress.step, metrics
        if is_best:
            progress.best_value, progress.best_step = metrics[self.config.best_metric], progress.step
            self._save_model(BEST_NAME)
        record = EvaluationRecord(
            step=progress.step,
            metrics=metrics,
            is_best=is_best,
            seconds=time.perf_counter() - began,
            elapsed=self._elapsed(),
        )
        with self._on_show():  # a picture must show the weights that the metrics are of
            self._callbacks.on_evaluation(record)

    def _is_best(self, metrics: Mapping[str, float]) -> bool:
        name, best = self.config.best_metric, self.progress.best_value
        if name not in metrics:
            raise ValueError(
                f"the evaluation has no '{name}' (training.best_metric); it has {sorted(metrics)}"
            )
        value = metrics[name]
        if math.isnan(value):
            return False
        if best is None:
            return True
        return value < best if self.config.best_mode == "min" else value > best

    def _finish(self) -> None:
        self._evaluate()
        complete = self._saved_step == self.progress.step and (self.output_dir / FINAL_NAME).exists()
        if not self.engine.from_main(complete):
            self._save_model(FINAL_NAME)
            self._save_state()  # last: a state at max_steps means that all other files are there
            self._states.settle()

    def _save_model(self, name: str) -> None:
        metadata = {key: value for key, value in self._metadata.items() if key != "model_config"}
        with self.engine.shown(self._ema):
            if not self.engine.is_main:
                return
            payload = model_payload(
                self.model.state_dict(),
                model_config=self._metadata.get("model_config"),
                step=self.progress.step,
                metrics=self.progress.metrics if self.progress.last_evaluated == self.progress.step else {},
                metadata=metadata,
            )
            save_checkpoint(self.output_dir / name, payload)
        self._callbacks.on_checkpoint(self.output_dir / name, self.progress.step)

    def _save_state_if_due(self) -> None:
        step = self.progress.step
        if step % self.config.checkpoint_interval == 0 and step < self.config.max_steps:
            self._save_state()

    def _save_state(self) -> None:
        progress = Progress(**{**vars(self.progress), "elapsed": self._elapsed()})
        state = capture_state(
            model=self.engine.model,
            optimizer=self._optimizer,
            ema=self._ema,
            progress=progress,
            config=self.config,
            metadata=self._metadata,
            random=self.engine.random_state(),
        )
        self._states.save(state, self.progress.step)
        self._saved_step = self.progress.step
        self._callbacks.on_checkpoint(self._states.path, self.progress.step)

    def _restore(self) -> tuple[str, ...]:
        self.progress, changed = restore_state(
            self._states.load(),
            source=str(self._states.path),
            model=self.engine.model,
            optimizer=self._optimizer,
            ema=self._ema,
            config=self.config,
            restore_random=self.engine.restore_random,
        )
        self._saved_step = self.progress.step
        return changed

    def _refuse_overwriting(self) -> None:
        names = (BEST_NAME, FINAL_NAME, self._states.path.name)
        held = self.engine.from_main([name for name in names if (self.output_dir / name).exists()])
        if held:
            raise FileExistsError(
                f"{self.output_dir} already holds a run ({', '.join(held)}); "
                "resume it, or choose another folder"
            )

    @contextlib.contextmanager
    def _on_show(self) -> Iterator[None]:
        """The model as it ships, in eval mode; nothing done to it or drawn inside reaches training."""
        with self.engine.shown(self._ema), preserved_random(self.device), torch.no_grad():
            self.model.eval()
            try:
                yield
            finally:
                self.model.train()

    def _elapsed(self) -> float:
        return self.progress.elapsed + time.perf_counter() - self._started

    def _start_record(self, resumed: bool, changed: tuple[str, ...]) -> StartRecord:
        return StartRecord(
            step=self.progress.step,
            max_steps=self.config.max_steps,
            resumed=resumed,
            changed=changed,
            device=str(self.device),
            precision=self.precision.name,
            precision_reason=self.precision.reason,
            compiled=self.compilation.on,
            compiled_reason=self.compilation.reason,
            parameters=sum(p.numel() for p in self.model.parameters() if p.requires_grad),
            processes=self.engine.processes,
            output_dir=self.output_dir,
            config=self.config,
        )


def _save_memory(model: nn.Module) -> None:
    if not hasattr(model, "activation_checkpointing"):
        raise ValueError(
            f"training.activation_checkpointing is on, but {type(model).__name__} has no attribute of that "
            "name; switch it off, or let the model read the attribute"
        )
    setattr(model, "activation_checkpointing", True)  # noqa: B010  (modules type their attributes as tensors)
    return_freed_memory()


def _parameter_kinds(model: nn.Module) -> Mapping[str, Any]:
    missing = [
        n for n in ("loss", "update_routers", "parameter_kinds") if not callable(getattr(model, n, None))
    ]
    if missing or not isinstance(model, TrainableModel):
        raise TypeError(f"{type(model).__name__} cannot be trained: it lacks {', '.join(missing)}()")
    return model.parameter_kinds()
