"""The motion types, each one registered function; see ``docs/motions.md``."""

from examples.trajectory_3d.motions.helical import helical
from examples.trajectory_3d.motions.lissajous import lissajous
from examples.trajectory_3d.motions.lorenz import lorenz
from examples.trajectory_3d.motions.orbital import orbital
from examples.trajectory_3d.motions.registry import (
    check_options,
    get_motion,
    motion_names,
    motion_options,
    register_motion,
)
from examples.trajectory_3d.motions.robotic import robotic

__all__ = [
    "check_options",
    "get_motion",
    "helical",
    "lissajous",
    "lorenz",
    "motion_names",
    "motion_options",
    "orbital",
    "register_motion",
    "robotic",
]
