"""Fixed windows of a motion stream, as NumPy arrays for evaluation."""

from __future__ import annotations

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import Split, fixed_set
from examples.trajectory_3d.evaluation import EvaluationSet
from m.config import ConfigError


def evaluation_windows(config: DatasetConfig, split: Split, count: int) -> EvaluationSet:
    """The first ``count`` windows of a split; the same for every model that is compared on them.

    Raises:
        ConfigError: an unknown motion type, or an option that the type does not have or cannot use, or
            settings so extreme that a position is not finite.
    """
    try:
        batch = fixed_set(config, split, count, seed=config.evaluation_seed)
        return EvaluationSet(
            context=batch.context.numpy(),
            targets=batch.targets.numpy(),
            type_ids=batch.type_ids.numpy(),
            type_names=batch.type_names,
            dt=config.time_step,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
