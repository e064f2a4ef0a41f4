"""``trajectory-3d-inference-demo``, run as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import matplotlib.image
import numpy as np
import pytest

from examples.trajectory_3d.cli import inference_demo as command
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.inference_demo import LONG, SAMPLES, SHORT, Outcome, outcome_table
from examples.trajectory_3d.visualization import plot_forecast_fans
from m.inference_server import InferenceServer, RequestError
from m.moe import MoESequenceRegressor

ROOT = Path(__file__).parents[2]
KINDS = ("single", "long", "again", "batched", "streamed", "anchor held", "sampled")


def rows(printed):
    """Kind of request -> the cells of its line."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    return {cells[0]: cells for cells in lines}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What the command prints with the shipped model, and its folder."""
    folder = tmp_path_factory.mktemp("demo")
    code = "import sys; from examples.trajectory_3d.cli.inference_demo import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "--output", str(folder), "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def test_every_kind_of_request_gives_the_model_s_numbers(shown):
    table = rows(shown[0])
    assert tuple(table) == KINDS
    assert all(cells[-1] == "yes" for cells in table.values())
    assert all(float(cells[-2].removesuffix(" m")) < 1e-3 for cells in table.values())


def test_the_table_counts_what_was_forecast(shown):
    points = {kind: int(cells[2]) for kind, cells in rows(shown[0]).items()}
    assert points == {
        "single": SHORT,
        "long": LONG,
        "again": LONG,
        "batched": 5 * SHORT,
        "streamed": 17 * SHORT,
        "anchor held": 17 * SHORT,
        "sampled": 5 * LONG * (1 + SAMPLES),
    }
    reused = {kind: int(cells[5]) for kind, cells in rows(shown[0]).items()}
    assert reused["single"] == reused["streamed"] == 0
    assert reused["anchor held"] > 16 * 48  # all but what each push brings


def test_a_picture_is_left_where_it_says(shown):
    printed, folder = shown
    assert printed.splitlines()[-1] == str(folder / "forecasts.png")
    pixels = matplotlib.image.imread(folder / "forecasts.png")
    assert pixels.shape[1] > 1500
    assert pixels[..., :3].std() > 0.02


@pytest.fixture
def quick(monkeypatch):
    """Few windows to choose from; another seed finds other paths all the same."""
    monkeypatch.setattr("examples.trajectory_3d.inference_demo.WINDOWS", 12)


def planted(monkeypatch, name, change):
    """Let a kind of request be answered wrongly."""
    honest = InferenceServer.handle_request

    async def lie(self, request):
        answer = await honest(self, request)
        return answer | change(answer) if name(request) else answer

    monkeypatch.setattr(InferenceServer, "handle_request", lie)


def shifted(key):
    def change(answer):
        values = np.array(answer[key])
        values.flat[-1] += 0.01
        return {key: values.tolist()}

    return change


