"""What several processes cannot share is refused before one of them starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.training import check_share
from m.config import ConfigError, load_config

CONFIG = Path("examples/trajectory_3d/configs/quick_test_3d.yaml")  # batches of 256, 4 experts


def experiment(*overrides: str) -> ExperimentConfig:
    return load_config(ExperimentConfig, Path(__file__).parents[2] / CONFIG, list(overrides))


@pytest.mark.parametrize(
    ("overrides", "processes", "message"),
    [
        (["parallel.expert=2"], 3, "parallel.expert 2 must divide the number of processes, which is 3"),
        (["parallel.expert=3"], 3, "must divide the experts, and there are 4 experts"),
        (["parallel.expert=2", "model.router.kind=dense"], 2, "there are no experts"),
        ([], 3, "batch_size 256 is that of all 3 processes"),
        (["parallel.mode=fsdp", "training.optimizer=soap"], 2, "soap turns whole matrices"),
        (["training.compile=always"], 2, "compile=always is for one process; use auto or never"),
    ],
)
def test_what_cannot_be_shared_is_refused(overrides, processes, message):
    with pytest.raises(ConfigError, match=message):
        check_share(experiment(*overrides), processes)


@pytest.mark.parametrize(
    ("overrides", "processes"),
    [
        (["training.compile=always", "parallel.mode=fsdp", "training.optimizer=soap"], 1),
        (["parallel.expert=2", "training.compile=auto"], 4),
    ],
)
def test_the_rest_may_run(overrides, processes):
    check_share(experiment(*overrides), processes)
