"""What all motion types share: the registry, shapes, determinism and option errors."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.motions import (
    check_options,
    get_motion,
    motion_names,
    motion_options,
    register_motion,
)
from examples.trajectory_3d.motions.draw import along_frame, random_frames

FIVE = ("helical", "orbital", "lissajous", "lorenz", "robotic")
WIDE = ("harmonics", "splines", "oscillators", "vector_fields", "ballistic", "chaotic", "legs")
RANDOM = ("random_forces",)  # a denser grid meets other forces
TYPES = (*FIVE, *WIDE, *RANDOM)
TIMES = np.arange(40) / 50.0


def test_all_types_are_registered():
    assert set(TYPES) <= set(motion_names())


@pytest.mark.parametrize("name", TYPES)
def test_shape_and_same_seed_same_paths(name):
    first = get_motion(name)(np.random.default_rng(3), 7, TIMES)
    second = get_motion(name)(np.random.default_rng(3), 7, TIMES)
    other = get_motion(name)(np.random.default_rng(4), 7, TIMES)
    assert first.shape == (7, 40, 3)
    assert first.dtype == np.float64
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize("name", [*FIVE, *WIDE])
def test_denser_sampling_gives_the_same_motion(name):
    coarse = get_motion(name)(np.random.default_rng(5), 6, np.arange(41) / 25.0)
    fine = get_motion(name)(np.random.default_rng(5), 6, np.arange(161) / 100.0)
    np.testing.assert_allclose(fine[:, ::4], coarse, atol=1e-9 if name in WIDE else 1e-8)


@pytest.mark.parametrize("name", TYPES)
def test_windows_of_one_draw_differ(name):
    paths = get_motion(name)(np.random.default_rng(6), 50, TIMES)
    distance = np.abs(paths[:, None] - paths[None]).max(axis=(2, 3))
    assert distance[~np.eye(50, dtype=bool)].min() > 1e-3


@pytest.mark.parametrize("name", TYPES)
def test_every_documented_option_is_keyword_only_with_default(name):
    function = get_motion(name)
    options = motion_options(name)
    assert options
    assert inspect.Parameter.empty not in options.values()
    documentation = inspect.getdoc(function)
    for option in options:
        assert f"{option}:" in documentation


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("bad", [(3.0, 1.0), (1.0,), "wide", (0.0, float("nan")), None])
def test_bad_ranges_are_refused_by_name(name, bad):
    ranges = [key for key, value in motion_options(name).items() if isinstance(value, tuple)]
    for option in ranges:
        with pytest.raises(ValueError, match=option):
            get_motion(name)(np.random.default_rng(0), 2, TIMES, **{option: bad})


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("helical", "duration", 0.0),
        ("helical", "any_axis", 1),
        ("orbital", "mu", -1.0),
        ("orbital", "eccentricity", (0.0, 1.0)),
        ("lissajous", "integer_ratios", "yes"),
        ("lorenz", "scale", float("inf")),
        ("lorenz", "tolerance", 0.5),
        ("robotic", "dwell", -0.1),
        ("robotic", "waypoints", (2.5, 4)),
        ("robotic", "waypoints", (1, 4)),
    ],
)
def test_bad_values_are_refused_by_name(name, option, value):
    with pytest.raises(ValueError, match=option):
        get_motion(name)(np.random.default_rng(0), 2, TIMES, **{option: value})


def test_unknown_type_names_the_nearest():
    with pytest.raises(ValueError, match=r"'helicall' \(did you mean 'helical'\?\).*known types: .*orbital"):
        get_motion("helicall")


def test_unknown_option_names_the_nearest():
    with pytest.raises(ValueError, match=r"no option 'radios' \(did you mean 'radius'\?\)"):
        check_options("helical", ["pitch", "radios"])


def test_a_name_registers_once():
    with pytest.raises(ValueError, match="'orbital' is already registered by .*orbital"):

        @register_motion("orbital")
        def again(rng, count, times):
            return np.zeros((count, len(times), 3))


def test_a_wrong_signature_is_refused():
    with pytest.raises(TypeError, match="must take"):

        @register_motion("wrong_signature")
        def wrong(rng, times, count):
            return np.zeros((count, len(times), 3))

    assert "wrong_signature" not in motion_names()


@given(seed=st.integers(0, 2**32), count=st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_frames_are_right_handed_and_orthonormal(seed, count):
    frames = random_frames(np.random.default_rng(seed), count)
    np.testing.assert_allclose(
        frames @ frames.transpose(0, 2, 1), np.tile(np.eye(3), (count, 1, 1)), atol=1e-14
    )
    np.testing.assert_allclose(np.linalg.det(frames), 1.0, atol=1e-13)


def test_frames_point_everywhere_alike():
    frames = random_frames(np.random.default_rng(0), 20_000)
    # Each coordinate of a uniform direction is uniform on [-1, 1]: mean 0, mean square 1/3.
    np.testing.assert_allclose(frames.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose((frames**2).mean(axis=0), 1 / 3, atol=0.02)


def test_along_frame_is_the_matrix_product():
    rng = np.random.default_rng(0)
    parts, frames = rng.normal(size=(3, 4, 9)), rng.normal(size=(4, 3, 3))
    np.testing.assert_allclose(
        along_frame(tuple(parts), frames), np.einsum("knt,nkj->ntj", parts, frames), atol=1e-14
    )
