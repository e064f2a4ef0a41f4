"""How a model is trained. Imports no torch, so that commands can parse it at once."""

from __future__ import annotations

import dataclasses
from typing import Literal

from m._checks import at_least, between, positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Options of `m.training.Trainer`.

    Attributes:
        batch_size: sequences in one micro-batch; read by whoever builds the data, and held against
            a resumed run, since it decides what position N of the data stream is.
        optimizer: "adamw", or "soap" (see `m.training.soap.Soap`), whose steps cost more and learn more:
            it pays where batches are large beside the model's width.
        soap_max_side: longest side of a matrix that SOAP turns; a step's own cost grows with its square.
        soap_refresh_interval: optimizer steps between updates of SOAP's bases.
        learning_rate: peak rate, reached at the end of the warm-up.
        max_steps: optimizer steps of the whole run.
        gradient_clip_norm: largest L2 norm of all gradients together; 0 turns clipping off.
        eval_interval: optimizer steps between evaluations (one more is made at the end).
        warmup_steps: steps of linear warm-up; None takes 5 % of `max_steps`, at most 1000.
        schedule: what follows the warm-up: a cosine down to the minimum, or the peak rate throughout.
        min_learning_rate_fraction: rate of the last step over the peak rate (cosine).
        weight_decay: decoupled decay of matrices; norms, biases and 1-D parameters have none.
        beta1: decay of the optimizer's mean of gradients.
        beta2: decay of the optimizer's mean of squared gradients.
        router_learning_rate_scale: learning rate of routers over that of the rest.
        expert_learning_rate_scale: learning rate of experts over that of the rest.
        accumulation_steps: micro-batches whose mean gradient makes one optimizer step.
        activation_checkpointing: compute the inside of each block again when its gradient is due, in place of
            keeping it: a third more operations, and memory for one block in place of all (Chen et al. 2016,
            arXiv 1604.06174). The gradients are the same.
        precision: "auto" takes bf16 autocast where the hardware multiplies bf16, else fp32.
        compile: "auto" compiles the loss by ``torch.compile`` in runs long enough to pay for it, on a
            processor with a C++ compiler and in one process; "always" or "never". Results differ in the last
            bits.
        ema_decay: decay of the running mean of the weights that is evaluated and shipped; 0 is off.
        checkpoint_interval: optimizer steps between writes of the full training state.
        log_interval: optimizer steps averaged into one step record.
        best_metric: key of the evaluation that decides which weights are best.
        best_mode: whether the smallest or the largest value of `best_metric` is best.
        seed: seeds torch, numpy and random at the start of a fresh run.
    """

    batch_size: int = 32
    optimizer: Literal["adamw", "soap"] = "adamw"
    soap_max_side: int = 256
    soap_refresh_interval: int = 25
    learning_rate: float = 1e-3
    max_steps: int = 20_000
    gradient_clip_norm: float = 1.0
    eval_interval: int = 500
    warmup_steps: int | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    min_learning_rate_fraction: float = 0.05
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    router_learning_rate_scale: float = 1.0
    expert_learning_rate_scale: float = 1.0
    accumulation_steps: int = 1
    activation_checkpointing: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Literal["auto", "always", "never"] = "auto"
    ema_decay: float = 0.0
    checkpoint_interval: int = 500
    log_interval: int = 10
    best_metric: str = "loss"
    best_mode: Literal["min", "max"] = "min"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_steps", "accumulation_steps"):
            at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("eval_interval", "checkpoint_interval", "log_interval"):
            at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("soap_max_side", "soap_refresh_interval"):
            at_least(f"training.{name}", getattr(self, name), 1)
        for name in ("learning_rate", "router_learning_rate_scale", "expert_learning_rate_scale"):
            positive(f"training.{name}", getattr(self, name))
        for name in ("gradient_clip_norm", "weight_decay", "seed"):
            at_least(f"training.{name}", getattr(self, name), 0)
        between("training.min_learning_rate_fraction", self.min_learning_rate_fraction, 0.0, 1.0)
        for name in ("beta1", "beta2", "ema_decay"):
            self._check_decay(name)
        self._check_warmup()
        self._check_choices()

    def _check_decay(self, name: str) -> None:
        value = getattr(self, name)
        if not 0.0 <= value < 1.0:
            raise ValueError(f"training.{name} must lie in [0, 1), got {value}")

    def _check_warmup(self) -> None:
        if self.warmup_steps is not None and not 0 <= self.warmup_steps <= self.max_steps:
            raise ValueError(
                f"training.warmup_steps must lie in [0, max_steps={self.max_steps}], "
                f"got {self.warmup_steps}; null takes 5 % of max_steps"
            )

    def _check_choices(self) -> None:
        choices = {
            "optimizer": ("adamw", "soap"),
            "schedule": ("cosine", "constant"),
            "precision": ("auto", "fp32", "bf16"),
            "compile": ("auto", "always", "never"),
            "best_mode": ("min", "max"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"training.{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}"
                )
        if not self.best_metric:
            raise ValueError("training.best_metric must name a metric of the evaluation, got ''")

    @property
    def effective_warmup_steps(self) -> int:
        """Warm-up length in optimizer steps, with the default worked out."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return min(1000, self.max_steps // 20)
