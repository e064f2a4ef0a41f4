"""The models that are installed with this application, as folders of weights, configuration and card."""

from pathlib import Path

DEFAULT_NAME = "trajectory-3d"  # under which `folder` is registered for `m.load`


def folder() -> Path:
    """The folder that ``m.load("trajectory-3d")`` reads: five kinds of motion, known closely."""
    return Path(__file__).parent


def wide_folder() -> Path:
    """The folder that ``m.load("trajectory-3d-wide")`` reads: many kinds of motion, for recordings."""
    return Path(__file__).parent / "wide"
