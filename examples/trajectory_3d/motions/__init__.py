"""The motion types, each one registered function; see ``docs/motions.md``."""

from examples.trajectory_3d.motions.ballistic import ballistic
from examples.trajectory_3d.motions.chaotic import chaotic
from examples.trajectory_3d.motions.harmonics import harmonics
from examples.trajectory_3d.motions.helical import helical
from examples.trajectory_3d.motions.legs import legs
from examples.trajectory_3d.motions.lissajous import lissajous
from examples.trajectory_3d.motions.lorenz import lorenz
from examples.trajectory_3d.motions.orbital import orbital
from examples.trajectory_3d.motions.oscillators import oscillators
from examples.trajectory_3d.motions.random_forces import random_forces
from examples.trajectory_3d.motions.registry import (
    check_options,
    get_motion,
    motion_names,
    motion_options,
    register_motion,
)
from examples.trajectory_3d.motions.robotic import robotic
from examples.trajectory_3d.motions.splines import splines
from examples.trajectory_3d.motions.vector_fields import vector_fields

__all__ = [
    "ballistic",
    "chaotic",
    "check_options",
    "get_motion",
    "harmonics",
    "helical",
    "legs",
    "lissajous",
    "lorenz",
    "motion_names",
    "motion_options",
    "orbital",
    "oscillators",
    "random_forces",
    "register_motion",
    "robotic",
    "splines",
    "vector_fields",
]
