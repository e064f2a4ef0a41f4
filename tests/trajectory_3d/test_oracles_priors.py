"""Densities and designs of the posterior oracles against the generators they stand for."""

import numpy as np
import pytest

from examples.trajectory_3d.motions import motion_options
from examples.trajectory_3d.motions.draw import random_frames
from examples.trajectory_3d.motions.orbital import eccentric_anomaly
from examples.trajectory_3d.motions.robotic import draw_robot_paths
from examples.trajectory_3d.oracles.helical import KnownHelix
from examples.trajectory_3d.oracles.importance import Observed, posterior_mean
from examples.trajectory_3d.oracles.least_squares import Fits
from examples.trajectory_3d.oracles.lissajous import KnownSwings
from examples.trajectory_3d.oracles.orbital import KnownOrbit
from examples.trajectory_3d.oracles.robotic_posterior import PassingTimes, waypoint_design

MU = 67.7


def orbit_state(elements):
    """Position and velocity from a, e, cos i, node, periapsis, mean anomaly, by the textbook."""
    a, e, cos_i, node, argument, mean = elements
    anomaly = float(eccentric_anomaly(np.array([mean]), np.array([e]))[0])
    rate = np.sqrt(MU / a**3) / (1 - e * np.cos(anomaly))
    root = np.sqrt(1 - e * e)
    plane = np.array([a * (np.cos(anomaly) - e), a * root * np.sin(anomaly), 0.0])
    speed = rate * np.array([-a * np.sin(anomaly), a * root * np.cos(anomaly), 0.0])

    def about_z(angle):
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    sin_i = np.sqrt(1 - cos_i**2)
    tilt = np.array([[1, 0, 0], [0, cos_i, -sin_i], [0, sin_i, cos_i]])
    frame = about_z(node) @ tilt @ about_z(argument)
    return np.concatenate([frame @ plane, frame @ speed])


def test_orbit_density_is_that_of_uniform_elements():
    """The density of the state is one over the volume that a change of elements sweeps."""
    rng = np.random.default_rng(0)
    family = KnownOrbit(motion_options("orbital"))
    offsets = []
    for _ in range(8):
        elements = np.array(
            [
                rng.uniform(2, 5),
                rng.uniform(0.1, 0.8),
                rng.uniform(-0.9, 0.9),
                *rng.uniform(0, 6, 3),
            ]
        )
        steps = 1e-5 * np.eye(6)
        slopes = [(orbit_state(elements + s) - orbit_state(elements - s)) / 2e-5 for s in steps]
        _, log_volume = np.linalg.slogdet(np.array(slopes))
        offsets.append(float(family.log_prior(orbit_state(elements)[None])[0]) + log_volume)
    assert np.ptp(offsets) < 1e-4
    too_wide = orbit_state(np.array([5.5, 0.3, 0.1, 1.0, 1.0, 1.0]))
    assert family.log_prior(too_wide[None])[0] == -np.inf


def test_swing_density_is_that_of_the_generator():
    """Share of generated frequencies in a box against the density integrated over it."""
    family = KnownSwings(motion_options("lissajous"))
    rng = np.random.default_rng(0)
    count = 400_000
    ratios = rng.uniform(1, 3, (count, 3))
    ratios[np.arange(count), rng.integers(3, size=count)] = 1.0
    drawn = rng.uniform(0.2, 0.5, (count, 1)) * ratios

    def mass(low, high):
        inside = rng.uniform(low, high, (200_000, 3))
        swings = np.concatenate([np.full((len(inside), 6), np.sqrt(2.0)), 2 * np.pi * inside], axis=1)
        return np.exp(family.log_prior(swings)).mean() * np.prod(np.subtract(high, low))

    boxes = [((0.2, 0.4, 0.4), (0.4, 0.9, 0.9)), ((0.5, 0.3, 0.3), (1.2, 0.5, 0.8))]
    shares = [((drawn >= low) & (drawn <= high)).all(axis=1).mean() for low, high in boxes]
    masses = [mass(*box) for box in boxes]
    assert masses[0] / masses[1] == pytest.approx(shares[0] / shares[1], rel=0.05)


def test_helix_rotations_are_weighed_uniformly():
    """The mean turn of uniform rotations is 126.5 degrees; weighing rotation vectors must give the same."""
    rng = np.random.default_rng(0)
    family = KnownHelix(motion_options("helical"))
    vectors = rng.uniform(-np.pi, np.pi, (200_000, 3))
    vectors = vectors[np.linalg.norm(vectors, axis=1) < np.pi]
    rest = np.tile([2.0, 2.5, 0.25, 0.0], (len(vectors), 1))
    weights = np.exp(family.log_prior(np.concatenate([vectors, rest], axis=1)))
    turn = np.average(np.linalg.norm(vectors, axis=1), weights=weights)
    frames = random_frames(rng, 100_000)
    drawn = np.arccos((np.trace(frames, axis1=1, axis2=2) - 1) / 2).mean()
    assert turn == pytest.approx(drawn, rel=0.01)


@pytest.mark.parametrize("dwell", [0.0, 0.3])
def test_waypoint_design_reproduces_the_generator(dwell):
    paths = draw_robot_paths(np.random.default_rng(1), 40, dwell=dwell)
    arrivals = np.zeros((40, paths.durations.shape[1] + 1))
    for j in range(paths.durations.shape[1]):
        leave = arrivals[:, j] + (dwell if j else 0.0)
        arrivals[:, j + 1] = leave + paths.durations[:, j]
    times = np.arange(300) * 0.02 - 0.1
    design = waypoint_design(PassingTimes(arrivals, paths.counts), times, dwell)
    expected = paths.position(np.broadcast_to(times, (40, 300)))
    assert np.abs(design @ paths.waypoints - expected).max() < 1e-12


class Lines:
    """x(t) = s t with Gaussian slopes of standard deviation 0.5."""

    def path(self, parameters, times):
        return times[:, None] * parameters[:, None]

    def log_prior(self, parameters):
        return -0.5 * np.square(parameters).sum(axis=1) / 0.25


def test_importance_sampling_finds_a_known_posterior_mean():
    """The posterior of a slope under a Gaussian prior is known in closed form."""
    rng = np.random.default_rng(2)
    past, future = np.linspace(0, 1, 12), np.array([2.0, 3.0])
    noise, count = 0.3, 5
    points = Lines().path(rng.standard_normal((count, 3)), past)
    points += noise * rng.standard_normal(points.shape)
    normal = np.tile(np.square(past).sum() * np.eye(3), (count, 1, 1))
    fit = np.einsum("nlc,l->nc", points, past) / np.square(past).sum()
    fits = Fits(fit, np.zeros(count), np.ones(count, dtype=bool), normal)
    observed = Observed(points, np.full(count, noise), past)
    mean, trusted = posterior_mean(Lines(), observed, fits, future, 4000)
    precision = np.square(past).sum() / noise**2
    slope = fit * precision / (precision + 1 / 0.25)
    assert trusted.all()
    assert np.abs(mean - slope[:, None, :] * future[:, None]).max() < 0.03
