"""The server as a process: how it starts, and how it ends."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from reference import small_model

from m.checkpoint import save_model
from m.config import to_dict
from m.inference_server import Limits
from m.inference_server.cli import _LIMITS, main
from m.inference_server.runner import ServeSettings, _fast_loop, _Uvicorn, listening
from m.release import save_release

PATH = np.random.default_rng(0).standard_normal((20, 3)).cumsum(0).tolist()
PATIENCE = 60


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "walker"
    save_release(folder, small_model())
    return folder


@contextmanager
def process(*arguments, code=None):
    """A server process and its URL; killed at the end if it still runs."""
    start = ["-c", code] if code else ["-m", "m.inference_server.cli"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(
        [sys.executable, *start, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        url = re.search(r"http://\S+", running.stdout.readline())
        assert url, running.communicate(timeout=PATIENCE)
        yield running, url[0]
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate(timeout=PATIENCE)


def wait_until_ready(url):
    deadline = time.monotonic() + PATIENCE
    statuses = []
    while True:
        answer = httpx.get(url + "/readyz")
        statuses.append((answer.status_code, answer.json()["status"]))
        if answer.status_code == 200:
            return statuses
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sigterm_under_load_answers_everybody_and_exits_0(release):
    with process(release, "--port", 0) as (running, url):
        wait_until_ready(url)
        answers, begun = [], threading.Barrier(13)

        def ask(number):
            body = {"points": PATH, "horizon": 150, "num_samples": 20, "seed": number}
            begun.wait(PATIENCE)
            answers.append(httpx.post(url + "/v1/forecast", json=body, timeout=PATIENCE))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        begun.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while httpx.get(url + "/stats").json()["waiting"] < 12 and len(answers) < 6:
            assert time.monotonic() < deadline
        running.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(PATIENCE)
        assert [answer.status_code for answer in answers] == [200] * 12
        assert all(np.shape(answer.json()["samples"]) == (20, 150, 3) for answer in answers)
        assert running.wait(PATIENCE) == 0
        assert running.stderr.read() == ""


@pytest.mark.parametrize("loop", [None, _fast_loop()], ids=["asyncio", "uvloop"])
def test_who_has_just_connected_is_answered_too(loop):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"here"})

    async def talk(listener):
        server = _Uvicorn(uvicorn.Config(app, lifespan="off", log_level="error", timeout_graceful_shutdown=5))
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([listener])
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await server.shutdown([listener])  # the loop has not looked at its port since
            return client.recv(1000)

    with listening(ServeSettings(port=0)) as listener, asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(talk(listener)).endswith(b"here")


def test_who_takes_too_long_is_cut_off_and_the_exit_code_tells(release):
    with process(release, "--port", 0, "--drain-seconds", 1) as (running, url):
        wait_until_ready(url)
        failures = []

        def ask():
            body = {"points": PATH, "horizon": 1024, "num_samples": 250}
            try:
                failures.append(httpx.post(url + "/v1/forecast", json=body, timeout=PATIENCE).status_code)
            except httpx.HTTPError as error:
                failures.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while httpx.get(url + "/stats").json()["waiting"] < 1:
            assert time.monotonic() < deadline
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE) == 1
        thread.join(PATIENCE)
        assert failures
        assert failures != [200]


def test_an_open_server_without_a_key_warns(release):
    with process(release, "--port", 0, "--host", "0.0.0.0") as (running, _):
        running.terminate()
        assert running.wait(PATIENCE) == 0
        assert "--key" in running.stderr.read()


def test_ctrl_c_ends_it_too(release):
    with process(release, "--port", 0) as (running, url):
        wait_until_ready(url)
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 0


def test_notice_is_given_before_the_port_closes(release):
    with process(release, "--port", 0, "--notice-seconds", 2) as (running, url):
        wait_until_ready(url)
        running.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 1.5
        while (answer := httpx.get(url + "/readyz")).status_code == 200:
            assert time.monotonic() < deadline
        assert answer.json()["status"] == "draining"
        assert httpx.post(url + "/v1/forecast", json={"points": PATH}).status_code == 200
        assert running.wait(PATIENCE) == 0


DYING = """
import ctypes, sys, threading, time
from m.inference_server.runner import ServeSettings, serve
from m.inference_server.server import InferenceServer

