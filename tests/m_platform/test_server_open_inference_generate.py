"""The generate extension of the Open Inference Protocol: plain JSON, and forecasts as a stream of events."""

import json
import socket
import time

import httpx
import pytest
from infer_requests import MODEL
from serving import OPEN_INFERENCE_LIMITS, assert_close, refused, running, walk

from m.inference_server import InferenceServer


@pytest.fixture(scope="module")
def limits():
    return OPEN_INFERENCE_LIMITS


def test_generate_takes_and_gives_plain_json(client, model):
    path = walk(6)
    wish = {
        "context": path.tolist(),
        "horizon": 6,
        "num_samples": 2,
        "seed": 1,
        "quantiles": [0.2],
        "id": "me",
    }
    answer = client.post(f"{MODEL}/generate", json=wish).json()
    alone = model.forecast(path, 6, num_samples=2, seed=1)
    assert answer["id"] == "me"
    assert_close(answer["points"], alone.points)
    assert_close(answer["mean"], alone.mean)
    assert_close(answer["samples"], alone.samples)
    assert_close(answer["quantiles"], [alone.quantile(0.2)])


@pytest.mark.parametrize(
    "content", [{}, {"context": [[0, 0]]}, {"context": "x"}, {"context": [[0, 0, 0]], "a": 1}]
)
def test_wrong_words_for_generate(client, content):
    for path in ("generate", "generate_stream"):
        refused(client.post(f"{MODEL}/{path}", json=content))


def events(answer):
    return [json.loads(part.removeprefix("data: ")) for part in answer.text.split("\n\n") if part]


@pytest.mark.parametrize("temperature", [0.0, 0.5])
@pytest.mark.parametrize("horizon", [3, 4, 11])
def test_a_stream_tells_every_block(client, model, horizon, temperature):
    path = walk(6)
    wish = {
        "context": path.tolist(),
        "horizon": horizon,
        "temperature": temperature,
        "seed": 5,
        "num_samples": 2,
    }
    answer = client.post(f"{MODEL}/generate_stream", json=wish)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *blocks, last = events(answer)
    assert [block["first"] for block in blocks] == list(range(0, horizon, 4))
    alone = model.forecast(path, horizon, temperature=temperature, seed=5, num_samples=2)
    assert_close([point for block in blocks for point in block["points"]], alone.points)
    assert last["final"]
    assert_close(last["mean"], alone.mean)
    assert_close(last["samples"], alone.samples)


def test_a_stream_of_several_contexts_is_refused(client):
    wish = {"context": walk(4, batch=2).tolist()}
    assert "one context" in refused(client.post(f"{MODEL}/generate_stream", json=wish))


def test_a_stream_of_no_numbers_is_refused_at_once(client):
    wish = {"context": [[1e300, 0, 0], [-1e300, 0, 0]]}
    assert "nearer to zero" in refused(client.post(f"{MODEL}/generate_stream", json=wish))


def test_what_goes_wrong_amid_a_stream_is_an_event(model):
    server = InferenceServer(model=model, name="small", device="cpu")
    wish = {"context": walk(6).tolist(), "horizon": 1000, "num_samples": 8}
    with (
        running(server) as url,
        httpx.Client(base_url=url, timeout=20) as client,
        client.stream("POST", f"{MODEL}/generate_stream", json=wish) as answer,
    ):
        lines = answer.iter_lines()
        assert "points" in next(lines)
        server.close(drain=False)
        *_, last = (line for line in lines if line)
    assert "shutting down" in json.loads(last.removeprefix("data: "))["error"]


def test_a_stream_begins_before_its_end_and_stops_with_its_client(client, server):
    wish = {"context": walk(6).tolist(), "horizon": 1000, "num_samples": 8}
    steps = server.worker.engine.counts.steps
    with client.stream("POST", f"{MODEL}/generate_stream", json=wish) as answer:
        first = next(answer.iter_lines())
        assert json.loads(first.removeprefix("data: "))["first"] == 0
    await_idle(server)
    assert server.worker.engine.counts.steps - steps < 200  # of its 250 passes


def test_a_client_that_leaves_without_a_word_stops_its_forecast(url, server):
    host, port = url.removeprefix("http://").split(":")
    content = json.dumps({"context": walk(6).tolist(), "horizon": 1000, "num_samples": 8}).encode()
    for path in ("generate", "generate_stream"):
        steps = server.worker.engine.counts.steps
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = (
                f"POST {MODEL}/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            connection.sendall(head.encode() + content)
            wait_for(lambda: server.worker.waiting)
        await_idle(server)
        assert server.worker.engine.counts.steps - steps < 200  # of its 250 passes


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def await_idle(server):
    wait_for(lambda: server.worker.waiting == 0)
