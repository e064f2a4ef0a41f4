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
from examples.trajectory_3d.forecasters import PathForecast, gaussian_forecast
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
    monkeypatch.setattr("examples.trajectory_3d.bootstrap.CHUNK", 700)
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
    gains = next(line for line in text.splitlines() if line.startswith("below best baseline "))
    expected = [f"{result.improvement('offset', group):.0f}" for group in result.group_names]
    assert gains.replace("%", "").split()[3:] == expected
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
        "uncertainty", "improvement_percent", "gn", "gn_interval", "valid_fraction", "undefined_windows",
        "distribution", "reference_ratio",
    }  # fmt: skip
    assert len(mixed["error_per_step"]) == document["horizon"] == HORIZON
    assert mixed["uncertainty"]["coverage"] == pytest.approx(2 / 3)
    assert document["true_path"]["groups"]["mixed"]["metrics"]["position_error"] == 0.0


def test_a_forecaster_without_baselines_is_reported_without_improvement(windows):
    result = evaluate([Offset(windows.targets)], windows)
    assert result.best_baseline("mixed") is None
    assert result.improvement("offset", "mixed") is None
    assert "best baseline" not in render_text(result)


def test_gn_weighs_types_alike_and_matches_a_direct_computation(windows, result):
    forecast = LastValue().forecast(windows.context, HORIZON).mean
    distance = np.linalg.norm(forecast - windows.targets, axis=-1).mean(axis=1)
    ratio = distance / np.sqrt(windows.context.var(axis=1).mean(axis=-1))
    scores = result.forecasters[1].groups
    by_type = [stats.gmean(ratio[windows.type_ids == index]) for index in range(2)]
    assert [scores[name].skill.gn for name in ("line", "curve")] == pytest.approx(by_type)
    # The set is of equal halves here; drop most lines, and the overall figure must still weigh types alike.
    keep = np.concatenate([np.flatnonzero(windows.type_ids == 0)[:3], np.flatnonzero(windows.type_ids == 1)])
    fewer = evaluate([LastValue()], windows.select(keep)).forecasters[0].groups["mixed"].skill
    lines = stats.gmean(ratio[keep[:3]])
    assert fewer.gn == pytest.approx(np.sqrt(lines * by_type[1]))
    assert fewer.gn_interval[0] < fewer.gn < fewer.gn_interval[1]


def test_reference_ratios_compare_the_same_windows(windows):
    reference = windows.targets + np.array([0.0, 0.02, 0.0])
    reference[windows.type_ids == 0] = np.nan  # no reference for lines
    result = evaluate([Offset(windows.targets)], windows, reference=PathForecast(reference))
    groups = result.forecasters[0].groups
    assert groups["line"].reference_ratio is None
    for group in ("curve", "mixed"):
        ratio = groups[group].reference_ratio
        assert (ratio.mean, ratio.median, ratio.count) == (pytest.approx(5.0), pytest.approx(5.0), 15)
    assert list(result.reference.groups) == ["curve", "mixed"]
    assert result.reference.groups["mixed"].metrics["position_error"] == pytest.approx(0.02)
    document = to_json(result)
    json.dumps(document, allow_nan=False)
    assert document["reference"]["name"] == "oracle"
    text = render_text(result)
    row = next(line for line in text.split("Mean position error / ")[1].splitlines() if "offset" in line)
    assert row.split() == ["offset", "none", "5.00", "(5.00)", "5.00", "(5.00)"]


def test_reference_without_any_window_is_none(windows):
    nothing = PathForecast(np.full(windows.targets.shape, np.nan))
    assert evaluate([LastValue()], windows, reference=nothing).reference is None


def test_reference_of_other_windows_is_refused(windows):
    with pytest.raises(ValueError, match=r"the reference has shape \[3, 6, 3\]"):
        evaluate([LastValue()], windows, reference=PathForecast(windows.targets[:3]))


@dataclass
class Gaussian:
    """Misses the truth by known noise and states a normal distribution `stated` times as wide."""

    windows: EvaluationSet
    stated: float = 1.0
    name: str = "gaussian"
    sigma: float = 0.1

    def forecast(self, context: Any, horizon: int) -> PathForecast:
        rng = np.random.default_rng(len(context))
        truth = self.windows.targets[: len(context)]
        mean = truth + rng.normal(scale=self.sigma, size=truth.shape)
        return gaussian_forecast(mean, np.full(truth.shape, self.stated * self.sigma))


