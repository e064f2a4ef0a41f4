"""Paths that the page offers to try the model with.

An installed application offers its own by an entry point of the group ``m.example_paths``, a function of a
seed that gives `ExamplePath` objects or dictionaries with their fields::

    [project.entry-points."m.example_paths"]
    my-application = "my_package.paths:examples"

Without any, closed curves of two or three dimensions stand in.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from m.arrays import Array

ENTRY_POINT_GROUP = "m.example_paths"

_DT = 0.02
_OBSERVED, _AHEAD = 64, 256
_NOISE = 0.01  # of a curve whose size is about 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExamplePath:
    """A path, observed up to a moment and known beyond.

    Attributes:
        name: by which it can be told from the others.
        title: for people.
        context: points as they were observed, ``[T, D]``.
        truth: how it went on, ``[N, K]``; may be empty.
        ahead: how that will be observed, ``[M, D]``, to be played; the truth itself by default, where its
            points are like the context's.
        dt: seconds between points.
        unit: of the coordinates.

    Raises:
        ValueError: points that are no table of finite numbers, or no positive time step.
    """

    name: str
    title: str
    context: Array
    truth: Array
    dt: float
    unit: str = ""
    ahead: Array | None = None

    def __post_init__(self) -> None:
        context, truth = self._table("context"), self._table("truth")
        if len(context) == 0:
            raise ValueError(f"example {self.name!r} has no points")
        if self.ahead is None:
            alike = truth.shape[1] == context.shape[1]
            object.__setattr__(self, "ahead", truth if alike else np.empty((0, context.shape[1])))
        if self._table("ahead").shape[1] != context.shape[1]:
            raise ValueError(f"ahead of example {self.name!r} must have points like its context")
        if not (self.dt > 0 and math.isfinite(self.dt)):
            raise ValueError(f"dt of example {self.name!r} must be a positive number of seconds")

    def _table(self, field: str) -> Array:
        """A field as an array, which it is from then on."""
        points = np.asarray(getattr(self, field), dtype=np.float64)
        if points.ndim != 2 or not np.isfinite(points).all():
            raise ValueError(f"{field} of example {self.name!r} must be a [T, D] table of finite numbers")
        object.__setattr__(self, field, points)
        return points

    def fits(self, input_dim: int, target_dim: int) -> bool:
        """Whether a model of such points can be asked about it."""
        return bool(self.context.shape[1] == input_dim and self.truth.shape[1] == target_dim)


def offered_examples(seed: int, *, input_dim: int, target_dim: int) -> list[ExamplePath]:
    """What installed applications offer and the model can take, else generic curves, else nothing."""
    offered = [path for path in _registered(seed) if path.fits(input_dim, target_dim)]
    return offered or [path for path in generic_examples(seed) if path.fits(input_dim, target_dim)]


def _registered(seed: int) -> Iterator[ExamplePath]:
    """Of all applications in alphabetical order; a broken one is left out and the log says why."""
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        try:
            yield from _provided(point, seed)
        except Exception as error:  # whatever an application does wrong, the others are served
            _log.warning("example paths of %s (%s) are left out: %s", point.name, point.value, error)


def _provided(point: EntryPoint, seed: int) -> list[ExamplePath]:
    provide: Callable[[int], Iterable[ExamplePath | Mapping[str, Any]]] = point.load()
    return [path if isinstance(path, ExamplePath) else ExamplePath(**path) for path in provide(seed)]


def generic_examples(seed: int) -> list[ExamplePath]:
    """Closed-form curves in the plane and in space, with a little noise on what is observed."""
    random = np.random.default_rng(seed)
    phase, rate = random.uniform(0, 2 * np.pi), random.uniform(1.5, 3.0)
    angle = phase + rate * _DT * np.arange(_OBSERVED + _AHEAD)
    cosine, sine, double = np.cos(angle), np.sin(angle), np.sin(2 * angle)
    level, height = np.zeros_like(angle), 0.2 * (angle - phase)
    curves = {
        "circle": ("Circle", [cosine, sine]),
        "figure-eight": ("Figure eight", [cosine, double]),
        "circle-3d": ("Circle", [cosine, sine, level]),
        "helix": ("Helix", [cosine, sine, height]),
        "figure-eight-3d": ("Figure eight", [cosine, double, 0.5 * sine]),
    }
    return [_curve(name, title, np.stack(path, -1), random) for name, (title, path) in curves.items()]


def _curve(name: str, title: str, path: Array, random: np.random.Generator) -> ExamplePath:
    seen = path + _NOISE * random.standard_normal(path.shape)
    return ExamplePath(
        name=name,
        title=title,
        dt=_DT,
        context=seen[:_OBSERVED],
        ahead=seen[_OBSERVED:],
        truth=path[_OBSERVED:],
    )
