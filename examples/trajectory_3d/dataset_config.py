"""Settings of the motion data: what a window is, which motions or recordings give them, with which seed.

Nothing heavy is imported here, so that commands can parse a configuration and answer ``--help``
without loading numpy or torch. What needs the motion functions themselves (type names, option
names, option values) is checked when a dataset is opened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings_config import GroupBy, RecordingsConfig, SplitConfig

DataSource: TypeAlias = Literal["motions", "files", "mixed"]
_SUM_TOLERANCE = 1e-6


def _default_weights() -> dict[str, float]:
    return {"helical": 0.2, "orbital": 0.2, "lissajous": 0.2, "lorenz": 0.2, "robotic": 0.2}


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Changes made to whole windows, path and context alike, before noise is added.

    They are drawn anew for every window.

    Attributes:
        rotate: turn about the origin into a uniformly random orientation.
        mirror: reflect every other window, at random.
        reverse: share of windows played backwards.
        scale: range of a factor of all positions, drawn log-uniformly.
        shift: standard deviation of a Gaussian offset per axis, in sizes of the window: the root mean
            square distance of its context from the middle, per axis.

    Raises:
        ValueError: naming the field, its value and what was expected.
    """

    rotate: bool = False
    mirror: bool = False
    reverse: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rotate", "mirror"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(
                    f"dataset.augmentation.{name} must be true or false, got {getattr(self, name)!r}"
                )
        for name in ("reverse", "shift"):
            _check_number(f"augmentation.{name}", getattr(self, name))
        if not 0.0 <= self.reverse <= 1.0:
            raise ValueError(
                f"dataset.augmentation.reverse must be a share from 0 to 1, got {self.reverse!r}"
            )
        if self.shift < 0.0:
            raise ValueError(
                f"dataset.augmentation.shift must not be negative (sizes of the window), got {self.shift!r}"
            )
        _check_range("augmentation.scale", self.scale, positive=True)


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """What the motion data looks like.

    Settings of synthetic motion (its rate, ``noise_std``, ``rate_factor``, types and their options) say
    nothing of recordings, which are as they were measured; augmentation and ``noise_fraction`` apply to
    recordings in training, and leave the windows that judge a model alone.

    Attributes:
        source: ``motions`` draws synthetic motion, ``files`` takes windows from the recordings in ``paths``,
            ``mixed`` both.
        paths: files, folders (everything in them that is a recording) or patterns such as ``data/*.csv``.
        read: what the files do not say of themselves; columns as text, also numbers: ``["2", "3", "4"]``.
        resample: points a second that recordings are brought to; null keeps the rate of each file.
        longest_gap: seconds; no window of a recording reaches across a longer step. null: three native steps.
        stride: points between the starts of neighbouring windows of a recording.
        rest: windows of recordings are left out whose context moves no more than this: the standard deviation
            of its points, one for all axes, in the unit of the reports. 0 leaves out what stands still.
        split: of recordings into training, validation and test.
        group_by: what of the recordings is reported on its own: each file, each folder, or each track.
        stream: whether windows are read from Parquet shards as they are needed, with bounded memory; null:
            when they hold more than 20 million samples.
        files_weight: share of windows that are recorded, for ``mixed``.
        sequence_length: points in the context, L.
        prediction_length: points to forecast, H.
        sampling_rate: samples per second, in Hz; recordings alone have their own.
        noise_std: standard deviation of the Gaussian measurement noise in metres, per axis; it
            falls on the context only, never on the path to forecast.
        noise_fraction: range of a second part of the noise, drawn for every window: its
            standard deviation as a share of the window's size (the root mean square distance of the
            true context from its middle, per axis). The variances of both parts add up.
        noise_skew: power to which the uniform draw between the ends of ``noise_fraction`` is raised. 1
            draws the share uniformly; at 3 half of the windows have less than an eighth of the range, so that
            precise recordings are as common as rough ones.
        rate_factor: range of a factor of the sampling rate, drawn log-uniformly for every window, or
            for a few groups of windows in a block where a motion type needs common times. Forecasters
            are not told: at factor 2 a motion looks as if it ran at half its speed, and velocities count in
            the nominal time step.
        augmentation: rotations, reflections, reversals, scales and shifts of whole windows.
        type_weights: motion type -> probability that a window is of that type; sums to 1. The
            order of the keys numbers the types.
        motion_options: motion type -> keyword options of that motion, such as
            ``{"orbital": {"eccentricity": [0.0, 0.5]}}``; ``docs/motions.md`` lists them.
        seed: seed of the training stream.
        evaluation_seed: seed of the validation and test streams, apart from the other so that runs of
            different seeds are judged on the same windows. Splits never share a stream, whatever
            the seeds.
        num_workers: processes that generate data beside the training process; 0 generates in
            the training process. The stream is the same whatever the number.
        windows_per_block: windows generated at once. Larger blocks are faster up to the cache
            size and use more memory; changing it changes which windows the stream holds.

    Raises:
        ValueError: naming the field, its value and what was expected.
    """

    source: DataSource = "motions"
    paths: tuple[str, ...] = ()
    read: ReadOptions = field(default_factory=ReadOptions)
    resample: float | None = None
    longest_gap: float | None = None
    stride: int = 1
    rest: float = 0.0
    split: SplitConfig = field(default_factory=SplitConfig)
    group_by: GroupBy = "file"
    stream: bool | None = None
    files_weight: float = 0.5
    sequence_length: int = 128
    prediction_length: int = 32
    sampling_rate: float = 100.0
    noise_std: float = 0.02
    noise_fraction: tuple[float, float] | None = None
    noise_skew: float = 1.0
    rate_factor: tuple[float, float] | None = None
    augmentation: AugmentationConfig | None = None
    type_weights: dict[str, float] = field(default_factory=_default_weights)
    motion_options: dict[str, dict[str, Any]] = field(default_factory=dict)
    seed: int = 0
    evaluation_seed: int = 0
    num_workers: int = 0
    windows_per_block: int = 4096

    def __post_init__(self) -> None:
        for name in ("sequence_length", "prediction_length", "windows_per_block"):
            _check_integer(name, getattr(self, name), minimum=1)
        for name in ("seed", "evaluation_seed", "num_workers"):
            _check_integer(name, getattr(self, name), minimum=0)
        _check_number("sampling_rate", self.sampling_rate)
        if self.sampling_rate <= 0:
            raise ValueError(f"dataset.sampling_rate must be positive (Hz), got {self.sampling_rate!r}")
        _check_number("noise_std", self.noise_std)
        if self.noise_std < 0:
            raise ValueError(f"dataset.noise_std must not be negative (metres), got {self.noise_std!r}")
        if self.noise_fraction is not None:
            _check_range("noise_fraction", self.noise_fraction, positive=False)
        if not (math.isfinite(self.noise_skew) and self.noise_skew > 0):
            raise ValueError(f"dataset.noise_skew must be a positive finite number, got {self.noise_skew}")
        if self.rate_factor is not None:
            _check_range("rate_factor", self.rate_factor, positive=True)
        self._check_weights()
        self._check_options()
        self._check_source()

    @property
    def has_motions(self) -> bool:
        """Whether any of it is synthetic."""
        return self.source != "files"

    @property
    def recordings(self) -> RecordingsConfig | None:
        """What decides which windows recordings give; None without recordings."""
        if self.source == "motions":
            return None
        return RecordingsConfig(
            paths=tuple(self.paths),
            observed=self.sequence_length,
            length=self.window_length,
            read=self.read,
            resample=self.resample,
            longest_gap=self.longest_gap,
            stride=self.stride,
            rest=self.rest,
            split=self.split,
            group_by=self.group_by,
            stream=self.stream,
            seed=self.evaluation_seed,
        )

    @property
    def window_length(self) -> int:
        """Points in a whole window, L + H."""
        return self.sequence_length + self.prediction_length

    @property
    def time_step(self) -> float:
        """Seconds between two points."""
        return 1.0 / self.sampling_rate

    @property
    def noise_text(self) -> str:
        """The context noise in words, for reports."""
        if not self.has_motions:
            return "as recorded"
        parts = [f"{self.noise_std:g} m"] if self.noise_std > 0 or self.noise_fraction is None else []
        if self.noise_fraction is not None:
            low, high = (100.0 * share for share in self.noise_fraction)
            parts.append(f"{low:g}-{high:g} % of the window's size")
        return " and ".join(parts)

    @property
    def type_names(self) -> tuple[str, ...]:
        """Synthetic motion types in the order that numbers them; none where all is recorded.

        `datasets.type_names` names the groups of recordings too.
        """
        return tuple(self.type_weights) if self.has_motions else ()

    def _check_weights(self) -> None:
        if not self.type_weights:
            raise ValueError("dataset.type_weights is empty; give at least one motion type a weight")
        for name, weight in self.type_weights.items():
            _check_number(f"type_weights[{name!r}]", weight)
            if weight < 0:
                raise ValueError(f"dataset.type_weights[{name!r}] must not be negative, got {weight!r}")
        total = math.fsum(self.type_weights.values())
        if abs(total - 1.0) > _SUM_TOLERANCE:
            raise ValueError(
                f"dataset.type_weights must sum to 1, but {self.type_weights} sums to {total:.6g}"
            )

    def _check_options(self) -> None:
        for name, options in self.motion_options.items():
            if name not in self.type_weights:
                raise ValueError(
                    f"dataset.motion_options names {name!r}, which has no entry in dataset.type_weights "
                    f"({', '.join(self.type_weights)}): these options would have no effect"
                )
            if not isinstance(options, dict):
                raise ValueError(
                    f"dataset.motion_options[{name!r}] must map option names to values, got {options!r}"
                )

    def _check_source(self) -> None:
        if self.source not in ("motions", "files", "mixed"):
            raise ValueError(f"dataset.source must be motions, files or mixed, got {self.source!r}")
        if self.source == "motions" and self.paths:
            raise ValueError(
                "dataset.paths names recordings, but dataset.source is motions; set it to files, or to mixed "
                "for recordings and synthetic motion together"
            )
        _check_number("files_weight", self.files_weight)
        if not 0.0 < self.files_weight < 1.0:
            raise ValueError(
                f"dataset.files_weight must lie between 0 and 1, got {self.files_weight!r}; for recordings "
                "alone set dataset.source to files, for none to motions"
            )
        _ = self.recordings  # which checks itself


def _check_integer(name: str, value: object, *, minimum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"dataset.{name} must be an integer of at least {minimum}, got {value!r}")


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"dataset.{name} must be a finite number, got {value!r}")


def _check_range(name: str, bounds: object, *, positive: bool) -> None:
    """Check for two finite numbers low <= high, low above 0 or (``positive=False``) at least 0."""
    least = "low > 0" if positive else "low >= 0"
    message = (
        f"dataset.{name} must be two finite numbers [low, high] with {least}, low <= high, got {bounds!r}"
    )
    if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
        raise ValueError(message)
    for bound in bounds:
        if not isinstance(bound, (int, float)) or isinstance(bound, bool) or not math.isfinite(bound):
            raise ValueError(message)
    low, high = bounds
    if not low <= high or low < 0 or (positive and low == 0):
        raise ValueError(message)