def test_a_calibrated_forecast_is_found_calibrated_and_a_narrow_one_narrow():
    windows = make_set(600)
    calibrated, narrow = (
        evaluate([Gaussian(windows, stated)], windows, batch_size=600)
        .forecasters[0]
        .groups["mixed"]
        .distribution
        for stated in (1.0, 0.5)
    )
    for nominal, inside in calibrated.coverage_per_step.items():
        # 1800 coordinates at each step: five standard errors.
        np.testing.assert_allclose(inside, nominal, atol=5 * np.sqrt(nominal * (1 - nominal) / 1800))
        expected = 2 * stats.norm.cdf(0.5 * stats.norm.ppf(0.5 + nominal / 2)) - 1
        np.testing.assert_allclose(narrow.coverage_per_step[nominal], expected, atol=0.06)
    assert calibrated.ranks.unevenness < 0.03
    assert narrow.ranks.unevenness > 0.2
    assert calibrated.ranks.source == "density"
    assert calibrated.nll == pytest.approx(stats.norm.entropy(scale=0.1), abs=0.03)
    assert calibrated.crps == pytest.approx(0.1 / np.sqrt(np.pi), rel=0.03)
    assert narrow.nll > calibrated.nll
    assert narrow.crps > calibrated.crps


def test_normalised_scores_do_not_change_with_the_scale():
    windows = make_set(100)
    large = replace(windows, context=1000 * windows.context, targets=1000 * windows.targets)
    one = evaluate([Gaussian(windows)], windows).forecasters[0].groups["mixed"]
    other = evaluate([Gaussian(large, sigma=100.0)], large).forecasters[0].groups["mixed"]
    assert other.skill.gn == pytest.approx(one.skill.gn)
    assert other.skill.valid_fraction == one.skill.valid_fraction
    assert other.distribution.nll_normalised == pytest.approx(one.distribution.nll_normalised)
    assert other.distribution.crps_normalised == pytest.approx(one.distribution.crps_normalised)
    assert other.distribution.crps == pytest.approx(1000 * one.distribution.crps)
    assert other.distribution.nll == pytest.approx(one.distribution.nll + np.log(1000))


def test_an_excluded_truth_makes_the_likelihood_infinite_and_null_in_json(windows):
    certain = Gaussian(windows, stated=0.0)
    result = evaluate([certain], windows)
    assert result.forecasters[0].groups["mixed"].distribution.nll == np.inf
    document = json.loads(json.dumps(to_json(result), allow_nan=False))
    assert document["forecasters"][0]["groups"]["mixed"]["distribution"]["nll"] is None
    assert "Distribution scores" in render_text(result)


def test_contexts_at_rest_are_left_out_of_gn_and_counted():
    windows = make_set(20)
    context = windows.context.copy()
    context[:3] = context[:3, :1] + 7e6  # at rest, far away
    result = evaluate([LastValue()], replace(windows, context=context))
    skill = result.forecasters[0].groups["mixed"].skill
    assert skill.undefined == 3
    assert np.isfinite(skill.gn)
    still = replace(windows, context=np.repeat(windows.context[:, :1], LENGTH, axis=1))
    nothing = evaluate([LastValue()], still).forecasters[0].groups["mixed"].skill
    assert np.isnan(nothing.gn)
    assert nothing.undefined == 20


def test_headline_tables_fit_eighty_columns(windows):
    rng = np.random.default_rng(0)
    reference = PathForecast(windows.targets + rng.normal(scale=0.01, size=windows.targets.shape))
    result = evaluate([Gaussian(windows), *standard_baselines()], windows, batch_size=30, reference=reference)
    stream = io.StringIO()
    Console(file=stream, width=80).print(render_table(result))
    rows = [line for line in stream.getvalue().splitlines() if line.startswith(" constant acceleration ")]
    # One line per forecaster in each table: nothing was folded.
    assert len(rows) == 4
    assert all(len(row) <= 80 for row in rows)
