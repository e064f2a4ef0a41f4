"""The server's own face over HTTP: its numbers are those of the model."""

import asyncio
import json
import time

import numpy as np
import pytest
import websockets
from reference import small_model
from serving import assert_close, walk

from m.inference_server import InferenceServer, RequestError

# ---- the same numbers ----


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("horizon", [3, 11])
def test_forecasts_are_those_of_the_model(client, model, batch, horizon):
    path = walk(20, 1, batch)
    options = {"temperature": 0.7, "num_samples": 4, "seed": 5}
    alone = model.forecast(path, horizon, **options)
    body = {**options, "quantiles": [0.1, 0.5], "request_id": "mine", "return_routing": True}
    for where, points, steps, name in (
        ("/infer", "tokens", "max_new_tokens", "generated_tokens"),
        ("/v1/forecast", "points", "horizon", "points"),
    ):
        answer = client.post(where, json={points: path.tolist(), steps: horizon, **body})
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert_close(content[name], alone.points)
        assert_close(content["mean"], alone.mean)
        assert_close(content["samples"], alone.samples)
        assert_close(content["quantiles"]["0.1"], alone.quantile(0.1))
        assert_close(content["quantiles"]["0.5"], alone.quantile(0.5))
        assert content["request_id"] == "mine"
        assert content["model"] == "small"
        assert 0 < content["timing"]["first_step_ms"] <= content["timing"]["total_ms"]
        assert content["timing"]["queue_ms"] <= content["timing"]["first_step_ms"]
        assert content["steps_per_second"] == pytest.approx(horizon / content["timing"]["total_ms"] * 1e3)
        last = alone.routing.layers[0].experts[:, -1].tolist()
        assert content["routing"][0]["experts"] == (last if batch else last[0])
        assert sum(content["routing"][1]["load"]) == pytest.approx(1.0)


def test_padded_contexts_and_held_anchors(client, model):
    path = walk(20, 2, 3)
    body = {"points": path.tolist(), "horizon": 6, "lengths": [20, 7, 13], "anchor_points": 9}
    content = client.post("/v1/forecast", json=body).json()
    assert_close(content["mean"], model.forecast(path, 6, lengths=[20, 7, 13], anchor_points=9).mean)


def test_the_second_time_it_is_known(client):
    body = {"tokens": walk(40, 77).tolist(), "max_new_tokens": 6}
    first, second = (client.post("/infer", json=body).json() for _ in range(2))
    assert first["reused_prefix_length"] == 0
    assert second["reused_prefix_length"] == 32
    assert_close(second["mean"], first["mean"])
    assert 0 < second["cache_hit_rate"] < 1


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_any_dimension_in_process(channels):
    model = small_model(input_dim=channels, target_dim=channels)
    path = walk(20, 3, channels=channels)

    async def ask(server):
        answers = await asyncio.gather(
            server.handle_request({"tokens": path.tolist(), "max_new_tokens": 9}),
            server.handle_request({"tokens": path, "max_new_tokens": 9, "temperature": 1.0, "seed": 3}),
        )
        with pytest.raises(RequestError, match="shape") as refused:
            await server.handle_request({"tokens": [[0.0] * (channels + 1)] * 5})
        assert refused.value.status == 400
        return answers

    with InferenceServer(model=model, device="cpu") as server:
        plain, drawn = asyncio.run(ask(server))
    assert isinstance(plain["generated_tokens"], list)
    assert_close(plain["generated_tokens"], model.forecast(path, 9).mean)
    assert_close(drawn["generated_tokens"], model.forecast(path, 9, temperature=1.0, seed=3).points)


def test_a_flat_series_is_refused_where_points_are_expected(client):
    answer = client.post("/infer", json={"tokens": [1.0, 2.0, 3.0]})
    assert answer.status_code == 400
    assert "shape" in answer.json()["error"]


# ---- times ----


def test_times_of_the_forecast(client, model):
    path = walk(10)
    times = 100.0 + 0.5 * np.arange(10)
    even = client.post("/v1/forecast", json={"points": path.tolist(), "horizon": 3, "dt": 0.5}).json()
    np.testing.assert_allclose(even["timestamps"], [5.0, 5.5, 6.0])
    body = {"points": path.tolist(), "horizon": 3, "timestamps": times.tolist()}
    dated = client.post("/v1/forecast", json=body).json()
    np.testing.assert_allclose(dated["timestamps"], [105.0, 105.5, 106.0])
    assert dated["resampled"] is False
    assert_close(dated["mean"], model.forecast(path, 3).mean)


def test_times_of_padded_contexts_count_from_their_own_ends(client):
    body = {"points": walk(10, 0, 2).tolist(), "horizon": 2, "dt": 0.5, "lengths": [10, 4]}
    answer = client.post("/v1/forecast", json=body).json()
    np.testing.assert_allclose(answer["timestamps"], [[5.0, 5.5], [2.0, 2.5]])
    alone = {"points": walk(10).tolist(), "horizon": 2, "dt": 0.5, "lengths": [4]}
    np.testing.assert_allclose(client.post("/v1/forecast", json=alone).json()["timestamps"], [2.0, 2.5])


