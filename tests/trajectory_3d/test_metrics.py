"""Metrics against motions whose errors are known by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from examples.trajectory_3d import metrics
from examples.trajectory_3d.metrics import METRICS, compute_metrics, metrics_per_window

DT = 0.02
RNG = np.random.default_rng(7)


def line(velocity, horizon=16, dt=DT, origin=(0.0, 0.0, 0.0)):
    times = dt * np.arange(1, horizon + 1)[:, None]
    return np.asarray(origin) + times * np.asarray(velocity)


def circle(radius, omega, horizon=400, dt=1e-3):
    angle = omega * dt * np.arange(1, horizon + 1)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros_like(angle)], axis=-1)


def test_constant_offset_is_position_error_only():
    truth = circle(1.0, 3.0)
    shifted = truth + np.array([0.3, 0.0, -0.4])
    values = compute_metrics(shifted, truth, None, 1e-3)
    assert values["position_error"] == pytest.approx(0.5)
    assert values["endpoint_error"] == pytest.approx(0.5)
    assert values["mse"] == pytest.approx(0.25 / 3)
    assert values["mae"] == pytest.approx(0.7 / 3)
    for name in ("velocity_error", "acceleration_error", "trajectory_deviation"):
        assert values[name] == pytest.approx(0.0, abs=1e-8), name
    assert values["energy_conservation"] == pytest.approx(1.0)


def test_known_start_charges_the_jump_at_the_seam():
    truth = line((1.0, 0.0, 0.0), horizon=4)
    shifted = truth + np.array([0.0, 0.1, 0.0])
    start = np.zeros(3)
    # The error jumps from 0 to 0.1 m in the first of four steps and stays.
    assert metrics.velocity_error(shifted, truth, DT, start) == pytest.approx(0.1 / DT / 4)
    assert metrics.acceleration_error(shifted, truth, DT, start) == pytest.approx(0.1 / DT**2 / 3)
    assert metrics.trajectory_deviation(shifted, truth, start) == pytest.approx(np.hypot(DT, 0.1) - DT)


def test_wrong_velocity_on_a_straight_line():
    truth, guess = line((3.0, 0.0, 4.0)), line((3.0, 2.0, 4.0))
    assert metrics.velocity_error(guess, truth, DT) == pytest.approx(2.0)
    assert metrics.acceleration_error(guess, truth, DT) == pytest.approx(0.0, abs=1e-9)
    assert metrics.position_error(guess, truth) == pytest.approx(2.0 * DT * 17 / 2)  # mean of 1..16 steps
    assert metrics.endpoint_error(guess, truth) == pytest.approx(2.0 * DT * 16)
    # 15 steps of speed sqrt(29) against 15 of speed 5
    assert metrics.trajectory_deviation(guess, truth) == pytest.approx(15 * DT * (np.sqrt(29) - 5))
    assert metrics.energy_conservation(guess, truth, DT) == pytest.approx(1 - 4 / (29 + 25))


def test_constant_acceleration_against_its_tangent():
    times = DT * np.arange(1, 21)[:, None]
    acceleration = np.array([1.0, -2.0, 2.0])  # length 3
    truth = 0.5 * acceleration * times**2
    still = np.zeros_like(truth)
    assert metrics.acceleration_error(still, truth, DT) == pytest.approx(3.0)
    # The mean velocity between two samples is the velocity in the middle of the step.
    middle = DT * (np.arange(1, 20) + 0.5)
    assert metrics.velocity_error(still, truth, DT) == pytest.approx(3.0 * middle.mean())


def test_circle_has_its_speed_acceleration_and_jerk():
    radius, omega = 2.0, 3.0
    truth, still = circle(radius, omega), np.zeros((400, 3))
    assert metrics.velocity_error(still, truth, 1e-3) == pytest.approx(radius * omega, rel=1e-5)
    assert metrics.acceleration_error(still, truth, 1e-3) == pytest.approx(radius * omega**2, rel=1e-5)
    assert metrics.smoothness(truth, 1e-3) == pytest.approx(1 / (1 + radius * omega**3), rel=1e-5)
    assert metrics.trajectory_deviation(still, truth) == pytest.approx(radius * omega * 0.399, rel=1e-5)


def test_helix_length_is_that_of_the_unrolled_helix():
    angle = 2 * np.pi * np.linspace(0.0, 2.0, 4001)  # two turns
    helix = np.stack([1.5 * np.cos(angle), 1.5 * np.sin(angle), 0.7 * angle / (2 * np.pi)], axis=-1)
    expected = 2 * np.hypot(2 * np.pi * 1.5, 0.7)
    assert metrics.trajectory_deviation(np.zeros_like(helix), helix) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.1, 1.0, np.pi / 2, np.pi])
def test_temporal_consistency_of_a_steady_turn(angle):
    heading = angle * np.arange(12)
    steps = 0.3 * np.stack([np.cos(heading), np.sin(heading), np.zeros_like(heading)], axis=-1)
    path = np.cumsum(steps, axis=0)
    assert metrics.temporal_consistency(path) == pytest.approx(1 - np.sin(angle / 2))


def test_standing_still_is_consistent_smooth_and_without_energy():
    still, moving = np.ones((8, 3)), line((1.0, 0.0, 0.0), horizon=8)
    assert metrics.temporal_consistency(still) == 1.0
    assert metrics.smoothness(still, DT) == 1.0
    assert metrics.energy_conservation(still, moving, DT) == 0.0
    assert metrics.energy_conservation(still, still, DT) == 1.0


def test_energy_ignores_direction_and_compares_squared_speed():
    east, north = line((2.0, 0.0, 0.0)), line((0.0, 2.0, 0.0))
    assert metrics.energy_conservation(east, north, DT) == pytest.approx(1.0)
    assert metrics.energy_conservation(2 * east, east, DT) == pytest.approx(1 - 3 / 5)


def test_r2_is_zero_for_the_mean_position_and_pools_within_windows():
    truth = np.stack([circle(1.0, 3.0), circle(5.0, 3.0) + 1000.0])
    centre = np.broadcast_to(truth.mean(axis=1, keepdims=True), truth.shape)
    np.testing.assert_allclose(metrics.r2(centre, truth), 0.0, atol=1e-12)
    assert metrics.r2_pooled(centre, truth) == pytest.approx(0.0, abs=1e-12)
    noisy = truth + RNG.normal(scale=0.1, size=truth.shape)
    squared = ((noisy - truth) ** 2).sum()
    spread = sum(np.var(window, axis=0).sum() * len(window) for window in truth)
    assert metrics.r2_pooled(noisy, truth) == pytest.approx(1 - squared / spread)
    # Distance between the windows does not flatter the score.
    assert metrics.r2_pooled(noisy[1:] - 1000.0, truth[1:] - 1000.0) == pytest.approx(
        metrics.r2_pooled(noisy[1:], truth[1:])
    )


def test_r2_of_a_still_truth_is_undefined():
    still = np.zeros((2, 5, 3))
    assert np.isnan(metrics.r2(still + 1.0, still)).all()
    assert np.isnan(metrics.r2_pooled(still + 1.0, still))


@pytest.mark.parametrize(
    ("horizon", "undefined"),
    [
        (1, {"velocity_error", "acceleration_error", "trajectory_deviation", "temporal_consistency",
             "smoothness", "energy_conservation", "r2"}),
        (2, {"acceleration_error", "temporal_consistency", "smoothness"}),
        (3, {"smoothness"}),
        (4, set()),
    ],
)  # fmt: skip
def test_short_horizons_leave_derivatives_undefined(horizon, undefined):
    truth = RNG.normal(size=(5, horizon, 3))
    guess = RNG.normal(size=(5, horizon, 3))
    values = compute_metrics(guess, truth, None, DT)
    assert {name for name, value in values.items() if np.isnan(value)} == undefined
    attached = compute_metrics(guess, truth, RNG.normal(size=(5, 3)), DT)
    assert not np.isnan(attached["velocity_error"])


def test_per_window_values_average_to_the_aggregate():
    truth, guess = RNG.normal(size=(2, 6, 9, 10, 3))
    per_window = metrics_per_window(guess, truth, None, DT)
    total = compute_metrics(guess, truth, None, DT)
    assert list(per_window) == list(total) == [spec.name for spec in METRICS]
    for name, values in per_window.items():
        assert values.shape == (6, 9)
        if name != "r2":
            assert total[name] == pytest.approx(values.mean())


def test_windows_without_a_defined_value_do_not_count():
    truth = np.stack([np.zeros((4, 3)), line((1.0, 0.0, 0.0), horizon=4)])
    values = compute_metrics(truth + 0.1, truth, None, DT)
    squared_spread = np.square(DT * (np.arange(4) - 1.5)).sum()
    assert values["r2"] == pytest.approx(1 - (2 * 4 * 0.03) / squared_spread)


def test_a_perfect_forecast_scores_perfectly():
    truth = RNG.normal(size=(3, 12, 3))
    values = compute_metrics(truth, truth, None, DT)
    for spec in METRICS:
        if spec.name not in {"temporal_consistency", "smoothness"}:  # properties of the path alone
            assert values[spec.name] == (0.0 if spec.better == "lower" else 1.0), spec.name


def test_float32_input_is_measured_in_double_precision():
    truth = (1000.0 + circle(1.0, 3.0, horizon=32, dt=DT)).astype(np.float32)
    guess = truth + np.float32(0.25)
    expected = np.sqrt(((guess.astype(np.float64) - truth.astype(np.float64)) ** 2).sum(-1)).mean()
    value = metrics.position_error(guess, truth)
    assert value.dtype == np.float64
    assert value == pytest.approx(expected, rel=1e-14)


paths = hnp.arrays(np.float64, (3, 6, 3), elements=st.floats(-10, 10, width=32))


@given(predicted=paths, target=paths, seed=st.integers(0, 2**16))
def test_values_keep_their_range_and_ignore_where_and_how_the_axes_lie(predicted, target, seed):
    values = metrics_per_window(predicted, target, None, DT)
    for name in ("temporal_consistency", "smoothness", "energy_conservation"):
        assert ((values[name] >= 0) & (values[name] <= 1)).all(), name
    for spec in METRICS:
        if spec.better == "lower":
            assert (values[spec.name] >= 0).all(), spec.name
    rotation = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    moved = metrics_per_window(predicted @ rotation.T + 2.0, target @ rotation.T + 2.0, None, DT)
    for name in ("position_error", "velocity_error", "acceleration_error", "trajectory_deviation", "mse"):
        np.testing.assert_allclose(moved[name], values[name], rtol=1e-6, atol=1e-6)


def test_triangle_inequality_between_path_length_and_velocity_error():
    predicted, target = RNG.normal(size=(2, 50, 10, 3))
    duration = 9 * DT
    bound = metrics.velocity_error(predicted, target, DT) * duration
    assert (metrics.trajectory_deviation(predicted, target) <= bound + 1e-9).all()


def test_the_documented_way_to_add_a_metric_works(monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    code = page.read_text(encoding="utf-8").rsplit("```python", 1)[1].split("```", 1)[0]
    spec = eval(code, {"MetricSpec": metrics.MetricSpec, "np": np})
    monkeypatch.setattr(metrics, "METRICS", (*METRICS, spec))
    truth = np.zeros((2, 4, 3))
    guess = truth.copy()
    guess[:, 1, 2] = [1.0, 3.0]
    assert compute_metrics(guess, truth, None, DT)["largest_error"] == pytest.approx(2.0)


def test_every_metric_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for spec in METRICS:
        assert f"| `{spec.name}` |" in page, spec.name


def test_errors_say_what_is_wrong():
    good = np.zeros((2, 4, 3))
    with pytest.raises(ValueError, match=r"predicted has shape \[2, 4, 3\] but target has \[2, 5, 3\]"):
        metrics.mse(good, np.zeros((2, 5, 3)))
    with pytest.raises(ValueError, match=r"must have shape \[\.\.\., H, 3\]"):
        metrics.position_error(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="dt must be a positive number"):
        metrics.velocity_error(good, good, 0.0)
    with pytest.raises(ValueError, match=r"known start must have shape \[2, 3\]"):
        metrics.velocity_error(good, good, DT, np.zeros(3))
    broken = good.copy()
    broken[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match=r"target is not finite at index \[1, 2, 0\]"):
        compute_metrics(good, broken, None, DT)
    with pytest.raises(ValueError, match="no windows to measure"):
        compute_metrics(np.zeros((0, 4, 3)), np.zeros((0, 4, 3)), None, DT)
