"""Posterior mean of robot motions through waypoints.

Given the times at which waypoints are passed, a path is linear in the waypoints, whose posterior is then
Gaussian in closed form (box prior replaced by a Gaussian of equal mean and variance). The times are sampled
by sequential Monte Carlo with annealing (P. Del Moral, A. Doucet and A. Jasra, "Sequential Monte Carlo
samplers", J. R. Stat. Soc. B 68, 2006).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from examples.trajectory_3d.motions.registry import FloatArray
from examples.trajectory_3d.motions.robotic import draw_robot_paths
from examples.trajectory_3d.oracles.least_squares import BoolArray, IndexArray

SCOUTS = 3000  # prior draws of the times, tried on every window
PARTICLES = 64  # kept per window
STAGES = 20  # of annealing
MOVES = 3  # Metropolis moves per particle and stage
FINAL_MOVES = 6
MOVE_SCALES = (0.15, 0.04, 0.01, 0.003)  # in longest segments
ONWARD_SHARE = 0.3  # of moves that take all later waypoints along
FIRST_EFFECTIVE = 48.0  # scouts that carry the weight at the first temperature
WINDOWS_AT_ONCE = 8  # so that the matrices of their particles stay in the cache
SMALLEST_NOISE = 1e-5  # in waypoint standard deviations; less makes the systems singular in rounding
LEAST_MOVED = 0.01  # share of accepted moves below which a window's particles are stuck


@dataclass(frozen=True)
class WaypointPrior:
    """How the generator draws waypoints and times.

    Attributes:
        options: of `draw_robot_paths`.
        shortest, longest: segment, seconds.
        dwell: rest at inner waypoints, seconds.
        mean, variance: of a waypoint coordinate.
    """

    options: Mapping[str, Any]
    shortest: float
    longest: float
    dwell: float
    mean: float
    variance: float

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> WaypointPrior:
        """Read the options of the motion, complete."""
        low, high = options["box"]
        shortest, longest = options["segment_duration"]
        return cls(
            options=dict(options),
            shortest=float(shortest),
            longest=float(longest),
            dwell=float(options["dwell"]),
            mean=0.5 * (low + high),
            variance=max(high - low, 1e-9) ** 2 / 12.0,
        )


@dataclass(frozen=True)
class PassingTimes:
    """When waypoints are passed; the leading axes [...] are those of the particles.

    Attributes:
        arrivals: [..., W] seconds from the first context point; waypoints beyond the last are spaced on
            as if they existed.
        counts: [...] number of waypoints.
    """

    arrivals: FloatArray
    counts: IndexArray


class WaypointPosterior:
    """Samples waypoint times window by window and averages the paths."""

    def __init__(self, prior: WaypointPrior) -> None:
        self._prior = prior

    def continue_paths(
        self, points: FloatArray, noise: FloatArray, horizon: int, dt: float
    ) -> tuple[FloatArray, BoolArray]:
        """Posterior mean [B, H, 3] metres, and [B] whether the particles still moved at the end.

        Args:
            points: context, [B, L, 3].
            noise: standard deviation per coordinate, [B].
            horizon: H; the generator is taken to cut windows of L + H points.
            dt: seconds.
        """
        times = np.arange(points.shape[1] + horizon) * dt
        scouts = self._draw(float(times[-1]))
        noise = np.maximum(noise, SMALLEST_NOISE * np.sqrt(self._prior.variance))
        mean = np.empty((len(points), horizon, 3))
        trusted = np.empty(len(points), dtype=np.bool_)
        for first in range(0, len(points), WINDOWS_AT_ONCE):
            rows = slice(first, first + WINDOWS_AT_ONCE)
            sampler = _Sampler(self._prior, points[rows] - self._prior.mean, noise[rows], times)
            mean[rows], trusted[rows] = sampler.run(scouts)
        return mean + self._prior.mean, trusted

    def _draw(self, span: float) -> PassingTimes:
        """The generator's own times, [SCOUTS], seen from the first point of windows of ``span`` seconds."""
        rng = np.random.default_rng(0)
        options = {key: self._prior.options[key] for key in ("waypoints", "segment_duration", "dwell", "box")}
        paths = draw_robot_paths(rng, SCOUTS, **options)
        start = rng.uniform(size=SCOUTS) * np.maximum(paths.total_duration - span, 0.0)
        arrivals = np.zeros((SCOUTS, paths.durations.shape[1] + 1))
        np.cumsum(paths.durations + self._prior.dwell, axis=1, out=arrivals[:, 1:])
        arrivals[:, 1:] -= self._prior.dwell  # waypoint j is reached before the rest at it
        return PassingTimes(arrivals - start[:, None], paths.counts)


