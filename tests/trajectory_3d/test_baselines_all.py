"""What every classical forecaster keeps to: shapes, symmetries, finiteness, names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from examples.trajectory_3d.baselines import (
    BASELINE_NAMES,
    DEFAULT_BASELINES,
    LastValue,
    baseline_names,
    make_baselines,
    register_baseline,
    standard_baselines,
)

ALL = make_baselines(["all"])
everyone = pytest.mark.parametrize("forecaster", ALL, ids=lambda f: f.name)
FINE = 2.0**-20  # positions on this grid move by whole numbers without rounding


def random_paths(count, length, seed=0):
    """Smooth noisy paths on a grid, [count, length, 3]."""
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(count, length, 3)), axis=1), axis=1) * 0.05
    return np.round((smooth + 0.01 * rng.normal(size=smooth.shape)) / FINE) * FINE


def test_names_are_the_registered_ones():
    assert tuple(forecaster.name for forecaster in ALL) == BASELINE_NAMES == baseline_names()
    assert len(set(BASELINE_NAMES)) == len(BASELINE_NAMES) == 11
    assert tuple(f.name for f in standard_baselines()) == DEFAULT_BASELINES == BASELINE_NAMES[:3]


@everyone
@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 16, 33])
@pytest.mark.parametrize("horizon", [1, 70])
def test_any_length_and_horizon(forecaster, length, horizon):
    context = random_paths(3, length, seed=length)
    forecast = forecaster.forecast(context.astype(np.float32), horizon)
    assert forecast.mean.shape == (3, horizon, 3)
    assert forecast.mean.dtype == np.float64
    for values in (forecast.mean, *(forecast.quantiles or {}).values()):
        assert np.isfinite(values).all()


@everyone
def test_long_contexts(forecaster):
    path = random_paths(1, 512 + 8, seed=1)
    forecast = forecaster.forecast(path[:, :512], 8).mean
    still = np.linalg.norm(path[:, 511:512] - path[:, 512:], axis=-1).mean()
    error = np.linalg.norm(forecast - path[:, 512:], axis=-1).mean()
    assert error <= still  # standing still is the worst anybody does on a path that keeps its speed


@everyone
@pytest.mark.parametrize("length", [1, 2, 5, 64])
@pytest.mark.parametrize("place", [0.0, 1e7])
def test_a_body_at_rest_stays(forecaster, length, place):
    context = np.full((2, length, 3), place)
    np.testing.assert_array_equal(forecaster.forecast(context, 20).mean, np.full((2, 20, 3), place))


@everyone
def test_no_digit_is_lost_far_from_the_origin(forecaster):
    context = random_paths(4, 48, seed=2)
    near = forecaster.forecast(context, 12).mean
    far = forecaster.forecast(context + 1e7, 12).mean
    np.testing.assert_allclose(far - 1e7, near, atol=1e-8)


@pytest.mark.parametrize("forecaster", ALL, ids=lambda f: f.name)
@settings(max_examples=4, deadline=None)
@given(
    shift=st.tuples(*[st.integers(-(2**24), 2**24)] * 3),
    power=st.integers(-30, 30),
    length=st.integers(1, 32),
    seed=st.integers(0, 1000),
)
def test_moved_and_scaled_paths_give_the_moved_and_scaled_forecast(forecaster, shift, power, length, seed):
    """To the rounding of the result: the shift and the scale are exact, so the same settings are chosen."""
    context = random_paths(2, length, seed)
    expected = forecaster.forecast(context, 5).mean
    moved = forecaster.forecast(context + np.array(shift, dtype=float), 5).mean
    np.testing.assert_allclose(moved, expected + np.array(shift, dtype=float), rtol=1e-14, atol=1e-12)
    scaled = forecaster.forecast(context * 2.0**power, 5).mean
    np.testing.assert_allclose(scaled, expected * 2.0**power, rtol=1e-14, atol=1e-14 * 2.0**power)


@everyone
def test_turned_and_mirrored_paths_give_the_turned_and_mirrored_forecast(forecaster):
    context = random_paths(6, 40, seed=5)
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix() * -1.0  # a turn and a reflection
    expected = forecaster.forecast(context, 8).mean @ turn.T
    np.testing.assert_allclose(forecaster.forecast(context @ turn.T, 8).mean, expected, rtol=1e-5, atol=1e-5)


@everyone
def test_windows_do_not_influence_each_other(forecaster, monkeypatch):
    context = random_paths(4, 30, seed=8)
    together = forecaster.forecast(context, 6).mean
    monkeypatch.setattr("examples.trajectory_3d.baselines.backtest.CHUNK_POINTS", 60)
    np.testing.assert_allclose(forecaster.forecast(context, 6).mean, together, rtol=1e-9, atol=1e-9)
    alone = np.concatenate([forecaster.forecast(window[None], 6).mean for window in context])
    np.testing.assert_allclose(alone, together, rtol=1e-9, atol=1e-9)


@everyone
def test_an_empty_batch_gives_an_empty_forecast(forecaster):
    assert forecaster.forecast(np.zeros((0, 10, 3)), 4).mean.shape == (0, 4, 3)


@everyone
def test_errors_say_what_is_wrong(forecaster):
    with pytest.raises(ValueError, match=r"context must have shape \[B, L, 3\].*got \[5, 3\]"):
        forecaster.forecast(np.zeros((5, 3)), 2)
    with pytest.raises(ValueError, match="horizon must be at least 1 step, got 0"):
        forecaster.forecast(np.zeros((1, 5, 3)), 0)
    broken = np.zeros((4, 5, 3))
    broken[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="not finite in window 2 at point 1"):
        forecaster.forecast(broken, 3)


def test_baselines_by_name():
    made = make_baselines(["Ridge_Autoregression", "last-value", "next-generation-reservoir", "last value"])
    assert [f.name for f in made] == ["ridge autoregression", "last value", "next-generation reservoir"]
    assert make_baselines(["none"]) == make_baselines([]) == ()


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="unknown baseline 'constant speed'.*did you mean 'constant"):
        make_baselines(["constant_speed"])
    with pytest.raises(ValueError, match="valid: .*ridge autoregression"):
        make_baselines(["zzz"])
    with pytest.raises(ValueError, match="'all' stands alone"):
        make_baselines(["last value", "all"])


def test_a_registered_baseline_is_listed_and_made(monkeypatch):
    monkeypatch.setattr(
        "examples.trajectory_3d.baselines.registry._FACTORIES", dict(zip(BASELINE_NAMES, ALL, strict=True))
    )

    @register_baseline("my forecaster")
    def mine():
        return LastValue("my forecaster")

    assert baseline_names() == (*BASELINE_NAMES, "my forecaster")
    assert make_baselines(["my-forecaster"]) == (mine(),)
    for taken in ("my_forecaster", "Last-Value", "all", "none"):
        with pytest.raises(ValueError, match="is taken"):
            register_baseline(taken)(mine)
