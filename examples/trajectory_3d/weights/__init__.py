"""The models that are installed with this application, as folders of weights, configuration and card."""

import json
from pathlib import Path

from examples.trajectory_3d.dataset_config import DatasetConfig
from m.config import from_dict

DEFAULT_NAME = "trajectory-3d"  # under which `folder` is registered for `m.load`


def folder() -> Path:
    """The folder that ``m.load("trajectory-3d")`` reads: five kinds of motion, known closely."""
    return Path(__file__).parent


def wide_folder() -> Path:
    """The folder that ``m.load("trajectory-3d-wide")`` reads: many kinds of motion, for recordings."""
    return Path(__file__).parent / "wide"


def shipped_dataset() -> DatasetConfig:
    """The motion that ``trajectory-3d`` was trained on and is judged by, from its card."""
    card = json.loads((folder() / "card.json").read_text(encoding="utf-8"))
    return from_dict(DatasetConfig, card["dataset"])
