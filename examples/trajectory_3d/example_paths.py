"""Motions that the server's page offers to try a model with.

One of each type, as the small configuration samples them, and known for some seconds longer.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import resources

import numpy as np
from torch import Tensor

from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.datasets import generate_motion
from m.arrays import Array
from m.config import load_config
from m.inference_server.page.examples import ExamplePath

CONFIG = "small_3d_moe.yaml"
KNOWN_POINTS = 256  # of the true continuation: five seconds to be played
_DIGITS = 5  # a hundredth of a millimetre, and half the bytes

TITLES = {
    "helical": "Helix",
    "orbital": "Orbit",
    "lissajous": "Lissajous",
    "lorenz": "Lorenz",
    "robotic": "Robot arm",
}


def examples(seed: int) -> list[ExamplePath]:
    """One path of each motion type, the same for the same seed."""
    setting = _setting()
    return [_example(name, title, setting, seed) for name, title in TITLES.items()]


@cache
def _setting() -> DatasetConfig:
    """The small configuration's data."""
    file = resources.files(__package__).joinpath("configs", CONFIG)
    with resources.as_file(file) as path:
        return load_config(ExperimentConfig, path).dataset


def _example(name: str, title: str, setting: DatasetConfig, seed: int) -> ExamplePath:
    """Observed with the same noise throughout; the continuation without it is the truth."""
    observed = setting.sequence_length
    longer = replace(setting, sequence_length=observed + KNOWN_POINTS, prediction_length=1)
    batch = generate_motion(name, 1, longer, seed)
    seen, path = _rounded(batch.context), _rounded(batch.path)
    return ExamplePath(
        name=name,
        title=title,
        dt=setting.time_step,
        unit="m",
        context=seen[:observed],
        ahead=seen[observed:],
        truth=path[observed:-1],
    )


def _rounded(points: Tensor) -> Array:
    """The points of the only path of a batch."""
    rounded: Array = np.round(points[0].double().numpy(), _DIGITS)
    return rounded
