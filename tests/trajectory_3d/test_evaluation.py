"""Evaluation against numbers computed apart, and its text, table and JSON forms."""

import io
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from examples.trajectory_3d.baselines import LastValue, constant_velocity, standard_baselines
from examples.trajectory_3d.evaluation import (
    EvaluationSet,
    ForecastError,
    bootstrap_interval,
    evaluate,
    forecast_all,
)
from examples.trajectory_3d.evaluation_report import render_table, render_text, to_json
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.metrics import METRICS

NAMES = ("line", "curve", "absent")
DT, LENGTH, HORIZON = 0.05, 20, 6


def make_set(count=30, seed=0):
    """Lines and parabolas with a little noise on what is observed; no window of the third type."""
    rng = np.random.default_rng(seed)
    times = DT * np.arange(LENGTH + HORIZON)[:, None]
    kinds = rng.permutation(np.arange(count) % 2)
    velocity, bend = rng.normal(size=(2, count, 1, 3))
    paths = velocity * times + kinds[:, None, None] * bend * times**2
    context = paths[:, :LENGTH] + rng.normal(scale=0.01, size=(count, LENGTH, 3))
    return EvaluationSet(context, paths[:, LENGTH:], kinds, NAMES, DT)


@dataclass
class Offset:
    """Knows the truth and misses it by a constant vector; states an interval around its forecast."""

    truth: np.ndarray
    name: str = "offset"
    error: float = 0.1
    half_width: float | None = None
    served: int = 0

    def forecast(self, context: Any, horizon: int) -> PathForecast:
        mean = self.truth[self.served : self.served + len(context)] + np.array([self.error, 0.0, 0.0])
        self.served += len(context)
        if self.half_width is None:
            return PathForecast(mean)
        return PathForecast(mean, {0.1: mean - self.half_width, 0.5: mean, 0.9: mean + self.half_width})


@pytest.fixture(scope="module")
def windows():
    return make_set()


@pytest.fixture(scope="module")
def result(windows):
    return evaluate([Offset(windows.targets, half_width=0.05), *standard_baselines()], windows, batch_size=7)


def test_offset_scores_its_offset_in_every_group(result):
    offset = result.forecasters[0]
    assert list(offset.groups) == ["line", "curve", "mixed"]
    for scores in offset.groups.values():
        assert scores.metrics["position_error"] == pytest.approx(0.1)
        assert scores.position_error_median == pytest.approx(0.1)
        assert scores.metrics["velocity_error"] == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_allclose(scores.error_per_step, np.full(HORIZON, 0.1))
        # Of each point the x coordinate misses its interval by 0.05 m, y and z are hit.
        assert scores.uncertainty is not None
        assert scores.uncertainty.coverage == pytest.approx(2 / 3)
        assert scores.uncertainty.width == pytest.approx(0.1)


def test_groups_hold_the_windows_of_their_type(windows, result):
    forecast = LastValue().forecast(windows.context, HORIZON).mean
    distance = np.linalg.norm(forecast - windows.targets, axis=-1)
    scores = result.forecasters[1].groups
    for index, name in enumerate(("line", "curve")):
        mine = distance[windows.type_ids == index]
        assert scores[name].count == len(mine)
        assert scores[name].metrics["position_error"] == pytest.approx(mine.mean())
        np.testing.assert_allclose(scores[name].error_per_step, mine.mean(axis=0))
        assert scores[name].position_error_median == pytest.approx(np.median(mine.mean(axis=1)))
    assert scores["mixed"].count == len(windows.context)
    assert scores["mixed"].metrics["position_error"] == pytest.approx(distance.mean())
    assert scores["mixed"].uncertainty is None


def test_batch_size_changes_nothing(windows, result):
    whole = evaluate(
        [Offset(windows.targets, half_width=0.05), *standard_baselines()], windows, batch_size=999
    )
    whole_json, batched_json = to_json(whole), to_json(result)
    for whole_part, batched_part in zip(whole_json["forecasters"], batched_json["forecasters"], strict=True):
        for group in whole_part["groups"]:
            for name, value in whole_part["groups"][group]["metrics"].items():
                assert batched_part["groups"][group]["metrics"][name] == pytest.approx(value, abs=1e-9)


def test_true_path_is_a_perfect_forecast_with_its_own_smoothness(result):
    truth = result.true_path.groups["line"].metrics
    assert truth["position_error"] == 0.0
    assert truth["r2"] == 1.0
    assert truth["temporal_consistency"] == pytest.approx(1.0)  # uniform motion
    assert result.true_path.groups["curve"].metrics["temporal_consistency"] < 1.0


