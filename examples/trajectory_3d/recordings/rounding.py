"""The grid that a recorder rounded its values to."""

from __future__ import annotations

import numpy as np

from examples.trajectory_3d.arrays import Float64Array, IntArray
from examples.trajectory_3d.recordings.findings import Finding, counted
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.trajectory import Trajectory

_EPS = float(np.finfo(np.float64).eps)
_ENOUGH = 8  # values
_ON_GRID = 0.99  # share of the values
_TOLERANCE = 1e-3  # of a grid step
_MOST_VALUES = 20_000
_COARSE = 0.1  # of the median movement between samples
_METRES_PER_DEGREE = 111_194.9  # along a great circle of a sphere of 6371 km
_FARTHEST = 1e9  # metres from an origin on the ground
_GEODETIC_NOISE = (1e-10, 1e-10, 1e-5)  # degrees, degrees, metres: what the way back from local metres loses


def grid_step(values: Float64Array, noise: float = 0.0) -> float | None:
    """The step of the grid that values ``[N]`` lie on, or None.

    The most frequent difference between neighbouring values, and failing that the greatest common divisor of
    the differences, by Euclid's algorithm in floating point; it counts if 99 % of the values lie on the grid
    to within a thousandth of a step. Values that were never rounded have a common divisor no larger than the
    precision of their numbers, which is none. Motion of one constant step a sample shows no grid either.

    Args:
        values: in the order of time; some may be NaN.
        noise: by how much a computation may have moved them off their grid; at least some roundings.
    """
    values = values[np.isfinite(values)]
    distinct = np.unique(values)
    if len(distinct) < 3 or len(values) < _ENOUGH:
        return None
    distinct = distinct[np.linspace(0, len(distinct) - 1, min(len(distinct), _MOST_VALUES)).astype(int)]
    noise = max(noise, 8 * _EPS * float(np.abs(distinct[[0, -1]]).max()))
    differences = np.sort(np.diff(distinct))
    differences = differences[differences > 4 * noise]
    if len(differences) < 2:
        return None
    anchor = distinct[len(distinct) // 2]
    for candidate in (_most_frequent(differences), _divisor(differences, noise)):
        step = _refined(distinct - anchor, candidate) if candidate > 16 * noise else None
        if step is not None and _share_on_grid(values - anchor, step, noise) >= _ON_GRID:
            return step if _moves_differ(values, step) else None
    return None


def resolution(trajectory: Trajectory) -> tuple[float | None, ...]:
    """Grid step of each coordinate in the unit of the position, None where there is none, ``dimensions``.

    Positions that the file holds as latitude, longitude and altitude are looked at as such, since the local
    plane hides their rounding; degrees become metres on the ground.
    """
    origin = trajectory.origin
    if origin is None or trajectory.dimensions != 3 or _beyond_earth(trajectory):
        return tuple(grid_step(column) for column in trajectory.position.T)
    latitude, longitude, altitude = to_geodetic(trajectory.position * trajectory.metres, origin).T
    east = _METRES_PER_DEGREE * float(np.cos(np.radians(origin.latitude)))
    steps = (grid_step(longitude, _GEODETIC_NOISE[0]), grid_step(latitude, _GEODETIC_NOISE[1]))
    scaled = [step and step * scale for step, scale in zip(steps, (east, _METRES_PER_DEGREE), strict=True)]
    in_metres = (*scaled, grid_step(altitude, _GEODETIC_NOISE[2]))
    return tuple(step and step / trajectory.metres for step in in_metres)


def _beyond_earth(trajectory: Trajectory) -> bool:
    return float(np.abs(trajectory.position).max(initial=0.0)) * trajectory.metres > _FARTHEST


def find_rounding(trajectory: Trajectory, rows: IntArray, steps: tuple[float | None, ...]) -> Finding | None:
    """Coordinates rounded more coarsely than a tenth of what they usually change by between samples.

    Args:
        trajectory: with finite positions.
        rows: places of its samples in the file, ``[N]``.
        steps: of `resolution`.
    """
    if len(trajectory) < _ENOUGH:
        return None
    moves = np.abs(np.diff(trajectory.position, axis=0))
    coarse = []
    for axis, step in enumerate(steps):
        moving = moves[:, axis][moves[:, axis] > 0]
        if step is not None and len(moving) and step > _COARSE * float(np.median(moving)):
            coarse.append(f"{trajectory.names[axis]} to {step_text(step, trajectory.unit)}")
    if not coarse:
        return None
    text = f"{counted(len(coarse), 'coordinate')} rounded coarsely: {', '.join(coarse)}"
    return Finding("resolution", len(coarse), int(rows[0]), text)


def step_text(step: float, unit: str) -> str:
    """A grid step with its unit, and in feet where it is whole feet of altitude kept in metres."""
    feet = step / 0.3048
    if (
        unit == "m"
        and feet > 0.9
        and abs(feet - round(feet)) < 1e-3 * feet
        and abs(step - round(step)) > 1e-3
    ):
        return f"{step:.4g} m ({round(feet)} ft)"
    return f"{step:.3g} {unit if unit != 'unknown' else 'units'}"


def _divisor(differences: Float64Array, noise: float) -> float:
    """Greatest common divisor of some of the sorted differences: the smallest, and others from all over."""
    spread = np.linspace(0, len(differences) - 1, 64).astype(int)
    chosen = np.unique(np.concatenate([differences[:64], differences[spread]]))
    divisor = float(chosen[0])
    for value in chosen[1:].tolist():
        larger, smaller = value, divisor
        while True:
            times = round(larger / smaller)
            rest = abs(larger - times * smaller)
            if rest <= noise * (2 + times):  # the roundings of `smaller` count as often
                break
            larger, smaller = smaller, rest
        divisor = smaller
        if divisor <= 16 * noise:
            break
    return divisor


def _most_frequent(differences: Float64Array) -> float:
    """The middle of the fullest of bins that are a thousandth of a difference wide."""
    bins = np.round(np.log(differences) * 1000).astype(np.int64)
    values, counts = np.unique(bins, return_counts=True)
    return float(np.median(differences[bins == values[counts.argmax()]]))


def _refined(centred: Float64Array, step: float) -> float:
    """The step by least squares over values ever farther from zero, so that their multiples stay certain."""
    farthest = float(np.abs(centred).max())
    reach = 8 * step
    while True:
        near = centred[np.abs(centred) <= reach]
        multiples = np.rint(near / step)
        fits = np.abs(near - multiples * step) < 0.25 * step
        norm = float((multiples[fits] ** 2).sum())
        if norm:
            step = float((multiples[fits] * near[fits]).sum()) / norm
        if reach >= farthest:
            return step
        reach *= 4


def _moves_differ(values: Float64Array, step: float) -> bool:
    moves = np.rint(np.abs(np.diff(values)) / step)
    return bool((moves != moves[0]).any())


def _share_on_grid(centred: Float64Array, step: float, noise: float) -> float:
    off = np.abs(centred - np.rint(centred / step) * step)
    return float((off <= _TOLERANCE * step + noise).mean())