def kill_later():
    sys.stdin.readline()
    thread = next(t for t in threading.enumerate() if t.name == "m-engine")
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))

threading.Thread(target=kill_later, daemon=True).start()
sys.exit(serve(lambda: InferenceServer(sys.argv[1], "cpu"), name="walker",
               settings=ServeSettings(port=0)))
"""


def test_a_killed_engine_ends_the_process(release):
    start = [sys.executable, "-c", DYING, str(release)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(start, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}, **pipes) as running:
        try:
            url = re.search(r"http://\S+", running.stdout.readline())[0]
            wait_until_ready(url)
            running.stdin.write("\n")
            running.stdin.flush()
            assert running.wait(PATIENCE) == 1
            assert "the engine died" in running.stderr.read()
        finally:
            if running.poll() is None:
                running.kill()


def test_it_says_loading_until_the_model_is_there():
    code = """
import sys, time
sys.path.insert(0, sys.argv[1])
from reference import small_model
from m.inference_server.runner import ServeSettings, serve
from m.inference_server.server import InferenceServer

def make():
    time.sleep(1.0)
    return InferenceServer(model=small_model(), device="cpu")

sys.exit(serve(make, name="late", settings=ServeSettings(port=0)))
"""
    with process(Path(__file__).parent, code=code) as (running, url):
        statuses = wait_until_ready(url)
        assert statuses[0] == (503, "loading")
        assert set(statuses[:-1]) == {(503, "loading")}
        running.terminate()
        assert running.wait(PATIENCE) == 0


def test_a_model_that_cannot_be_loaded_ends_it(tmp_path, capsys):
    broken = tmp_path / "best_model.pt"
    broken.write_bytes(b"no checkpoint")
    assert main([str(broken), "--port", "0"]) == 2
    assert "error:" in capsys.readouterr().err


def test_a_taken_port_is_an_error_and_no_move(release, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main([str(release), "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert f"port {port}" in said.err
    assert "another program" in said.err
    assert "http" not in said.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "no model 'nowhere'"),
        (["trajectory-3d", "--port", "70000"], "port 70000"),
        (["trajectory-3d", "--host", "256.1.1.1"], "256.1.1.1"),
        (["trajectory-3d", "--device", "quantum"], "quantum"),
        (["trajectory-3d", "--most-batch", "0"], "batch"),
        (["trajectory-3d", "--timeout", "0"], "timeout"),
        (["trajectory-3d", "--drain-seconds", "-1"], "drain_seconds"),
        (["trajectory-3d", "--notice-seconds", "inf"], "notice_seconds"),
        (["trajectory-3d", "--key", ""], "key"),
        (["trajectory-3d", "--key", "open sesame"], "key"),
        (["trajectory-3d", "--key", "sésame"], "key"),
    ],
)
def test_wrong_requests_are_told_at_once(arguments, says, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert "http" not in said.out


def test_checkpoints_are_served_as_releases_are(tmp_path):
    model = small_model()
    run = tmp_path / "walker"
    run.mkdir()

    save_model(run / "best_model.pt", model, config=to_dict(model.config))
    with process(run, "--port", 0) as (_, url):
        wait_until_ready(url)
        answer = httpx.post(url + "/v1/forecast", json={"points": PATH, "horizon": 6}).json()
        assert answer["model"] == "walker"
        np.testing.assert_allclose(answer["mean"], model.forecast(PATH, 6).mean, atol=1e-4)


def test_the_options_have_the_limits_defaults():
    limits = Limits()
    for name, default, _ in _LIMITS:
        assert getattr(limits, name.replace("-", "_")) == default


def test_help_is_quick():
    began = time.monotonic()
    code = "import sys; from m.inference_server.cli import main\ntry: main(['--help'])\n"
    code += "except SystemExit: print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "False"
    assert time.monotonic() - began < 30