class _Sampler:
    """One group of windows: points [n, L, 3] about the middle of the box, noise [n]."""

    def __init__(
        self, prior: WaypointPrior, points: FloatArray, noise: FloatArray, times: FloatArray
    ) -> None:
        self._prior = prior
        self._points = points
        self._noise = noise
        self._length = points.shape[1]
        self._times = times
        self._square = np.square(points).sum(axis=(1, 2))  # [n]
        self._rng = np.random.default_rng(1)

    def run(self, scouts: PassingTimes) -> tuple[FloatArray, BoolArray]:
        """Anneal from the scouts to the posterior."""
        evidence = self._evidence_of_scouts(scouts)  # [n, S]
        power = _first_power(evidence)  # [n]
        below = evidence - evidence.max(axis=1, keepdims=True)
        chosen = _resample(np.exp(power[:, None] * below), float(self._rng.uniform()), PARTICLES)
        particles = PassingTimes(scouts.arrivals[chosen], scouts.counts[chosen])  # [n, M, W], [n, M]
        current = np.take_along_axis(evidence, chosen, axis=1)
        for stage in range(1, STAGES + 1):
            target = power ** (1.0 - stage / STAGES)  # geometric from the first power to 1
            previous = power ** (1.0 - (stage - 1) / STAGES)
            gain = (target - previous)[:, None] * current
            weights = np.exp(gain - gain.max(axis=1, keepdims=True))
            kept = _resample(weights, float(self._rng.uniform()), PARTICLES)
            particles = _take(particles, kept)
            current = np.take_along_axis(current, kept, axis=1)
            moved = np.zeros(len(current))
            number = MOVES if stage < STAGES else FINAL_MOVES
            for _ in range(number):
                particles, current, accepted = self._move(particles, current, target)
                moved += accepted / number
        return self._mean(particles), moved >= LEAST_MOVED

    def _evidence_of_scouts(self, scouts: PassingTimes) -> FloatArray:
        """Log evidence [n, S], up to a constant per window."""
        design = waypoint_design(scouts, self._times[: self._length], self._prior.dwell)  # [S, L, W]
        gram = np.swapaxes(design, 1, 2) @ design
        flat = np.moveaxis(self._points, 1, 0).reshape(self._length, -1)  # [L, 3 n]
        product = (np.swapaxes(design, 1, 2) @ flat).reshape(*gram.shape[:2], -1, 3)  # [S, W, n, 3]
        product = np.moveaxis(product, 2, 0)  # [n, S, W, 3]
        return self._log_evidence(np.broadcast_to(gram, (len(flat[0]) // 3, *gram.shape)), product)

    def _log_evidence(self, gram: FloatArray, product: FloatArray) -> FloatArray:
        """Log evidence [n, M] from X^T X [n, M, W, W] and X^T y [n, M, W, 3], waypoints integrated out."""
        square = (self._noise**2)[:, None]  # [n, 1]
        ridge = square / self._prior.variance
        system = gram + ridge[:, :, None, None] * np.eye(gram.shape[-1])
        # With the Cholesky factor C of the system, b^T system^-1 b is the squared length of C^-1 b.
        factor = np.linalg.cholesky(system)
        explained = np.square(np.linalg.solve(factor, product)).sum(axis=(2, 3))
        log_det = 2.0 * np.log(np.diagonal(factor, axis1=2, axis2=3)).sum(axis=2)
        log_det -= gram.shape[-1] * np.log(ridge)
        evidence: FloatArray = (explained - self._square[:, None]) / (2.0 * square) - 1.5 * log_det
        return evidence

    def _particle_evidence(self, particles: PassingTimes) -> FloatArray:
        design = waypoint_design(particles, self._times[: self._length], self._prior.dwell)  # [n, M, L, W]
        turned = np.swapaxes(design, 2, 3)
        return self._log_evidence(turned @ design, turned @ self._points[:, None])

    def _move(
        self, particles: PassingTimes, current: FloatArray, power: FloatArray
    ) -> tuple[PassingTimes, FloatArray, FloatArray]:
        """One Metropolis move of a knot, or of all after it, for every particle; share accepted [n].

        The random numbers are the same for every window.
        """
        count, waypoints = current.shape[1], particles.arrivals.shape[2]
        scale = self._rng.choice(MOVE_SCALES, size=count) * self._prior.longest
        knot = self._rng.integers(waypoints, size=count)
        index = np.arange(waypoints)
        onward = self._rng.random((count, 1)) < ONWARD_SHARE
        ahead = -np.subtract.outer(knot, index)  # [M, W]
        affected = (ahead == 0) | ((ahead > 0) & onward)
        shift = (scale * self._rng.standard_normal(count))[:, None] * affected
        trial = PassingTimes(particles.arrivals + shift, particles.counts)
        before, after = self._log_prior(particles), self._log_prior(trial)
        possible = np.isfinite(after)
        evidence = np.where(possible, self._particle_evidence(trial), -np.inf)
        with np.errstate(invalid="ignore"):
            ratio = np.where(possible, power[:, None] * (evidence - current) + after - before, -np.inf)
        accept = np.log(self._rng.random(count)) < ratio
        arrivals = np.where(accept[:, :, None], trial.arrivals, particles.arrivals)
        return (
            PassingTimes(arrivals, particles.counts),
            np.where(accept, evidence, current),
            accept.mean(axis=1),
        )

    def _log_prior(self, particles: PassingTimes) -> FloatArray:
        """Log density of the times up to a constant, [n, M]; -inf where the generator never draws them.

        Durations are uniform, the start uniform in the time by which the motion outlasts the window, and
        zero where it does not.
        """
        arrivals, prior = particles.arrivals, self._prior
        durations = np.diff(arrivals, axis=2)
        durations[:, :, 1:] -= prior.dwell  # the motion does not rest before it begins
        slack = 1e-9
        inside = ((durations >= prior.shortest - slack) & (durations <= prior.longest + slack)).all(axis=2)
        last = np.take_along_axis(arrivals, particles.counts[:, :, None] - 1, axis=2)[:, :, 0]
        first = arrivals[:, :, 0]
        room = last - first - float(self._times[-1])
        cut = (first <= slack) & (room + first >= -slack)  # a window inside a longer motion
        whole = np.abs(first) <= slack  # a window that holds the whole motion
        density = np.where(room > 0.0, -np.log(np.maximum(room, 1e-12)), 0.0)
        return np.where(inside & np.where(room > 0.0, cut, whole), density, -np.inf)

    def _mean(self, particles: PassingTimes) -> FloatArray:
        """Posterior mean [n, H, 3] of the waypoints' paths, averaged over the particles."""
        design = waypoint_design(particles, self._times, self._prior.dwell)  # [n, M, T, W]
        past = design[:, :, : self._length]
        turned = np.swapaxes(past, 2, 3)
        ridge = (self._noise**2 / self._prior.variance)[:, None, None, None]
        system = turned @ past + ridge * np.eye(design.shape[3])
        waypoints = np.linalg.solve(system, turned @ self._points[:, None])  # [n, M, W, 3]
        mean: FloatArray = (design[:, :, self._length :] @ waypoints).mean(axis=1)
        return mean


def waypoint_design(particles: PassingTimes, times: FloatArray, dwell: float) -> FloatArray:
    """The matrix [..., T, W] that turns waypoints into positions at times [T].

    Cubic Hermite weights of the segment under way, with the velocities of `motions.robotic.RobotPaths`: zero
    at the ends and where there are rests, else the chord of the neighbours. Before the first waypoint the
    path is that point, after the last one the last.
    """
    arrivals, counts = particles.arrivals, particles.counts
    width = arrivals.shape[-1]
    index = np.arange(width)
    departures = arrivals[..., :-1] + np.where(index[:-1] > 0, dwell, 0.0)  # [..., S]
    open_ends = np.where(index[:-1] < counts[..., None] - 1, departures, np.inf)
    segment = np.zeros((*counts.shape, len(times)), dtype=np.int64)  # [..., T]
    for j in range(1, width - 1):
        segment += times >= open_ends[..., j, None]
    duration = np.take_along_axis(np.maximum(arrivals[..., 1:] - departures, 1e-9), segment, axis=-1)
    u = np.clip((times - np.take_along_axis(departures, segment, axis=-1)) / duration, 0.0, 1.0)
    rise = u * u * (3.0 - 2.0 * u)
    if dwell > 0.0:
        return _scatter(width, segment, (0.0 * u, 1.0 - rise, rise, 0.0 * u))
    # v_j = (P_(j+1) - P_(j-1)) / span_j at inner waypoints
    inverse_span = np.zeros(arrivals.shape)
    inner = index[1:-1] < counts[..., None] - 1
    chord = np.maximum(arrivals[..., 2:] - arrivals[..., :-2], 1e-9)
    inverse_span[..., 1:-1] = np.where(inner, 1.0 / chord, 0.0)
    leaving = duration * u * (1.0 - u) ** 2 * np.take_along_axis(inverse_span, segment, axis=-1)
    arriving = -duration * u * u * (1.0 - u) * np.take_along_axis(inverse_span, segment + 1, axis=-1)
    return _scatter(width, segment, (-leaving, 1.0 - rise - arriving, rise + leaving, arriving))


def _scatter(width: int, segment: IndexArray, weights: Sequence[FloatArray]) -> FloatArray:
    """A matrix [..., T, W] with the four weights [..., T] of waypoints segment - 1 to segment + 2."""
    padded = np.zeros((*segment.shape, width + 2))  # neighbours of the ends fall on the padding
    for step, weight in enumerate(weights):
        np.put_along_axis(padded, (segment + step)[..., None], weight[..., None], axis=-1)
    return padded[..., 1:-1]


def _first_power(evidence: FloatArray) -> FloatArray:
    """The power of the evidence, [n] in (0, 1], at which about `FIRST_EFFECTIVE` scouts carry the weight."""
    below = evidence - evidence.max(axis=1, keepdims=True)
    low, high = np.full(len(evidence), -25.0), np.zeros(len(evidence))
    for _ in range(30):
        middle = 0.5 * (low + high)
        weights = np.exp(np.exp(middle)[:, None] * below)
        effective = weights.sum(axis=1) ** 2 / np.square(weights).sum(axis=1)
        enough = effective >= FIRST_EFFECTIVE
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    power: FloatArray = np.exp(low)
    return power


def _resample(weights: FloatArray, offset: float, number: int) -> IndexArray:
    """Systematic resampling: [n, number] indices into weights [n, S]."""
    total = np.cumsum(weights, axis=1)
    total /= total[:, -1:]
    marks = (np.arange(number) + offset) / number
    chosen = np.stack([np.searchsorted(row, marks) for row in total])
    indices: IndexArray = np.minimum(chosen, weights.shape[1] - 1)
    return indices


def _take(particles: PassingTimes, chosen: IndexArray) -> PassingTimes:
    return PassingTimes(
        np.take_along_axis(particles.arrivals, chosen[:, :, None], axis=1),
        np.take_along_axis(particles.counts, chosen, axis=1),
    )
