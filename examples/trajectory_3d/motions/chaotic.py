"""Known chaotic flows: each window one system, under parameters and at a pace of its own."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from examples.trajectory_3d.motions.chaotic_systems import SYSTEMS, TERMS
from examples.trajectory_3d.motions.draw import check_range, check_scalar
from examples.trajectory_3d.motions.ranges import log_uniform
from examples.trajectory_3d.motions.registry import FloatArray, Range, register_motion
from examples.trajectory_3d.motions.runge_kutta import clock, integrate

_PATHS, _SAMPLES = 16, 16  # of each system in its bank
_BURN_IN, _BETWEEN = 12.0, 1.1  # turns until a path is on its attractor, and from sample to sample
_BANK_TOLERANCE = 1e-5
_LEAD = 1.0  # turns under the window's own parameters before the window starts
_REACH = 10.0  # sizes a path may move in any coordinate before it counts as running away


@register_motion("chaotic", own_times=True)
def chaotic(
    rng: np.random.Generator,
    count: int,
    times: FloatArray,
    *,
    systems: Sequence[str] = tuple(SYSTEMS),
    parameter_spread: float = 0.03,
    frequency: Range = (0.2, 3.0),
    size: Range = (0.5, 2.0),
    tolerance: float = 1e-7,
) -> FloatArray:
    """Draw windows of chaotic flows, on their attractors.

    Each window is of one system of `SYSTEMS`, every one in ``systems`` equally likely, under parameters
    that differ from the published ones by up to ``parameter_spread`` of their values. Its clock is
    stretched so that the system makes ``frequency`` turns a second, and its coordinates are shifted
    and scaled alike, so that the middle of the attractor is the origin and its extent ``size``. At
    50 Hz, 80 points and the default frequencies a window holds 0.3 to 4.7 turns. One turn is 2 pi
    times the ratio of the root mean square distance from the middle to the root mean square speed
    (on a circle, the period).

    A window starts from a point of the attractor of the published parameters, followed for one turn under
    its own. Where the path runs away under its own parameters, the published ones are taken
    instead. Every step obeys the equations to ``tolerance``; the flow itself then stretches errors, over
    a few turns and for the wildest systems a thousandfold. Sources: in the table of systems.

    Args:
        rng: the only source of randomness.
        count: windows to draw, N.
        times: [T] seconds from the first point of the window, or [N, T], rows in proportion.
        systems: names of the flows to draw from.
        parameter_spread: largest relative change of a parameter, at most 0.5; for the systems that
            bear less, a fixed share of it (their ``give``).
        frequency: range of the number of turns a second, Hz, drawn log-uniformly.
        size: range of the root mean square distance from the middle of the attractor, metres,
            drawn log-uniformly.
        tolerance: error allowed per integration step, relative to the size of the attractor.

    Returns:
        [N, T, 3] metres.

    Raises:
        ValueError: an unknown system, or an option out of range.
    """
    bank = attractors(check_systems(systems))
    check_range(
        "parameter_spread",
        (0.0, check_scalar("parameter_spread", parameter_spread, positive=False)),
        below=0.5 + 1e-12,
    )
    if not 1e-12 <= check_scalar("tolerance", tolerance) <= 1e-3:
        raise ValueError(f"option 'tolerance' must lie between 1e-12 and 1e-3; got {tolerance!r}")
    pace = log_uniform(rng, "frequency", frequency, count)
    metres = log_uniform(rng, "size", size, count)
    draw = _draw_windows(rng, count, bank, parameter_spread)
    fractions, seconds = clock(times, count)
    turns = pace * seconds
    path = _follow(draw, turns, fractions, tolerance)
    lost = np.flatnonzero(np.isnan(path[:, -1, 0]))
    if len(lost):
        again = draw.select(lost).with_published_parameters()
        path[lost] = _follow(again, turns[lost], fractions, tolerance)
    path *= metres[:, None, None]
    return path


def check_systems(systems: Sequence[str]) -> tuple[str, ...]:
    """Read the option ``systems``.

    Raises:
        ValueError: no list, an empty one, or a name that is not in `SYSTEMS`.
    """
    if isinstance(systems, str) or not isinstance(systems, Sequence) or not systems:
        raise ValueError(f"option 'systems' must be a list of names with at least one entry; got {systems!r}")
    for name in systems:
        if name not in SYSTEMS:
            close = difflib.get_close_matches(str(name), list(SYSTEMS), n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"option 'systems': unknown {name!r}{hint}; known: {', '.join(SYSTEMS)}")
    return tuple(systems)


@dataclass(frozen=True)
class _Products:
    """Terms of one degree: rows ``target`` are rows ``left`` times rows ``right``."""

    target: slice
    left: NDArray[np.int64]
    right: NDArray[np.int64]


@dataclass(frozen=True)
class TermField:
    """Right-hand sides that are sums of `TERMS` with coefficients of their own for each of N systems.

    Attributes:
        coefficients: [3, K, N] of 1, x, y, z, the products in the order they are made, and the sines.
        products: how the products of two, three, ... coordinates are made.
        sines: coordinates whose sines are the last terms.
    """

    coefficients: FloatArray
    products: tuple[_Products, ...]
    sines: NDArray[np.int64]

    @classmethod
    def build(cls, coefficients: FloatArray) -> TermField:
        """Keep the terms that occur, of coefficients [3, number of `TERMS`, N]."""
        used = {TERMS[k] for k in np.flatnonzero(np.any(coefficients, axis=(0, 2)))}
        monomials = {term for term in used if set(term) <= set("xyz")}
        # Every product is made from that of its letters but the last, so these are needed as well.
        needed = {term[:end] for term in monomials for end in range(2, len(term) + 1)}
        terms = ["1", "x", "y", "z", *sorted(needed, key=lambda term: (len(term), term))]
        products = []
        for degree in sorted({len(term) for term in needed}):
            group = [k for k, term in enumerate(terms) if k > 3 and len(term) == degree]
            left = np.array([terms.index(terms[k][:-1]) for k in group])
            right = np.array([terms.index(terms[k][-1]) for k in group])
            products.append(_Products(slice(group[0], group[-1] + 1), left, right))
        sines = sorted(term for term in used if term.startswith("sin"))
        kept = [TERMS.index(term) for term in (*terms, *sines)]
        axes = np.array(["xyz".index(term[-1]) for term in sines], dtype=np.int64)
        return cls(np.ascontiguousarray(coefficients[:, kept]), tuple(products), axes)

    def __call__(self, state: FloatArray) -> FloatArray:
        """Rates [3, N] at states [3, N]."""
        values = np.empty((self.coefficients.shape[1], state.shape[1]))
        values[0] = 1.0
        values[1:4] = state
        for group in self.products:
            np.multiply(values[group.left], values[group.right], out=values[group.target])
        if len(self.sines):
            np.sin(state[self.sines], out=values[len(values) - len(self.sines) :])
        rates: FloatArray = np.einsum("dkn,kn->dn", self.coefficients, values)
        return rates

    def select(self, rows: NDArray[np.int64]) -> TermField:
        """The same for some of the N."""
        return TermField(np.ascontiguousarray(self.coefficients[:, :, rows]), self.products, self.sines)


@dataclass(frozen=True)
class Attractor:
    """What is known of a system at its published parameters.

    Attributes:
        points: [3, M] states on the attractor.
        middle: [3] their mean.
        size: root mean square distance from it.
        turn: 2 pi size over the root mean square speed, in the system's time.
    """

    points: FloatArray
    middle: FloatArray
    size: float
    turn: float


@lru_cache(maxsize=8)
def attractors(names: tuple[str, ...]) -> dict[str, Attractor]:
    """Sample the attractors of some systems at their published parameters.

    Paths of each system start near its known point with clocks that differ by up to a fifth, so
    that after the burn-in they are spread over the attractor.
    """
    systems = [SYSTEMS[name] for name in names]
    rng = np.random.default_rng(1994)
    field = TermField.build(np.concatenate([_published(name, _PATHS) for name in names], axis=2))
    start = np.repeat(np.array([system.start for system in systems]).T, _PATHS, axis=1)  # [3, S P]
    start = start + 0.01 * rng.standard_normal(start.shape)
    turns = _BURN_IN + _BETWEEN * np.arange(_SAMPLES)
    durations = np.repeat([system.period for system in systems], _PATHS) * turns[-1]
    durations = durations * rng.uniform(0.8, 1.2, size=len(durations))
    extent = np.maximum(1.0, np.linalg.norm(start, axis=0))
    paths = integrate(field, start, durations, turns / turns[-1], size=extent, tolerance=_BANK_TOLERANCE)
    result = {}
    for k, name in enumerate(names):
        rows = np.arange(k * _PATHS, (k + 1) * _PATHS)
        points = np.ascontiguousarray(paths[rows].reshape(-1, 3).T)  # [3, paths x samples]
        speed = TermField.build(_published(name, points.shape[1]))(points)
        middle = points.mean(axis=1)
        size = float(np.sqrt(((points - middle[:, None]) ** 2).sum(axis=0).mean()))
        turn = 2.0 * np.pi * size / float(np.sqrt((speed**2).sum(axis=0).mean()))
        if not np.isfinite(turn):
            raise FloatingPointError(f"chaotic system {name!r} leaves its attractor; check its table entry")
        result[name] = Attractor(points, middle, size, turn)
    return result


def _published(name: str, count: int) -> FloatArray:
    """Coefficients [3, number of terms, count] of a system at its published parameters."""
    system = SYSTEMS[name]
    values = {key: np.full(count, value) for key, value in system.parameters.items()}
    return system.coefficients(values, count)


@dataclass(frozen=True)
class _Windows:
    """Drawn windows before they are followed: starts, coefficients and the attractor of each."""

    start: FloatArray  # [3, N]
    coefficients: FloatArray  # [3, terms, N]
    published: FloatArray  # [3, terms, N]
    middle: FloatArray  # [3, N]
    size: FloatArray  # [N]
    turn: FloatArray  # [N]

    def select(self, rows: NDArray[np.int64]) -> _Windows:
        return _Windows(*(np.ascontiguousarray(part[..., rows]) for part in vars(self).values()))

    def with_published_parameters(self) -> _Windows:
        return _Windows(self.start, self.published, self.published, self.middle, self.size, self.turn)


def _draw_windows(
    rng: np.random.Generator, count: int, bank: dict[str, Attractor], spread: float
) -> _Windows:
    names = tuple(bank)
    kinds = rng.integers(len(names), size=count)
    picks = rng.integers(_PATHS * _SAMPLES, size=count)
    most = max(len(SYSTEMS[name].parameters) for name in names)
    changes = spread * rng.uniform(-1.0, 1.0, size=(most, count))
    start = np.empty((3, count))
    middle = np.empty((3, count))
    own = np.empty((3, len(TERMS), count))
    published = np.empty_like(own)
    for kind, name in enumerate(names):
        rows = np.flatnonzero(kinds == kind)
        system, attractor = SYSTEMS[name], bank[name]
        values = {
            key: value * (1.0 + system.give * changes[j, rows])
            for j, (key, value) in enumerate(system.parameters.items())
        }
        own[:, :, rows] = system.coefficients(values, len(rows))
        published[:, :, rows] = _published(name, len(rows))
        start[:, rows] = attractor.points[:, picks[rows]]
        middle[:, rows] = attractor.middle[:, None]
    sizes = np.array([bank[name].size for name in names])
    turns = np.array([bank[name].turn for name in names])
    return _Windows(start, own, published, middle, sizes[kinds], turns[kinds])


def _follow(draw: _Windows, turns: FloatArray, fractions: FloatArray, tolerance: float) -> FloatArray:
    """Paths [N, T, 3] in sizes of the attractor about its middle, after one turn that is left out."""
    field = TermField.build(draw.coefficients)
    once = np.ones(1)
    lead = integrate(
        field, draw.start, _LEAD * draw.turn, once, size=draw.size, tolerance=_BANK_TOLERANCE, reach=_REACH
    )
    start = np.ascontiguousarray(lead[:, 0].T)
    path = integrate(
        field, start, turns * draw.turn, fractions, size=draw.size, tolerance=tolerance, reach=_REACH
    )
    path -= draw.middle.T[:, None]
    path /= draw.size[:, None, None]
    return path
