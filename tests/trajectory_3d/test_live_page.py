"""The live page: what a browser is told is what the run reports, and being watched changes nothing."""

import http.client
import json
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import assert_no_console_error, open_in_browser

from examples.trajectory_3d.cli import train as command
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.experts.collect import collect_routing
from examples.trajectory_3d.experts.validation_metrics import SERVED
from examples.trajectory_3d.live.history import History
from examples.trajectory_3d.live.server import MOST_READERS, LiveServer, live_server
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.training import train
from examples.trajectory_3d.windows import evaluation_windows
from m.checkpoint import load_checkpoint, load_model
from m.config import ConfigError, load_config
from m.training import Callback, read_jsonl

QUICK = Path(__file__).parents[2] / "examples/trajectory_3d/configs/quick_test_3d.yaml"
TINY = [
    "model.dim=16",
    "model.n_layers=2",
    "model.attention.n_heads=2",
    "model.experts.hidden_dim=16",
    "training.max_steps=12",
    "training.batch_size=4",
    "training.eval_interval=4",
    "training.checkpoint_interval=4",
    "training.log_interval=3",
    "dataset.windows_per_block=64",
    "dataset.type_weights={orbital: 0.5, lorenz: 0.5}",
    "evaluation.validation_windows=20",
    "evaluation.test_windows=30",
]


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    """Pictures are tested elsewhere, and would take most of the time here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("examples.trajectory_3d.training.PictureWriter", lambda *_: Callback())
        yield


@pytest.fixture(scope="module")
def experiment():
    return load_config(ExperimentConfig, QUICK, TINY)


@pytest.fixture(scope="module")
def watched(tmp_path_factory, experiment):
    """A finished run and the history that it told."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    history = History()
    train(experiment, folder, device=torch.device("cpu"), live=history)
    return folder, history


def told(history, kind):
    return [json.loads(event.data) for event in history.after(0) if event.kind == kind]


def test_a_watched_run_ends_as_one_that_nobody_watches(watched, experiment, tmp_path):
    folder, _ = watched
    train(experiment, tmp_path / "run", device=torch.device("cpu"))
    ours, theirs = (load_checkpoint(run / "final_model.pt")["model"] for run in (folder, tmp_path / "run"))
    for name, weights in ours.items():
        assert torch.equal(weights, theirs[name]), name


def test_the_page_is_told_what_the_log_says(watched):
    folder, history = watched
    log = read_jsonl(folder / "training_log.jsonl")
    for kind in ("step", "evaluation"):
        logged = [line for line in log if line["event"] == kind]
        assert len(logged) == len(told(history, kind)) > 0
        for line, event in zip(logged, told(history, kind), strict=True):
            assert event["step"] == line["step"]
            logged_here = {k: v for k, v in line["metrics"].items() if not k.startswith(SERVED)}
            assert event["metrics"] == logged_here
            assert event["elapsed"] == line["elapsed"]
            if kind == "step":
                np.testing.assert_allclose(event["expert_load"], line["expert_load"], atol=5e-5)
    assert told(history, "start")[0]["max_steps"] == 12
    assert told(history, "end") == [{"status": "finished"}]


