"""Settings of recorded motion: which files, read how, cut into which windows and parts.

Imports no NumPy, as `dataset_config`, of which these are the keys for ``source: files`` and ``mixed``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from examples.trajectory_3d.recordings.options import ReadOptions

GroupBy: TypeAlias = Literal["file", "folder", "track"]
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How recordings are shared out between training, validation and test.

    A window lies wholly inside one part, so no point that a model is judged on was trained on.

    Attributes:
        by: ``time`` cuts each file at two moments: training comes first, then validation, then test.
            ``track`` gives whole tracks to one part, at random by ``dataset.evaluation_seed``; for many
            short tracks. ``folder`` goes by the folders ``train``, ``validation`` and ``test`` that hold the
            files, as ``trajectory-3d-data split`` makes them.
        fractions: of the samples, for training, validation and test; they sum to 1.
        embargo: points left out after each moment at which a file is cut, since neighbouring points
            are alike; null takes ``dataset.prediction_length``.

    Raises:
        ValueError: naming the field, its value and what was expected.
    """

    by: Literal["time", "track", "folder"] = "time"
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    embargo: int | None = None

    def __post_init__(self) -> None:
        _one_of("split.by", self.by, ("time", "track", "folder"))
        shares = self.fractions
        if not (isinstance(shares, (list, tuple)) and len(shares) == 3 and all(_is_share(s) for s in shares)):
            raise ValueError(
                "dataset.split.fractions must be three shares from 0 to 1 (training, validation, test), "
                f"got {shares!r}"
            )
        if abs(math.fsum(shares) - 1.0) > _SUM_TOLERANCE:
            raise ValueError(f"dataset.split.fractions must sum to 1, but {list(shares)} do not")
        object.__setattr__(self, "fractions", tuple(shares))  # a list would not hash
        if self.embargo is not None:
            _integer("split.embargo", self.embargo, 0)


@dataclass(frozen=True, kw_only=True)
class RecordingsConfig:
    """Everything that decides which windows recordings give; hashable, so that one opening serves all.

    Attributes:
        paths: files, folders (everything in them that is a recording) or patterns such as ``data/*.csv``.
        read: what the files do not say of themselves.
        resample: points a second; None keeps the rate of each file.
        longest_gap: seconds; no window reaches across a longer step. None: three native steps.
        stride: points between the starts of neighbouring windows.
        rest: windows are left out whose context moves no more than this: the standard deviation of its
            points, one for all axes, in the unit of the reports.
        split: into training, validation and test.
        group_by: what is reported on its own: each file, each folder, or each track.
        stream: whether windows are read from Parquet shards as they are needed; None: when they hold more
            than fits well into memory.
        observed: points of a window that a forecaster sees.
        length: points of a window.
        seed: of the choice of tracks for each part.

    Raises:
        ValueError: naming the field, its value and what was expected.
    """

    paths: tuple[str, ...]
    observed: int
    length: int
    read: ReadOptions = field(default_factory=ReadOptions)
    resample: float | None = None
    longest_gap: float | None = None
    stride: int = 1
    rest: float = 0.0
    split: SplitConfig = field(default_factory=SplitConfig)
    group_by: GroupBy = "file"
    stream: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError(
                "dataset.paths is empty; name files or folders of recordings, such as "
                "'dataset.paths=[my_folder]'"
            )
        for name in ("resample", "longest_gap"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value > 0):
                raise ValueError(f"dataset.{name} must be a positive finite number, got {value!r}")
        _integer("stride", self.stride, 1)
        if not (_is_number(self.rest) and self.rest >= 0):
            raise ValueError(f"dataset.rest must be a finite number of at least 0, got {self.rest!r}")
        _one_of("group_by", self.group_by, ("file", "folder", "track"))

    @property
    def embargo(self) -> int:
        """Points left out after a cut."""
        return self.length - self.observed if self.split.embargo is None else self.split.embargo


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value <= 1.0


def _integer(name: str, value: object, minimum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"dataset.{name} must be an integer of at least {minimum}, got {value!r}")


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"dataset.{name} must be one of {', '.join(known)}, got {value!r}")