def test_uneven_times_are_refused_or_interpolated(client, model):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.5, 1.5, 30))
    path = np.stack([np.sin(0.2 * times), np.cos(0.2 * times), 0.1 * times], -1)
    body = {"points": path.tolist(), "horizon": 3, "timestamps": times.tolist()}
    refused = client.post("/v1/forecast", json=body)
    assert refused.status_code == 400
    assert "resample" in refused.json()["error"]
    answer = client.post("/v1/forecast", json=body | {"resample": True}).json()
    assert answer["resampled"] is True
    step = np.median(np.diff(times))
    np.testing.assert_allclose(answer["timestamps"], times[-1] + step * np.arange(1, 4))
    count = int((times[-1] - times[0]) / step) + 1
    grid = times[-1] - step * np.arange(min(count, 30))[::-1]
    exact = np.stack([np.sin(0.2 * grid), np.cos(0.2 * grid), 0.1 * grid], -1)  # of which splines err by 1e-4
    np.testing.assert_allclose(answer["mean"], model.forecast(exact, 3).mean, atol=0.05)


# ---- sessions ----


def test_a_session_over_http(client, model):
    path = walk(30, 8)
    ask = {"horizon": 6, "session_id": "walker"}
    opened = client.post("/v1/forecast", json={"points": path[:20].tolist(), "session_start": True, **ask})
    assert opened.json()["session"]["points"] == 20
    pushed = client.post("/v1/forecast", json={"points": path[20:23].tolist(), **ask}).json()
    assert_close(pushed["mean"], model.forecast(path[:23], 6).mean)
    held = client.post("/v1/forecast", json={"points": path[23:24].tolist(), "hold_points": 9, **ask}).json()
    held = client.post("/v1/forecast", json={"points": path[24:25].tolist(), **ask}).json()
    assert held["session"]["reanchored"] is False
    assert held["reused_prefix_length"] == 24
    assert_close(
        held["mean"], model.forecast(path[:25], 6, anchor_points=held["session"]["anchor_points"]).mean
    )
    ended = client.post("/v1/forecast", json={"points": path[25:26].tolist(), "session_end": True, **ask})
    assert ended.json()["session"]["ended"] is True
    lost = client.post("/v1/forecast", json={"points": path[26:27].tolist(), **ask})
    assert lost.status_code == 404
    assert "walker" in lost.json()["error"]


def test_times_in_a_session_go_on(client):
    path, ask = walk(14, 8).tolist(), {"horizon": 2, "session_id": "clock"}

    def push(points, **times):
        answer = client.post("/v1/forecast", json={"points": points, **ask, **times})
        assert answer.status_code == 200, answer.text
        return answer.json()["timestamps"]

    np.testing.assert_allclose(push(path[:10], dt=0.5, session_start=True), [5.0, 5.5])
    np.testing.assert_allclose(push(path[10:11], dt=0.5), [5.5, 6.0])
    np.testing.assert_allclose(push(path[11:13], dt=0.5), [6.5, 7.0])
    np.testing.assert_allclose(push(path[13:], dt=0.5, timestamps=[106.5], session_end=True), [107.0, 107.5])


def test_a_session_that_goes_beyond_time_is_told(client):
    path, ask = walk(4, 8).tolist(), {"horizon": 2, "session_id": "eternity"}
    body = {"points": path[:2], "session_start": True, **ask}
    assert client.post("/v1/forecast", json=body).status_code == 200
    late = client.post("/v1/forecast", json={"points": path[2:], "dt": 5e307, "session_end": True, **ask})
    assert late.status_code == 400
    assert "times of the forecast" in late.json()["error"]


def test_a_stream_equals_the_whole_and_survives_errors(url, model):
    path = walk(30, 9)

    async def talk():
        found = []
        async with websockets.connect(url.replace("http", "ws") + "/v1/stream") as socket:

            async def say(message):
                await socket.send(message if isinstance(message, str) else json.dumps(message))
                return json.loads(await socket.recv())

            found.append(await say({"points": path[:20].tolist(), "horizon": 6, "quantiles": [0.2]}))
            found.append(await say({"points": path[20:21].tolist()}))
            errors = [
                await say({"points": [[1.0, 2.0]]}),
                await say({"poinds": 1}),
                await say("{"),
                await say("[]"),
                await say({"points": path[21:22].tolist(), "horizon": 10_000}),
            ]
            found.append(await say({"points": path[21:24].tolist(), "horizon": 3}))
            found.append(await say({"points": path[24:].tolist(), "restart": True}))
            return found, errors

    found, errors = asyncio.run(talk())
    assert [error["status"] for error in errors] == [400] * 5
    for answer, (seen, horizon) in zip(
        found, [(path[:20], 6), (path[:21], 6), (path[:24], 3), (path[24:], 3)], strict=True
    ):
        alone = model.forecast(seen, horizon)
        assert answer["session"]["points"] == len(seen)
        assert_close(answer["mean"], alone.mean)
        assert_close(answer["quantiles"]["0.2"], alone.quantile(0.2))


def test_a_stream_that_ends_leaves_no_session(url, client):
    before = client.get("/stats").json()["sessions"]

    async def talk():
        async with websockets.connect(url.replace("http", "ws") + "/v1/stream") as socket:
            await socket.send(json.dumps({"points": walk(9).tolist(), "horizon": 3}))
            await socket.recv()
            assert client.get("/stats").json()["sessions"] == before + 1

    async def talk_in_vain():
        """What is refused only for its answer has begun a session all the same."""
        async with websockets.connect(url.replace("http", "ws") + "/v1/stream") as socket:
            await socket.send(json.dumps({"points": walk(9).tolist(), "horizon": 3, "temperature": 1e308}))
            assert json.loads(await socket.recv())["status"] == 400
            assert client.get("/stats").json()["sessions"] == before + 1

    for conversation in (talk, talk_in_vain):
        asyncio.run(conversation())
        deadline = time.monotonic() + 5
        while client.get("/stats").json()["sessions"] != before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