def test_improvement_is_over_the_best_baseline_of_the_group(result):
    for group in result.group_names:
        errors = [s.groups[group].metrics["position_error"] for s in result.forecasters[1:]]
        best = result.best_baseline(group)
        assert best.groups[group].metrics["position_error"] == min(errors)
        assert result.improvement("offset", group) == pytest.approx(100 * (1 - 0.1 / min(errors)))
    assert result.improvement("last value", "mixed") is None
    with pytest.raises(ValueError, match="no forecaster named 'nobody'"):
        result.improvement("nobody", "mixed")


def test_bootstrap_interval_agrees_with_scipy_and_the_normal_approximation():
    values = np.random.default_rng(3).gamma(2.0, size=400)
    low, high = bootstrap_interval(values, seed=1)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    standard_error = values.std() / np.sqrt(len(values))
    assert low == pytest.approx(reference.low, abs=0.25 * standard_error)
    assert high == pytest.approx(reference.high, abs=0.25 * standard_error)
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    assert bootstrap_interval(values, seed=1) == (low, high)
    assert bootstrap_interval(values, seed=2) != (low, high)


def test_bootstrap_in_pieces_covers_the_same_ground(monkeypatch):
    values = np.random.default_rng(3).gamma(2.0, size=50)
    whole = bootstrap_interval(values, seed=1)
    monkeypatch.setattr("examples.trajectory_3d.evaluation.BOOTSTRAP_CHUNK", 700)
    assert bootstrap_interval(values, seed=1) == pytest.approx(whole)


def test_one_window_has_no_interval():
    assert np.isnan(bootstrap_interval(np.array([1.0]), seed=0)).all()


def test_one_window_and_one_step_are_reported_as_far_as_they_are_defined():
    windows = make_set(1)
    short = replace(windows, targets=windows.targets[:, :1])
    result = evaluate([constant_velocity(), LastValue()], short)
    text = render_text(result)
    assert "n/a" in text
    document = to_json(result)
    scores = document["forecasters"][0]["groups"]["mixed"]
    assert scores["metrics"]["acceleration_error"] is None
    assert scores["position_error_interval"] is None
    json.dumps(document, allow_nan=False)


def test_non_finite_forecast_names_forecaster_window_type_and_step(windows):
    broken = Offset(windows.targets.copy(), name="broken")
    broken.truth[17, 4, 1] = np.nan
    kind = NAMES[int(windows.type_ids[17])]
    with pytest.raises(ForecastError, match=rf"'broken' .* not finite for window 17 \({kind}\) at step 5"):
        evaluate([LastValue(), broken], windows, batch_size=8)


def test_non_finite_quantile_is_refused(windows):
    broken = Offset(windows.targets, name="broken", half_width=np.inf)
    with pytest.raises(
        ForecastError, match=r"'broken' returned a 0.1 quantile that is not finite for window 0"
    ):
        evaluate([broken], windows)


def test_wrong_horizon_is_refused(windows):
    @dataclass
    class Short:
        name: str = "short"

        def forecast(self, context, horizon):
            return PathForecast(np.zeros((len(context), horizon - 1, 3)))

    with pytest.raises(ForecastError, match=r"'short' returned shape \[30, 5, 3\] .* expected \[30, 6, 3\]"):
        evaluate([Short()], windows)


def test_forecast_all_keeps_order_quantiles_and_experts(windows):
    @dataclass
    class Expert:
        name: str = "expert"

        def forecast(self, context, horizon):
            mean = np.repeat(context[:, -1:], horizon, axis=1)
            experts = np.broadcast_to((1000 * context[:, -1, :1]).astype(int), mean.shape[:2])
            return PathForecast(mean, {0.5: mean + 1}, experts)

    forecast = forecast_all(Expert(), windows, batch_size=4)
    np.testing.assert_array_equal(forecast.mean[:, 0], windows.context[:, -1])
    np.testing.assert_array_equal(forecast.quantiles[0.5], forecast.mean + 1)
    np.testing.assert_array_equal(forecast.expert_ids[:, 0], (1000 * windows.context[:, -1, 0]).astype(int))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type_ids": np.zeros(5, dtype=int)}, "a target and a type for each"),
        ({"type_ids": np.full(30, 3)}, "type_ids range from 3 to 3, but there are 3 type_names"),
        ({"type_names": ("line", "mixed", "absent")}, "must differ and not be 'mixed'"),
        ({"dt": 0.0}, "dt must be a positive number"),
        ({"targets": np.full((30, 4, 3), np.nan)}, "not finite in window 0"),
        ({"context": np.zeros((30, 4, 2))}, r"EvaluationSet.context must have shape \[N, points, 3\]"),
    ],
)
def test_inconsistent_sets_are_refused(windows, change, message):
    with pytest.raises(ValueError, match=message):
        replace(windows, **change)


