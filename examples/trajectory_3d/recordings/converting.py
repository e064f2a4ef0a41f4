"""Recordings from one format into another, mended and resampled on the way where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from examples.trajectory_3d.recordings.mending import MendOptions, mend
from examples.trajectory_3d.recordings.resampling import Method, uniform_pieces
from examples.trajectory_3d.recordings.trajectory import Trajectory

Mending: TypeAlias = Literal["none", "safe", "outliers"]
MENDINGS: tuple[Mending, ...] = ("none", "safe", "outliers")
NATIVE: Literal["native"] = "native"


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What becomes of a track.

    Attributes:
        mending: ``none`` (as read), ``safe`` (see `mend`), or ``outliers`` (these are dropped as well).
        resample: to so many points a second, or to the native rate of each track; None to leave it uneven.
        method: of interpolation.
        longest_gap: seconds; a longer gap begins a new piece. By default three native steps.
        smooth: window in seconds of a Savitzky-Golay filter.
        split_jumps: begin a new piece where a track goes on elsewhere.

    Raises:
        ValueError: an option of resampling without it, or resampling what is not mended.
    """

    mending: Mending = "none"
    resample: float | Literal["native"] | None = None
    method: Method = "linear"
    longest_gap: float | None = None
    smooth: float | None = None
    split_jumps: bool = False

    def __post_init__(self) -> None:
        if self.resample is None:
            for name, given in (
                ("smooth", self.smooth is not None),
                ("longest gap", self.longest_gap is not None),
                ("split jumps", self.split_jumps),
            ):
                if given:
                    raise ValueError(f"{name} needs resampling: say at which rate, or native")
        elif self.mending == "none":
            raise ValueError("resampling needs mending: safe or outliers, got none")


def convert_track(track: Trajectory, conversion: Conversion) -> list[Trajectory]:
    """A track as it is wanted: one, or one for each piece, whose names count from 1.

    A track without any position becomes none when it is mended.
    """
    if conversion.mending == "none":
        return [track]
    mended = mend(track, MendOptions(drop_outliers=conversion.mending == "outliers"))
    if conversion.resample is None:
        return [mended.trajectory] if len(mended.trajectory) else []
    pieces = uniform_pieces(
        mended.trajectory,
        rate=None if conversion.resample == NATIVE else conversion.resample,
        method=conversion.method,
        longest_gap=conversion.longest_gap,
        smooth=conversion.smooth,
        split_at=mended.jumps if conversion.split_jumps else None,
    )
    made = [piece.as_trajectory() for piece in pieces]
    if len(made) < 2:
        return made
    return [
        replace(each, track=f"{track.track}.{number}" if track.track else str(number))
        for number, each in enumerate(made, 1)
    ]


def convert_tracks(tracks: Sequence[Trajectory], conversion: Conversion) -> list[Trajectory]:
    """`convert_track` of each."""
    return [made for track in tracks for made in convert_track(track, conversion)]


def name_by_file(tracks: Sequence[Trajectory]) -> list[Trajectory]:
    """The tracks of several files with names that tell them apart: name of the file, and of the track."""
    sources = list(dict.fromkeys(track.source for track in tracks))
    stems = file_names([Path(source) for source in sources])
    names = dict(zip(sources, stems, strict=True))
    return [
        replace(track, track=f"{names[track.source]}/{track.track}" if track.track else names[track.source])
        for track in tracks
    ]


def file_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file, without its suffixes; files of one name are numbered."""
    stems = [path.name.split(".")[0] or path.name for path in paths]
    made: list[str] = []
    for place, stem in enumerate(stems):
        made.append(stem if stems.count(stem) == 1 else f"{stem}-{stems[:place].count(stem) + 1}")
    return made
