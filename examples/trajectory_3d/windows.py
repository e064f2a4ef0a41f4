"""Fixed windows of motion, synthetic or recorded, as NumPy arrays for evaluation."""

from __future__ import annotations

from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import Split, fixed_set
from examples.trajectory_3d.evaluation import EvaluationSet
from examples.trajectory_3d.recorded.opening import open_recordings
from m.config import ConfigError


def evaluation_windows(config: DatasetConfig, split: Split, count: int) -> EvaluationSet:
    """At most ``count`` windows of a split; the same for every model that is compared on them.

    See `datasets.fixed_set` for which. Recordings alone come at the step of most of their windows; beside
    synthetic motion the step is that of the configuration.

    Raises:
        ConfigError: an unknown motion type, or an option that the type does not have or cannot use, settings
            so extreme that a position is not finite, or recordings that cannot be read or give no window.
    """
    try:
        batch = fixed_set(config, split, count, seed=config.evaluation_seed)
        return EvaluationSet(
            context=batch.context.numpy(),
            targets=batch.targets.numpy(),
            type_ids=batch.type_ids.numpy(),
            type_names=batch.type_names,
            dt=recorded_step(config) or config.time_step,
            unit="m" if config.recordings is None else open_recordings(config).facts.unit,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error


def recorded_step(config: DatasetConfig) -> float | None:
    """Seconds between points of recordings; None where some or all motion is synthetic."""
    return None if config.has_motions else open_recordings(config).facts.step
