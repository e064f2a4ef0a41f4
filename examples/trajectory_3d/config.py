"""The experiment: one YAML file that says what to train, on which motion, and how to judge it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from examples.trajectory_3d.dataset_config import DatasetConfig
from m._checks import at_least
from m.config import apply_overrides, from_dict
from m.heads.config import HeadConfig
from m.moe.config import ModelConfig
from m.parallel.config import ParallelConfig
from m.training.config import TrainingConfig

DIMENSIONS = 3
FROM_INIT = "from_init"  # in place of an architecture: that of the model of `ExperimentConfig.init_from`
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How many unseen windows judge a model.

    Attributes:
        validation_windows: windows of the validation stream, forecast every ``training.eval_interval``.
        test_windows: windows of the test stream, forecast by ``trajectory-3d-eval``.
        batch_size: windows forecast at once.
        samples: paths that a model draws per test window; CRPS, energy score and rank histograms need them.
        after_training: also evaluate the best model on the test stream when training ends.
    """

    validation_windows: int = 500
    test_windows: int = 2000
    batch_size: int = 250
    samples: int = 50
    after_training: bool = True

    def __post_init__(self) -> None:
        for name in ("validation_windows", "test_windows", "batch_size"):
            at_least(f"evaluation.{name}", getattr(self, name), 1)
        at_least("evaluation.samples", self.samples, 2)


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Everything about a training run.

    Attributes:
        name: of the run's folder, when the command line gives none.
        model: architecture.
        training: optimisation.
        dataset: motion data.
        parallel: how several processes train together.
        evaluation: judgement.
        init_from: model whose weights training begins with: a name that `m.load` knows, or a path; null
            begins with random ones.
        init_weights: fingerprint of these weights, written down when training began with them; another one is
            then refused.
    """

    name: str = "trajectory_experiment"
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    init_from: str | None = None
    init_weights: str | None = None

    def __post_init__(self) -> None:
        check_run_name(self.name)
        if (self.model.input_dim, self.model.target_dim) != (DIMENSIONS, DIMENSIONS):
            raise ValueError(
                f"a trajectory model maps 3 coordinates to 3, got model.input_dim {self.model.input_dim} "
                f"and model.target_dim {self.model.target_dim}"
            )
        steps, horizon = self.model.head.prediction_steps, self.dataset.prediction_length
        if steps > horizon:
            raise ValueError(
                f"model.head.prediction_steps {steps} exceeds dataset.prediction_length {horizon}, "
                f"so its last steps would have no target; lower the one or raise the other"
            )


def experiment_to_judge(
    content: Mapping[str, Any], overrides: Sequence[str], source: str
) -> ExperimentConfig:
    """An experiment for the evaluation of a model that exists: what counts is its data and its judgement.

    The model forecasts any horizon, so one that is shorter than the head's steps is no error, as it would be
    in training.

    Args:
        content: of the configuration.
        overrides: ``dotted.key=value``.
        source: of the content, for messages.

    Raises:
        ConfigError: see `m.config.load_config`.
    """
    settings = apply_overrides(content, overrides)
    if settings.get("model") == FROM_INIT:
        del settings["model"]
    dataset, model = settings.get("dataset"), settings.setdefault("model", {})
    head = model.setdefault("head", {}) if isinstance(model, dict) else None
    if isinstance(dataset, dict) and isinstance(head, dict):
        horizon, steps = (
            dataset.get("prediction_length"),
            head.get("prediction_steps", HeadConfig.prediction_steps),
        )
        if isinstance(horizon, int) and isinstance(steps, int) and 1 <= horizon < steps:
            head["prediction_steps"] = horizon
    source = f"{source} with {' '.join(overrides)}" if overrides else source
    return from_dict(ExperimentConfig, settings, source=source)


def check_run_name(name: str) -> str:
    """Return a run's name when it can be a folder's, and nothing but a folder's.

    Raises:
        ValueError: anything that could leave the outputs folder or hide.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(
            f"run name '{name}' must start with a letter or digit and hold only letters, digits, "
            "single dots, '_' and '-'"
        )
    return name
