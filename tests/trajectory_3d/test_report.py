"""The interactive report: true, self-contained, and without an error in a real browser."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from browser import assert_no_console_error, open_in_browser

from examples.trajectory_3d.baselines import standard_baselines
from examples.trajectory_3d.dataset_config import DatasetConfig
from examples.trajectory_3d.evaluation import MIXED, evaluate, forecast_all
from examples.trajectory_3d.experts.analysis import analyse_experts
from examples.trajectory_3d.experts.features import in_own_frame
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.report.cases import choose_cases
from examples.trajectory_3d.report.page import render
from examples.trajectory_3d.report.payload import rounded, skill_claims
from examples.trajectory_3d.report.write import write_evaluation_report
from examples.trajectory_3d.windows import evaluation_windows
from m.experts import ExpertsConfig
from m.heads.config import HeadConfig
from m.moe import AnchorConfig, ModelConfig, MoESequenceRegressor
from m.routing import RouterConfig

DATA = DatasetConfig(sequence_length=24, prediction_length=4, type_weights={"helical": 0.5, "lorenz": 0.5})
AWKWARD = "a </script><b>model</b> & <!-- co"


@pytest.fixture(scope="module")
def windows():
    return evaluation_windows(DATA, "test", 60)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    config = ModelConfig(
        dim=32,
        n_layers=2,
        window=16,
        stride=8,
        router=RouterConfig(n_experts=4),
        experts=ExpertsConfig(hidden_dim=16),
        head=HeadConfig(prediction_steps=4),
        anchor=AnchorConfig(orientation="motion"),
    )
    return MoESequenceRegressor(config).eval()


def write(folder, model, windows, *, experts=True):
    forecasters = (ModelForecaster(model, AWKWARD, samples=3), *standard_baselines())
    if not experts:
        forecasters = forecasters[1:]
    result = evaluate(forecasters, windows)
    page = write_evaluation_report(
        folder,
        forecasters,
        result,
        windows,
        forecast_all(forecasters[0], windows, 250),
        details={"model": AWKWARD},
        experts=analyse_experts(model, windows) if experts else None,
    )
    return page.read_text(encoding="utf-8"), result


@pytest.fixture(scope="module")
def written(tmp_path_factory, model, windows):
    folder = tmp_path_factory.mktemp("report")
    text, result = write(folder, model, windows)
    return folder / "report.html", text, result


def payload(text):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_everything_and_asks_nobody(written):
    _, text, _ = written
    head = (
        text[: text.index("<script>")] + text[text.index('id="data"') :]
    )  # plotly's own script names its home
    assert not re.findall(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", head)
    assert text.count("<script") == 4
    assert payload(text)["details"]["model"] == AWKWARD
    assert "&lt;/script&gt;" in text[: text.index("</title>")]


def test_cases_show_what_was_forecast(written, windows, model):
    _, text, result = written
    cases = payload(text)["cases"]
    assert [case["error"] for case in cases] == sorted((case["error"] for case in cases), reverse=True)
    forecaster = ModelForecaster(model, "m", samples=3)
    for case in cases[:3]:
        row = case["window"]
        forecast = forecaster.forecast(windows.context[row : row + 1], 4)
        np.testing.assert_allclose(case["mean"], forecast.mean[0], atol=2e-4)
        np.testing.assert_allclose(case["low"], forecast.quantiles[0.1][0], atol=2e-4)
        np.testing.assert_allclose(case["truth"], windows.targets[row], atol=2e-4)
        assert case["error"] == pytest.approx(
            position_error(forecast.mean, windows.targets[[row]])[0], rel=1e-5
        )
        assert len(case["samples"]) == 3
        assert len(case["experts"]) == 2
        np.testing.assert_allclose(sum(case["experts"][0]["weights"]), 1.0, atol=2e-3)
    assert payload(text)["rival"] == result.best_baseline(MIXED).name


def test_cases_are_the_worst_the_median_and_the_best_of_each_type(windows):
    errors = np.random.default_rng(0).uniform(size=60)
    cases = choose_cases(errors, windows, worst=2)
    for kind, members in windows.groups().items():
        if kind == MIXED:
            continue
        ordered = np.sort(errors[members])[::-1]
        mine = {case.place: case.error for case in cases if case.kind == kind}
        expected = {
            "worst": ordered[0],
            "worst 2": ordered[1],
            "median": ordered[len(members) // 2],
            "best": ordered[-1],
        }
        assert mine == expected
    few = windows.select(windows.groups()["helical"][:1])
    assert [case.place for case in choose_cases(errors[:1], few)] == ["worst"]


def test_claims_are_those_of_the_numbers(written):
    _, _, result = written
    subject, best = result.forecasters[0], result.best_baseline(MIXED)
    text = " ".join(skill_claims(result))
    error = subject.groups[MIXED].metrics["position_error"]
    theirs = best.groups[MIXED].metrics["position_error"]
    assert f"mean position error {error:.3g} m" in text
    assert f"{best.name}, errs by {theirs:.3g} m: {theirs / error:.1f} times as much" in text
    ahead = sum(
        subject.groups[kind].metrics["position_error"]
        < min(b.groups[kind].metrics["position_error"] for b in result.forecasters[1:])
        for kind in ("helical", "lorenz")
    )
    assert f"on {ahead} of 2 motion types" in text


def test_claims_fit_one_type_and_one_point(windows):
    one = windows.select(windows.groups()["lorenz"])
    one = replace(one, targets=one.targets[:, :1])
    text = " ".join(skill_claims(evaluate(standard_baselines()[1:2], one)))
    assert "over the next point (" in text
    assert "All motion is lorenz: the error is " in text
    assert "1 points" not in text
    assert "e+" not in text


def test_claims_without_a_model_name_the_best_baseline(windows):
    result = evaluate(standard_baselines(), windows)
    text = " ".join(skill_claims(result))
    assert f"Best of 3 classical forecasters: {result.best_baseline(MIXED).name}, " in text
    assert "ahead of all baselines" not in text


def test_positions_are_in_the_unit_of_the_windows(tmp_path, model, windows):
    write(tmp_path, model, replace(windows, unit="mm"))
    dom, log = open_in_browser((tmp_path / "report.html").as_uri())
    assert_no_console_error(log)
    assert re.search(r'class="number">[\d.]+ mm<', dom)
    assert not re.search(r"[\d.]+ m[<. ]", dom[dom.index("<main>") : dom.index("</main>")])


def test_paths_are_shown_in_the_frame_of_their_motion(model, windows):
    ours = in_own_frame(model, windows.context)
    np.testing.assert_allclose(ours[:, -1], 0.0, atol=1e-9)
    spread = np.sqrt(windows.context.astype(float).var(axis=1).mean(axis=-1))
    inside = np.linalg.norm(ours[:, 0], axis=-1) * spread
    outside = np.linalg.norm(windows.context[:, 0] - windows.context[:, -1], axis=-1)
    np.testing.assert_allclose(inside, outside, rtol=1e-5)  # only moved, turned and scaled


def test_rounding_keeps_the_digits_that_a_picture_needs():
    far = 7e6 + np.array([[0.0, 0.0, 0.0], [1.23456789, 0.0, 0.0]])
    np.testing.assert_allclose(rounded(far), far, atol=1e-4)
    assert rounded(np.array([[1.23456789, 0.0, 0.0], [0.0, 0.0, 0.0]]))[0][0] == 1.2346
    assert rounded(np.ones((3, 3))) == np.ones((3, 3)).tolist()


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="JSON"):
        render({"title": "t", "value": float("nan")})


def test_it_opens_in_a_browser_without_an_error(written):
    page, _, _ = written
    dom, log = open_in_browser(page.as_uri())
    assert_no_console_error(log)
    assert 'data-ready="yes"' in dom
    assert dom.count('class="js-plotly-plot"') + dom.count("js-plotly-plot") >= 12
    assert "Switching off expert" in dom
    for part in ("which experts serve one token together", "Best expert of layer", "How sure the router is"):
        assert part in dom
    assert "<th>variation</th>" in dom
    assert dom.count("<tr>") == 3  # a heading, and two layers


def test_without_experts_it_shows_the_rest(tmp_path, model, windows):
    text, _ = write(tmp_path, model, windows, experts=False)
    assert payload(text)["experts"] is None
    dom, log = open_in_browser((tmp_path / "report.html").as_uri())
    assert_no_console_error(log)
    assert 'data-ready="yes"' in dom
    assert 'id="experts"' not in dom
    assert 'id="by-type"' in dom


def test_a_script_error_would_be_noticed(written, tmp_path):
    """The check above can fail: the same page with its data gone."""
    _, text, _ = written
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace('"scores":', '"scars":', 1), encoding="utf-8")
    dom, log = open_in_browser(broken.as_uri())
    assert 'data-ready="yes"' not in dom
    with pytest.raises(AssertionError):
        assert_no_console_error(log)


def test_missing_types_are_named_not_shown(tmp_path, model, windows):
    names = (*windows.type_names, "orbital")
    text, result = write(tmp_path, model, replace(windows, type_names=names))
    assert result.absent_types == ("orbital",)
    assert "orbital" not in payload(text)["scores"]["forecasters"][0]["groups"]