def test_bad_calls_are_refused(windows):
    with pytest.raises(ValueError, match="different names"):
        evaluate([LastValue(), LastValue()], windows)
    with pytest.raises(ValueError, match="different names"):
        evaluate([], windows)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        evaluate([LastValue()], windows, batch_size=0)


def test_forecast_shapes_are_checked():
    mean = np.zeros((2, 4, 3))
    with pytest.raises(ValueError, match="levels lie within"):
        PathForecast(mean, {90.0: mean})
    with pytest.raises(ValueError, match=r"quantiles\[0.5\] has shape"):
        PathForecast(mean, {0.5: mean[:1]})
    with pytest.raises(ValueError, match="one expert per forecast point"):
        PathForecast(mean, expert_ids=np.zeros((2, 3), dtype=int))
    with pytest.raises(ValueError, match=r"must have shape \[B, H, 3\]"):
        PathForecast(mean[0])


def test_text_report_is_ascii_aligned_and_complete(result):
    text = render_text(result, title="Evaluation of offset", details={"model": "façade.pt", "date": "today"})
    assert text.isascii()
    assert r"fa\xe7ade.pt" in text  # spelled out, not lost
    assert text.startswith("Evaluation of offset\n====")
    assert "no windows of  absent" in text
    assert "horizon        6 steps of 0.05 s (0.3 s)" in text
    for spec in METRICS:
        assert text.count(f"\n{spec.name} ") == len(result.group_names)
    assert "66.7 % / 0.1000" in text
    curve = next(line for line in text.splitlines() if line.startswith("curve "))
    gain = result.improvement("offset", "curve")
    assert curve.endswith(f"{abs(gain):.0f} % {'better' if gain >= 0 else 'worse'}")
    tables = [block.splitlines() for block in text.split("\n\n") if "---" in block]
    for _, rule, header, *body in tables:
        assert len(rule) == len(header) == max(len(line) for line in body)


def test_the_star_marks_the_best_and_never_a_path_property(result):
    lines = render_text(result).splitlines()
    position = next(line for line in lines if line.startswith("position_error "))
    assert position.count("*") >= 1
    assert not any("*" in line for line in lines if line.startswith(("smoothness", "temporal_consistency")))


def test_rich_table_shows_every_forecaster_and_metric(result):
    stream = io.StringIO()
    Console(file=stream, width=160).print(render_table(result))
    shown = stream.getvalue()
    for name in ("offset", "last value", "constant velocity", "mixed", *(spec.name for spec in METRICS)):
        assert all(word in shown for word in name.split())  # headings wrap between words


def test_json_round_trips_and_holds_the_documented_keys(result):
    document = json.loads(json.dumps(to_json(result), allow_nan=False))
    assert document["format"] == "trajectory_3d.evaluation"
    assert document["version"] == 1
    assert document["absent_types"] == ["absent"]
    assert [f["name"] for f in document["forecasters"]] == [f.name for f in result.forecasters]
    assert [f["is_baseline"] for f in document["forecasters"]] == [False, True, True, True]
    mixed = document["forecasters"][0]["groups"]["mixed"]
    assert set(mixed) == {
        "count", "metrics", "position_error_median", "position_error_interval", "error_per_step",
        "uncertainty", "improvement_percent",
    }  # fmt: skip
    assert len(mixed["error_per_step"]) == document["horizon"] == HORIZON
    assert mixed["uncertainty"]["coverage"] == pytest.approx(2 / 3)
    assert document["true_path"]["groups"]["mixed"]["metrics"]["position_error"] == 0.0


def test_a_forecaster_without_baselines_is_reported_without_improvement(windows):
    result = evaluate([Offset(windows.targets)], windows)
    assert result.best_baseline("mixed") is None
    assert result.improvement("offset", "mixed") is None
    assert "best baseline" not in render_text(result)
