"""Settings of the motion data: what a window is, which motions are mixed, and with which seed.

Nothing heavy is imported here, so that commands can parse a configuration and answer ``--help``
without loading numpy or torch. What needs the motion functions themselves (type names, option
names, option values) is checked when a dataset is opened.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

_SUM_TOLERANCE = 1e-6


def _default_weights() -> dict[str, float]:
    return {"helical": 0.2, "orbital": 0.2, "lissajous": 0.2, "lorenz": 0.2, "robotic": 0.2}


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """What the motion data looks like.

    Attributes:
        sequence_length: points in the context, L.
        prediction_length: points to forecast, H.
        sampling_rate: samples per second, in Hz.
        noise_std: standard deviation of the Gaussian measurement noise in metres, per axis; it
            falls on the context only, never on the path to forecast.
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

    sequence_length: int = 128
    prediction_length: int = 32
    sampling_rate: float = 100.0
    noise_std: float = 0.02
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
        self._check_weights()
        self._check_options()

    @property
    def window_length(self) -> int:
        """Points in a whole window, L + H."""
        return self.sequence_length + self.prediction_length

    @property
    def time_step(self) -> float:
        """Seconds between two points."""
        return 1.0 / self.sampling_rate

    @property
    def type_names(self) -> tuple[str, ...]:
        """Motion types in the order that numbers them."""
        return tuple(self.type_weights)

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


def _check_integer(name: str, value: object, *, minimum: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"dataset.{name} must be an integer of at least {minimum}, got {value!r}")


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"dataset.{name} must be a finite number, got {value!r}")
