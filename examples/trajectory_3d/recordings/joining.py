"""Pieces of one track back into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from examples.trajectory_3d.recordings.trajectory import NANOSECONDS, Trajectory


def joined(pieces: Sequence[Trajectory]) -> Trajectory:
    """One track of pieces that follow each other, one or more, each counting from its own first stamp."""
    if len(pieces) == 1:
        return pieces[0]
    start = pieces[0].start_ns
    times = [each.times + (each.start_ns - start) / NANOSECONDS for each in pieces]
    points = np.concatenate([each.points for each in pieces])
    return replace(pieces[0], times=np.concatenate(times), points=points)