def test_the_page_shows_what_the_model_forecasts_and_whom_its_experts_serve(watched, experiment):
    folder, history = watched
    start, last = told(history, "start")[0], told(history, "snapshot")[-1]
    assert [snapshot["step"] for snapshot in told(history, "snapshot")] == [4, 8, 12]
    model = load_model(folder / "final_model.pt")
    windows = evaluation_windows(experiment.dataset, "validation", 20)
    kinds = np.array([windows.type_names[label] for label in windows.type_ids])
    for kind in ("orbital", "lorenz"):
        row = int(np.flatnonzero(kinds == kind)[0])
        place = [window["type"] for window in start["windows"]].index(kind)
        np.testing.assert_allclose(start["windows"][place]["truth"], windows.targets[row], atol=1e-3)
        forecast = model.forecast(windows.context[row], windows.horizon)
        shown = last["forecasts"][place]
        np.testing.assert_allclose(shown["mean"], forecast.mean, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(shown["low"], forecast.quantile(0.1), rtol=1e-3, atol=1e-3)
        error = position_error(forecast.mean[None], windows.targets[[row]])[0]
        assert shown["error"] == pytest.approx(error, rel=1e-3)
    routing = collect_routing(model, windows.context)
    served = told(history, "evaluation")[-1]["served"]
    for layer, shares in zip(routing.layers, served, strict=True):
        for place, kind in enumerate(start["types"]):
            counts = np.bincount(layer.experts[kinds == kind].reshape(-1), minlength=layer.n_experts)
            np.testing.assert_allclose(shares[place], counts / counts.sum(), atol=1e-4)


class StopAt(Callback):
    """Ends a run as a failure would, at a step."""

    def __init__(self, step):
        self._step = step

    def on_step(self, record):
        if record.step >= self._step:
            raise RuntimeError("stopped")


def test_a_run_that_goes_on_tells_what_was_before(experiment, tmp_path):
    device = torch.device("cpu")
    with pytest.raises(RuntimeError, match="stopped"):
        train(experiment, tmp_path / "run", device=device, callbacks=(StopAt(6),))
    history = History()
    train(experiment, tmp_path / "run", device=device, resume=True, live=history)
    assert [event["step"] for event in told(history, "step")] == [3, 6, 9, 12]
    assert [event["step"] for event in told(history, "evaluation")] == [4, 8, 12]
    assert told(history, "start")[0]["step"] == 4
    assert [np.shape(event["served"]) for event in told(history, "evaluation")] == [(2, 2, 4)] * 3


def test_a_forecast_that_fails_for_the_page_does_not_end_the_run(experiment, tmp_path, monkeypatch):
    def fail(self):
        raise OverflowError("too wild")

    monkeypatch.setattr("examples.trajectory_3d.live.snapshot.Snapshots.take", fail)
    history = History()
    result = train(experiment, tmp_path / "run", device=torch.device("cpu"), live=history)
    assert result.status == "finished"
    assert "too wild" in told(history, "note")[0]["text"]


def test_an_experiment_without_experts_can_be_watched(tmp_path):
    dense = load_config(ExperimentConfig, QUICK, [*TINY, "model.router.kind=dense", "training.max_steps=4"])
    history = History()
    train(dense, tmp_path / "run", device=torch.device("cpu"), live=history)
    assert told(history, "step")[-1]["expert_load"] is None
    assert told(history, "evaluation")[-1]["served"] == []


# ---- the server ----


@pytest.fixture
def server():
    with live_server(0) as made:
        yield made


def get(server, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def read_events(response, count):
    """(id, kind, data) of so many events of a stream."""
    found, fields = [], {}
    while len(found) < count:
        line = response.readline().decode()
        assert line, "the stream ended early"
        name, _, value = line.rstrip("\n").partition(": ")
        if line != "\n":
            fields[name] = value
        elif "event" in fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
            fields = {}
    return found


def test_events_arrive_as_they_happen_and_late_readers_get_all(server):
    server.history.add("start", {"name": "run"})
    early = get(server, "/events")
    assert early.getheader("Content-Type").startswith("text/event-stream")
    assert read_events(early, 1)[0][1:] == ("start", {"name": "run"})
    server.history.add("step", {"step": 1})
    assert read_events(early, 1)[0][1:] == ("step", {"step": 1})
    late = read_events(get(server, "/events"), 2)
    assert [kind for _, kind, _ in late] == ["start", "step"]
    server.history.close()
    assert b"event:" not in early.read()  # the stream ends, and tells nothing twice


def test_a_browser_that_comes_back_goes_on_where_it_was(server):
    for step in range(4):
        server.history.add("step", {"step": step})
    last_seen = read_events(get(server, "/events"), 2)[1][0]
    again = read_events(get(server, "/events", **{"Last-Event-ID": last_seen}), 2)
    assert [data["step"] for _, _, data in again] == [2, 3]
    for foreign in ("0123abcd-2", "nonsense", f"{server.history.token}-x"):
        assert read_events(get(server, "/events", **{"Last-Event-ID": foreign}), 1)[0][2]["step"] == 0


def test_it_serves_the_page_and_nothing_else_and_only_to_this_machine(server):
    page = get(server, "/")
    assert page.status == 200
    assert 'src="/plotly.js"' in page.read().decode()
    assert len(get(server, "/plotly.js").read()) > 1_000_000
    assert get(server, "/../etc/passwd").status == 404
    for stranger in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", ""):
        assert get(server, "/events", Host=stranger).status == 403
    for known in (f"localhost:{server.port}", "127.0.0.1", "LOCALHOST:9000"):  # a forwarded port is another
        assert get(server, "/", Host=known).status == 200
    assert server._server.server_address[0] == "127.0.0.1"


def test_too_many_pages_are_refused_and_those_closed_make_room(server):
    server.history.add("start", {})
    open_pages = [get(server, "/events") for _ in range(MOST_READERS)]
    for page in open_pages:
        read_events(page, 1)
    assert get(server, "/events").status == 503
    for page in open_pages:
        page.close()
    freed = threading.Event()
    for attempt in range(200):  # a closed page is noticed at the next write to it
        server.history.add("step", {"step": attempt})
        if get(server, "/events").status == 200:
            freed.set()
            break
    assert freed.is_set()


def test_a_taken_port_is_named_with_what_to_do(server):
    with pytest.raises(ConfigError, match=rf"port {server.port} .*give another port"):
        LiveServer(History(), server.port)


def test_closing_hands_out_the_last_events(tmp_path):
    with live_server(0) as server:
        page = get(server, "/events")
        server.history.add("end", {"status": "finished"})
    assert read_events(page, 1)[0][2] == {"status": "finished"}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0  # nobody listens any more


def test_a_run_that_never_came_to_say_so_has_failed():
    def crash():
        with live_server(0) as server:
            pages.append(get(server, "/events"))
            raise OSError("disk full")

    pages = []
    with pytest.raises(OSError, match="disk full"):
        crash()
    assert read_events(pages[0], 1)[0][1:] == ("end", {"status": "failed"})


def test_without_a_port_there_is_no_server():
    with live_server(None) as server:
        assert server is None


# ---- the command ----


def test_the_command_says_where_to_look_and_shows_the_run_there(tmp_path, capsys, monkeypatch):
    short = [*TINY, "training.max_steps=2", "evaluation.after_training=false"]
    served = []
    closing = LiveServer.close
    monkeypatch.setattr(LiveServer, "close", lambda self: (served.append(self.history), closing(self)))
    done = command.main(
        [str(QUICK), "--output-root", str(tmp_path), "--device", "cpu", "--live", "0", *short]
    )
    assert done == 0
    assert "Watch it at http://127.0.0.1:" in capsys.readouterr().out
    (history,) = served
    assert [event.kind for event in history.after(0)] == ["start", "step", "evaluation", "snapshot", "end"]


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_what_is_no_port_is_refused(port, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([str(QUICK), f"--live={port}"])
    assert ended.value.code == 2
    assert "--live" in capsys.readouterr().err


def test_a_taken_port_leaves_no_run_behind(server, tmp_path, capsys):
    arguments = [str(QUICK), "--output-root", str(tmp_path / "out"), "--live", str(server.port), *TINY]
    assert command.main(arguments) == 2
    assert "give another port" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ---- the browser ----


def replay(history, server, *, without=()):
    for event in history.after(0):
        payload = json.loads(event.data)
        server.history.add(event.kind, {key: value for key, value in payload.items() if key not in without})


def test_it_opens_in_a_browser_without_an_error(watched, server):
    _, history = watched
    replay(history, server)
    dom, log = open_in_browser(server.url)
    assert_no_console_error(log)
    assert 'data-ready="yes"' in dom
    assert "Training quick_test_3d" in dom
    assert "12 of 12" in dom
    assert 'data-state="finished"' in dom
    assert dom.count("js-plotly-plot") >= 12
    best = min(record["metrics"]["position_error"] for record in told(history, "evaluation"))
    assert f"{best:.3g} m at " in dom


def changed(history, server, change):
    for event in history.after(0):
        payload = json.loads(event.data)
        change(event.kind, payload)
        server.history.add(event.kind, payload)


def test_a_run_without_experts_is_shown_without_them(server, watched):
    def change(kind, payload):
        if kind == "step":
            payload["expert_load"] = None
        if kind == "evaluation":
            payload["served"] = []

    changed(watched[1], server, change)
    dom, log = open_in_browser(server.url)
    assert_no_console_error(log)
    assert 'data-ready="yes"' in dom
    assert 'id="experts" data-needs="experts" hidden' in dom


def test_numbers_that_are_missing_do_not_stop_the_page(server, watched):
    def change(kind, payload):
        if kind in ("step", "evaluation"):
            payload["metrics"] = dict.fromkeys(payload["metrics"])
        if kind == "evaluation":
            payload["is_best"] = False
        if kind == "end":
            payload["status"] = "failed"

    changed(watched[1], server, change)
    dom, log = open_in_browser(server.url)
    assert_no_console_error(log)
    assert 'data-ready="yes"' in dom
    assert 'data-state="failed"' in dom
    assert "n/a m" in dom


def test_a_script_error_would_be_noticed(watched, server):
    """The checks above can fail: the same history with the windows gone."""
    _, history = watched
    replay(history, server, without=("windows",))
    dom, log = open_in_browser(server.url)
    assert 'data-ready="yes"' not in dom
    with pytest.raises(AssertionError):
        assert_no_console_error(log)
