"""The model that is installed with this application, as a folder of weights, configuration and card."""

from pathlib import Path


def folder() -> Path:
    """The folder that ``m.load("trajectory-3d")`` reads."""
    return Path(__file__).parent
