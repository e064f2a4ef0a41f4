"""A deployment's server as replicas of Ray Serve: one is killed under load, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import websockets
from serving import GOOD, walk

from m import load
from m.export import export_model
from tests.ray_processes import MARK, kill_all, marked, wait_for

pytest.importorskip("ray.serve")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COMMAND = "import sys; from m.inference_server.cli import main; sys.exit(main())"
KEY = "a-key"
CLIENTS = 16
BATCH, HORIZON = 32, 64  # work enough that requests are at the replica when it is killed


@pytest.fixture(scope="module")
def model():
    return load("trajectory-3d")


@pytest.fixture(scope="module")
def mark(tmp_path_factory):
    """A mark for the processes of this module, none of which outlive it."""
    value = str(tmp_path_factory.mktemp("ray"))
    yield value
    kill_all(value)


@pytest.fixture(scope="module")
def served(model, mark, tmp_path_factory):
    """The process and its URL."""
    folder = tmp_path_factory.mktemp("model") / "exported"
    folder.mkdir()
    export_model(model, "onnx", folder)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", COMMAND, "exported", "--port", "0", "--ray", "--replicas", "2"],
        cwd=folder.parent,  # a path that means nothing to replicas as it stands
        env=os.environ | {"OMP_NUM_THREADS": "1", MARK: mark, "M_SERVER_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    shown: list[str] = []
    threading.Thread(target=lambda: shown.extend(iter(process.stdout.readline, "")), daemon=True).start()

    def url():
        assert process.poll() is None, "".join(shown)
        return re.search(r"serving exported by 2 replicas at (http://\S+)", "".join(shown))

    try:
        yield process, wait_for(url, 300)[1]
        process.terminate()
        assert process.wait(120) == 0, "".join(shown)
    finally:
        process.kill()
    assert not [command for command in marked(mark).values() if command.startswith("ray::")]


@pytest.fixture
def client(served):
    with httpx.Client(
        base_url=served[1], headers={"authorization": f"Bearer {KEY}"}, timeout=60, trust_env=False
    ) as made:
        yield made


def replicas(mark):
    """Processes with the model."""
    return [
        number
        for number, command in marked(mark).items()
        if command.startswith("ray::ServeReplica:forecasts:Replica")
    ]


def test_the_faces_answer_as_the_model_does(client, model):
    path = walk(64)
    expected = model.forecast(path, 16).mean
    found = client.post("/v1/forecast", json={"points": path.tolist(), "horizon": 16}).json()["mean"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    tensor = {"name": "context", "shape": [64, 3], "datatype": "FP64", "data": path.ravel().tolist()}
    body = {"inputs": [tensor], "parameters": {"horizon": 16}}
    outputs = client.post("/v2/models/exported/infer", json=body).json()["outputs"]
    points = next(each for each in outputs if each["name"] == "points")
    np.testing.assert_allclose(np.reshape(points["data"], (16, 3)), expected, rtol=0, atol=1e-4)
    assert client.get("/readyz").json() == {"status": "ready", "ready": True, "model": "exported"}
    assert client.get("/v2/models/exported/ready").status_code == 200
    assert client.get("/livez").text == "ok"
    assert client.get("/").text.startswith("<!doctype html>")


def test_what_replicas_cannot_do_is_refused_in_words(client, served):
    answer = client.post("/v1/forecast", json=GOOD | {"session_id": "a", "session_start": True})
    assert answer.status_code == 400
    assert "keeps no sessions" in answer.json()["error"]
    for path in ("/metrics", "/stats"):
        answer = client.get(path)
        assert answer.status_code == 501
        assert "one replica" in answer.json()["error"]

    async def push():
        async with websockets.connect(served[1].replace("http", "ws") + "/v1/stream", proxy=None) as stream:
            return json.loads(await stream.recv())

    assert "keeps no sessions" in asyncio.run(push())["error"]


def test_the_guard_stands_before_every_replica(client, served):
    bare = httpx.post(f"{served[1]}/v1/forecast", json=GOOD, trust_env=False)
    assert bare.status_code == 401
    assert client.post("/v1/forecast", json=GOOD, headers={"host": "elsewhere.example"}).status_code == 403
    assert client.post("/v1/forecast", json=GOOD | {"horizont": 3}).status_code == 400
    assert client.post("/v1/forecast", content=b" " * (9 * 2**20)).status_code == 413


def test_a_replica_killed_under_load_loses_nothing(served, client, model, mark, capsys):
    paths = [walk(64, seed, batch=BATCH) for seed in range(4)]
    expected = [model.forecast(path, HORIZON).mean for path in paths]
    bodies = [json.dumps({"points": path.tolist(), "horizon": HORIZON}) for path in paths]
    statuses: Counter[int] = Counter()
    lock, stop, at_once = threading.Lock(), threading.Event(), 0
    again, worst = 0, 0.0

    def ask(number):
        nonlocal at_once, again, worst
        while not stop.is_set():
            which = number % len(paths)
            with lock:
                at_once += 1
            answer = client.post("/v1/forecast", content=bodies[which])
            with lock:
                at_once -= 1
                statuses[answer.status_code] += 1
                again += "m-tries" in answer.headers
                if answer.status_code == 200:
                    worst = max(worst, np.abs(np.array(answer.json()["mean"]) - expected[which]).max())

    before = replicas(mark)
    assert len(before) == 2
    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask, number) for number in range(CLIENTS)]
        try:
            wait_for(lambda: statuses[200] >= CLIENTS)
            time.sleep(0.3)
            killed_at, in_flight = sum(statuses.values()), at_once
            os.kill(before[0], signal.SIGKILL)
            wait_for(lambda: sum(statuses.values()) >= killed_at + 4 * CLIENTS)
            # Its successor takes its place while the other one works on.
            wait_for(lambda: len(replicas(mark)) == 2 and before[0] not in replicas(mark))
            time.sleep(1)
        finally:
            stop.set()
    for each in asking:
        each.result()
    with capsys.disabled():
        print(
            f"\n{sum(statuses.values())} answers {dict(statuses)}; {in_flight} under way at the kill, "
            f"{again} asked again of the other replica; largest difference {worst:.2g} m"
        )
    assert set(statuses) == {200}
    assert again > 0
    assert worst < 1e-5 * (np.ptp(expected) + 1)


def test_sigterm_lets_those_who_are_in_be_answered(served, client):
    """The last test: afterwards nobody serves."""
    body = {"points": walk(64, batch=64).tolist(), "horizon": 1024}
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(client.post, "/v1/forecast", json=body)
        time.sleep(0.15)  # it has come to the replica, and takes it a second or so
        assert not asking.done()
        served[0].terminate()
        answer = asking.result()
    assert answer.status_code == 200, answer.text
    assert np.shape(answer.json()["mean"]) == (64, 1024, 3)
    assert served[0].wait(120) == 0
