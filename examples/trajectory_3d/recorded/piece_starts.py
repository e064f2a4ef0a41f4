"""Windows of a piece by the part that they belong to; shared by sets in memory and in shards."""

from __future__ import annotations

from examples.trajectory_3d.arrays import IntArray
from examples.trajectory_3d.recorded.cutting import window_starts
from examples.trajectory_3d.recorded.parts import Moments, Part, point_ranges
from examples.trajectory_3d.recorded.tracks import Piece
from examples.trajectory_3d.recordings_config import RecordingsConfig


def starts_by_part(
    piece: Piece, config: RecordingsConfig, whole: Part | None, moments: Moments
) -> dict[Part, IntArray]:
    """Where the windows of a piece begin.

    Args:
        piece: of uniform rate.
        config: how it is cut.
        whole: the part that all of it belongs to; None where it is cut in time.
        moments: at which its file is cut in time.
    """
    count = len(piece.points)
    if whole is not None:
        ranges = {whole: (0, count)}
    else:
        ranges = point_ranges(piece.start, piece.step, count, moments, config.embargo)
    return {
        part: window_starts(
            piece.points,
            first,
            end,
            length=config.length,
            observed=config.observed,
            stride=config.stride,
            rest=config.rest,
        )
        for part, (first, end) in ranges.items()
    }