@pytest.mark.parametrize(
    ("kind", "which", "change"),
    [
        ("batched", lambda request: np.ndim(request["tokens"]) == 3, shifted("generated_tokens")),
        ("sampled", lambda request: request.get("seed") == 1, shifted("samples")),
        (
            "anchor held",
            lambda request: request.get("hold_points") and len(request["tokens"]) == 1,
            lambda answer: {"session": answer["session"] | {"context_points": 20}},
        ),
        (
            "streamed",
            lambda request: request.get("session_id") == "streamed" and request["session_end"],
            lambda answer: {"generated_tokens": answer["generated_tokens"][:-1]},
        ),
    ],
)
def test_a_wrong_forecast_is_named_and_exits_1(kind, which, change, quick, tmp_path, monkeypatch, capsys):
    planted(monkeypatch, which, change)
    assert command.main(["--output", str(tmp_path / "own.png"), "--seed", "3", "--device", "cpu"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"error: the served forecasts differ from the model's own: '{kind}' by ")
    assert len(said.err.strip().splitlines()) == 1
    assert {name for name, cells in rows(said.out).items() if cells[-1] == "NO"} == {kind}
    assert (tmp_path / "own.png").is_file()


def test_a_refusal_exits_1_too(quick, tmp_path, monkeypatch, capsys):
    async def refuse(self, request):
        raise RequestError(503, "nobody is in")

    monkeypatch.setattr(InferenceServer, "handle_request", refuse)
    assert command.main(["--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "error: the server refused a request: nobody is in\n"


def test_numbers_that_are_not_finite_are_wrong():
    outcome = Outcome("single", "", 1, 1, 1.0, 0, float("inf"), 1e-4)
    assert not outcome.agrees
    assert not Outcome("single", "", 1, 1, 1.0, 0, float("nan"), 1e-4).agrees
    assert outcome_table([outcome]).row_count == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--latest"], "no trained model below outputs/trajectory_3d; train one: trajectory-3d-train"),
        (["--latest", "--serve", "--port", "0"], "no trained model below"),
        (["absent.pt"], "no model at absent.pt"),
        (["absent.pt", "--latest"], "not both"),
        (["--port", "0"], "--port means nothing without --serve"),
        (["--most-batch", "3"], "--most-batch means nothing without --serve"),
        (["--serve", "--seed", "1"], "--seed means nothing with --serve"),
        (["--serve", "--output", "a"], "--output means nothing with --serve"),
        (["--seed", "-1"], "--seed must be 0 or above"),
        (["--output", "a.jpg"], "end in .png"),
        (["--device", "abacus"], "abacus"),
        (["--serve", "--device", "abacus"], "abacus"),
    ],
)
def test_requests_that_mean_nothing_are_refused(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command.main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_shipped_weights_the_latest_run_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("examples.trajectory_3d.weights.folder", lambda: tmp_path / "none")
    assert command.main([]) == 2
    assert "train one" in capsys.readouterr().err


def test_a_model_of_other_points_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "m.inference_server.server.load",
        lambda path, device: flat_model(),
    )
    assert command.main(["--output", str(tmp_path)]) == 2
    assert "takes points of 2 numbers and forecasts 2, not 3 and 3" in capsys.readouterr().err


def flat_model() -> MoESequenceRegressor:
    from m.moe import ModelConfig
    from m.moe.config import AttentionConfig, ExpertsConfig, HeadConfig, RouterConfig

    return MoESequenceRegressor(
        ModelConfig(
            input_dim=2,
            target_dim=2,
            dim=16,
            n_layers=1,
            window=4,
            attention=AttentionConfig(n_heads=2),
            router=RouterConfig(kind="topk", n_experts=2, top_k=1),
            experts=ExpertsConfig(hidden_dim=16),
            head=HeadConfig(prediction_steps=4),
        )
    )


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_until_it_is_told_to_end(number, tmp_path):
    code = "import sys; from examples.trajectory_3d.cli.inference_demo import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--serve", "--port", "0", "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"serving trajectory-3d at (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line
        wait_until_ready(found[1])
        path = np.stack([np.cos(0.1 * np.arange(64)), np.sin(0.1 * np.arange(64)), np.zeros(64)], -1)
        body = {"tokens": path.tolist(), "max_new_tokens": 16}
        answer = httpx.post(found[1] + "/infer", json=body, timeout=30).json()
        assert np.shape(answer["generated_tokens"]) == (16, 3)
        process.send_signal(number)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def wait_until_ready(url):
    for _ in range(300):
        answer = httpx.get(url + "/readyz", timeout=30)
        if answer.status_code == 200:
            assert answer.json()["model"] == "trajectory-3d"
            return
        assert answer.json()["status"] == "loading"
    raise AssertionError("never ready")


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom examples.trajectory_3d.cli import inference_demo\n"
        "try:\n    inference_demo.main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'rich', 'fastapi', 'uvicorn', 'pydantic', 'ray'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "usage: trajectory-3d-inference-demo" in done.stdout


# ---- the picture ----


def windows(count=2, horizon=6):
    rng = np.random.default_rng(0)
    path = rng.standard_normal((count, 20 + horizon, 3)).cumsum(axis=1)
    context, truth = path[:, :20], path[:, 20:]
    samples = truth[:, None] + 0.1 * rng.standard_normal((count, 5, horizon, 3))
    return context, truth, PathForecast(samples.mean(axis=1), samples=samples)


def test_fans_have_a_view_and_a_closer_look_per_window():
    context, truth, forecast = windows()
    figure = plot_forecast_fans(context, truth, forecast, dt=0.1, labels=["a", "b"], title="by nobody")
    views = [axes for axes in figure.axes if axes.name == "3d"]
    flat = [axes for axes in figure.axes if axes.name != "3d"]
    assert [axes.get_title() for axes in views] == ["a", "b"]
    assert len(flat) == 2
    for axes in flat:
        assert axes.get_aspect() == 1.0
        assert axes.get_xlabel() == "x (m)"
        assert "0.6 s" in axes.get_title()
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [
        "observed",
        "last observed point",
        "true path",
        "forecast",
        "5 paths drawn from the forecast",
    ]


def test_fans_need_samples_and_a_label_each():
    context, truth, forecast = windows()
    with pytest.raises(ValueError, match="samples"):
        plot_forecast_fans(context, truth, PathForecast(forecast.mean), dt=1, labels=["a", "b"], title="")
    with pytest.raises(ValueError, match="label"):
        plot_forecast_fans(context, truth, forecast, dt=1, labels=["a"], title="")
