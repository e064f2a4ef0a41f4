"""The server's own face over HTTP: its numbers are those of the model, and its refusals are clear."""

import asyncio
import json
import re
import threading
import time

import httpx
import numpy as np
import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from reference import small_model
from serving import running

from m.inference_server import InferenceServer, Limits, RequestError
from m.inference_server.guard import Access
from m.inference_server.host import Host

LIMITS = Limits(
    context_points=200,
    forecast_points=1000,
    batch=4,
    context=60,
    horizon=40,
    samples=8,
    quantiles=3,
    body_bytes=50_000,
)


def walk(length, seed=0, batch=None, channels=3):
    rng = np.random.default_rng(seed)
    shape = (length, channels) if batch is None else (batch, length, channels)
    return rng.standard_normal(shape).cumsum(axis=-2) + 100 * rng.standard_normal(channels)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def url(model):
    server = InferenceServer(model=model, name="small", device="cpu", limits=LIMITS)
    with running(server, limits=LIMITS) as found:
        yield found


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, timeout=20) as found:
        yield found


def assert_close(answer, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * (np.ptp(expected) + 1))


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


# ---- refusals ----

GOOD = {"points": walk(9).tolist(), "horizon": 3}
WRONG = [
    ({"points": [[1, 2], [3, 4]]}, "shape"),
    ({"points": [[1, 2, 3], [4, 5]]}, "as many numbers"),
    ({"points": []}, "at least one"),
    ({"points": [[]]}, "numbers in|at least"),
    ({"points": "text"}, "numbers in"),
    ({"points": [["1", "2", "3"]]}, "points"),
    ({"points": [[True, False, True]]}, "points"),
    ({"points": {"a": 1}}, "numbers in"),
    ({"points": walk(61).tolist()}, "61 points of a context .* 60"),
    ({"points": walk(4, 0, 5).tolist()}, "5 contexts .* 4"),
    ({"horizon": 41}, "41 points of the horizon .* 40"),
    ({"horizon": 0}, "horizon"),
    ({"horizon": 2.5}, "horizon"),
    ({"horizon": "3"}, "horizon"),
    ({"temperature": -1}, "temperature"),
    ({"num_samples": 9}, "9 samples .* 8"),
    ({"num_samples": 0}, "num_samples"),
    ({"quantiles": [0.1, 0.2, 0.3, 0.4]}, "4 quantile levels .* 3"),
    ({"quantiles": [1.0]}, "quantiles"),
    ({"seed": -1}, "seed"),
    ({"lengths": [10]}, "lengths"),
    ({"anchor_points": 0}, "anchor_points"),
    ({"dt": 0}, "dt"),
    ({"dt": 1.0, "timestamps": list(range(9))}, "not both"),
    ({"timestamps": [1, 1, 2, 3, 4, 5, 6, 7, 8]}, "increase"),
    ({"timestamps": [1, 2]}, "timestamps"),
    ({"points": [1, 2, 3], "dt": 1.0}, "shape"),
    ({"points": [1, 2, 3], "timestamps": [1, 2, 3]}, "shape"),
    ({"dt": 1e308}, "times of the forecast go beyond"),
    ({"points": walk(2).tolist(), "timestamps": [-1.7e308, 1.7e308], "resample": True}, "finite"),
    ({"points": walk(4).tolist(), "timestamps": [0, 5e-324, 1e-323, 1e10], "resample": True}, "interpolated"),
    (
        {"points": [[1e308] * 3, [-1e308] * 3, [0] * 3], "timestamps": [0, 1, 3], "resample": True},
        "interpolated",
    ),
    ({"lengths": [5], "timestamps": list(range(9))}, "padded"),
    ({"lengths": [5, 5], "dt": 1.0}, "lengths"),
    ({"session_id": "nobody"}, None),
    ({"session_start": True}, "session_id"),
    ({"hold_points": 3}, "session_id"),
    ({"session_id": ""}, "session_id"),
    ({"timeout": 0}, "timeout"),
    ({"unknown": 1}, "unknown"),
    ({"points": walk(55, 0, 4).tolist()}, "220 points of all contexts .* 200"),
    ({"points": walk(9, 0, 4).tolist(), "num_samples": 8, "horizon": 30}, "1080 points of all paths .* 1000"),
    ({"anchor_points": 2**64}, "anchor_points"),
    ({"lengths": [2**63]}, "lengths"),
    ({"temperature": 1e308}, "beyond what numbers hold"),
    ({"points": (1e305 * walk(9)).tolist()}, "beyond what numbers|finite"),
]


@pytest.mark.parametrize(("change", "says"), WRONG)
def test_wrong_requests_are_told_what_is_wrong(client, change, says):
    answer = client.post("/v1/forecast", json=GOOD | change)
    assert answer.status_code == (404 if says is None else 400)
    assert set(answer.json()) == {"error"}
    assert says is None or re.search(says, answer.json()["error"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 100_00,
        b'{"points": [[NaN, 1, 2]]}',
        b'{"points": [[1e999, 1, 2]]}',
        b"\xff\xfe",
        b'{"points": ' + b"9" * 5000 + b"}",
        b"null",
        b'"points"',
    ],
)
def test_what_is_no_json_is_refused(client, body):
    answer = client.post("/infer", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_bodies_are_bounded_whatever_they_say(client):
    large = json.dumps({"points": walk(9).tolist(), "request_id": "x" * 60_000}).encode()
    assert client.post("/v1/forecast", content=large).status_code == 413

    def chunks():
        for at in range(0, len(large), 1000):
            yield large[at : at + 1000]

    answer = client.post("/v1/forecast", content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert "50000 bytes" in answer.json()["error"]


def test_there_is_nothing_elsewhere(client):
    assert client.get("/nowhere").status_code == 404
    assert "/docs" in client.get("/nowhere").json()["error"]
    assert client.get("/infer").status_code == 405
    assert "GET" in client.get("/infer").json()["error"]


mutations = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["cut", "byte", "double"]), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=mutations)
def test_mangled_bodies_never_break_it(client, changes):
    body = json.dumps(GOOD | {"quantiles": [0.1], "seed": 3, "num_samples": 2}).encode()
    for where, how, value in changes:
        at = int(where * max(len(body) - 1, 0))
        if how == "cut":
            body = body[:at]
        elif how == "byte":
            body = body[:at] + bytes([value]) + body[at + 1 :]
        else:
            body = body[:at] + body[at : at + value] + body[at:]
    answer = client.post("/v1/forecast", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400), answer.text
    assert client.get("/readyz").status_code == 200


# ---- who may ask ----


def test_a_key_is_needed_where_one_is_set(model):
    access = Access(key="sesame", origins=("http://friend.example",))
    server = InferenceServer(model=small_model(), name="small", device="cpu")
    with running(server, access=access) as url, httpx.Client(base_url=url) as client:
        for path in ("/livez", "/readyz", "/health", "/v2/health/ready"):
            assert client.get(path).status_code == 200, path
        for path in ("/stats", "/metrics", "/v1/model", "/openapi.json", "/v1/examples"):
            refused = client.get(path)
            assert refused.status_code == 401, path
            assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer sesam", "Bearer sesame2", "sesame", "Basic sesame", "Bearer", "Bearer sésame"):
            headers = {"authorization": wrong.encode()}
            assert client.post("/v1/forecast", json=GOOD, headers=headers).status_code == 401
        headers = {"authorization": "Bearer sesame"}
        assert client.post("/v1/forecast", json=GOOD, headers=headers).status_code == 200

        async def open_stream(**options):
            async with websockets.connect(url.replace("http", "ws") + "/v1/stream", **options) as socket:
                await socket.send(json.dumps(GOOD))
                return json.loads(await socket.recv())

        keyed = {"subprotocols": ["m.stream", "m.key.sesame"]}
        assert "mean" in asyncio.run(open_stream(**keyed))
        assert "mean" in asyncio.run(open_stream(origin="http://friend.example", **keyed))
        assert "mean" in asyncio.run(open_stream(additional_headers=headers))
        for options in (
            {},
            {"subprotocols": ["m.stream", "m.key.wrong"]},
            {"origin": "http://evil.example", **keyed},
        ):
            with pytest.raises(websockets.InvalidStatus, match="403"):
                asyncio.run(open_stream(**options))


def test_pages_of_others_may_not_ask(client, url):
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = client.options("/v1/forecast", headers=asked)
    assert "access-control-allow-origin" not in answer.headers
    for path, body in (("/v1/forecast", GOOD), ("/v2/models/small/generate", {"context": GOOD["points"]})):
        content = json.dumps(body)
        for origin in ("http://evil.example", "null", "http://[", "http://localhost:1"):
            # Such a request a browser sends without asking first.
            headers = {"origin": origin, "content-type": "text/plain"}
            answer = client.post(path, content=content, headers=headers)
            assert answer.status_code == 403, origin
            assert "--allow-origin" in answer.json()["error"]
        own = client.post(path, content=content, headers={"origin": url, "content-type": "application/json"})
        assert own.status_code == 200
    assert client.get("/v1/model", headers={"origin": "http://evil.example"}).status_code == 200


def test_only_names_of_this_machine_are_answered(client):
    for name, status in (
        ("evil.example", 403), ("localhost.evil.example", 403), ("127.0.0.1.evil.example", 403),
        ("192.168.0.1", 403), ("", 403), ("[", 403),
        ("localhost:1", 200), ("LOCALHOST", 200), ("127.0.0.2:80", 200), ("[::1]:80", 200),
    ):  # fmt: skip
        assert client.get("/readyz", headers={"host": name}).status_code == status, name


def test_pages_that_may_ask_can_do_so_with_a_key():
    access = Access(key="sesame", origins=("http://friend.example",))
    server = InferenceServer(model=small_model(), name="small", device="cpu")
    with running(server, access=access) as url, httpx.Client(base_url=url) as client:
        friend = {"origin": "http://friend.example"}
        wanted = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        first = client.options("/v1/forecast", headers=friend | wanted)  # browsers send no key with this one
        assert first.status_code == 200
        assert "authorization" in first.headers["access-control-allow-headers"]
        for key, status in (("sesame", 200), ("wrong", 401)):
            headers = friend | {"authorization": f"Bearer {key}"}
            answer = client.post("/v1/forecast", json=GOOD, headers=headers)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == "http://friend.example"


# ---- full, late, loading, gone ----


class Gate:
    """Holds the engine up until it is opened."""

    def __init__(self, server):
        self.open = threading.Event()
        self.entered = threading.Event()
        step = server.worker.engine.step

        def gated():
            self.entered.set()
            self.open.wait(20)
            return step()

        server.worker.engine.step = gated


def test_a_full_server_says_so_and_is_not_ready():
    server = InferenceServer(model=small_model(), device="cpu", limits=Limits(waiting=2))
    gate = Gate(server)
    with running(server) as url, httpx.Client(base_url=url, timeout=20) as client:
        answers = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(httpx.post(url + "/v1/forecast", json=GOOD, timeout=20))
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while not server.full:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        refused = client.post("/v1/forecast", json=GOOD)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
        gate.open.set()
        for thread in threads:
            thread.join(20)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert client.get("/readyz").status_code == 200


def test_a_late_answer_is_none():
    server = InferenceServer(model=small_model(), device="cpu")
    gate = Gate(server)
    with running(server) as url:
        answer = httpx.post(url + "/v1/forecast", json=GOOD | {"timeout": 0.1}, timeout=20)
        assert answer.status_code == 504
        assert "more time" in answer.json()["error"]
        gate.open.set()
        figures = httpx.get(url + "/stats").json()
        assert figures["refused"] == {"504": 1}


def test_who_leaves_is_not_computed_for():
    server = InferenceServer(model=small_model(), device="cpu")
    gate = Gate(server)
    with running(server) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url + "/v1/forecast", json=GOOD, timeout=0.3)
        assert gate.entered.wait(10)
        gate.open.set()
        deadline = time.monotonic() + 10
        while server.worker.waiting:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert httpx.get(url + "/stats").json()["forecasts"] == 0


def test_while_the_model_is_loaded_it_says_so():
    ready = threading.Event()

    def make():
        ready.wait(20)
        return InferenceServer(model=small_model(), name="small", device="cpu")

    host = Host(make, name="small")
    with running(host) as url, httpx.Client(base_url=url) as client:
        loading = threading.Thread(target=lambda: asyncio.run(host.load()))
        loading.start()
        assert client.get("/readyz").json() == {"status": "loading", "ready": False, "model": "small"}
        assert client.get("/readyz").status_code == 503
        refused = client.post("/v1/forecast", json=GOOD)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        ready.set()
        loading.join(20)
        assert client.post("/v1/forecast", json=GOOD).status_code == 200
        host.drain()
        assert client.get("/readyz").json()["status"] == "draining"
        assert client.get("/readyz").status_code == 503
        assert client.post("/v1/forecast", json=GOOD).status_code == 200  # who comes all the same is served


def test_a_dead_engine_is_not_ready(capsys):
    server = InferenceServer(model=small_model(), name="small", device="cpu")

    def die():
        raise SystemError("planted")

    server.worker.engine.step = die
    with running(server) as url, httpx.Client(base_url=url) as client:
        refused = client.post("/v1/forecast", json=GOOD)
        assert refused.status_code == 503
        assert "planted" not in refused.text
        assert client.get("/readyz").status_code == 503
        assert client.get("/health").json()["status"] == "failed"


def test_an_error_of_the_model_is_told_in_general_words(monkeypatch):
    server = InferenceServer(model=small_model(), device="cpu")
    with running(server) as url:
        monkeypatch.setattr(
            server.worker.engine.reader, "read", lambda *_: (_ for _ in ()).throw(RuntimeError("x9"))
        )
        answer = httpx.post(url + "/v1/forecast", json=GOOD)
        assert answer.status_code == 503
        assert "x9" not in answer.text


# ---- figures ----


def test_figures_are_kept(client):
    before = client.get("/stats").json()
    client.post("/v1/forecast", json=GOOD)
    client.post("/v1/forecast", json=GOOD | {"horizon": 41})
    after = client.get("/stats").json()
    assert after["forecasts"] == before["forecasts"] + 1
    assert after["refused"]["400"] == before["refused"].get("400", 0) + 1
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    for name in (
        "m_requests", "m_request_seconds", "m_forecasts", "m_forecast_seconds", "m_queue_seconds",
        "m_first_step_seconds", "m_batch_rows", "m_prefix_cache_bytes", "m_prefix_cache_capacity_bytes",
        "m_context_points", "m_expert_tokens", "m_sessions", "m_waiting",
    ):  # fmt: skip
        assert name in families, sorted(families)
    ok = [
        s
        for s in families["m_forecasts"].samples
        if s.name.endswith("_total") and s.labels["outcome"] == "ok"
    ]
    assert ok[0].value == after["forecasts"]
    routes = {s.labels["route"] for s in families["m_requests"].samples if "route" in s.labels}
    assert "/v1/forecast" in routes
    experts = [s for s in families["m_expert_tokens"].samples if s.name.endswith("_total")]
    assert sum(s.value for s in experts) == np.sum(after["expert_tokens"])


def test_what_the_model_is(client, model):
    content = client.get("/v1/model").json()
    assert content["name"] == "small"
    assert content["parameters"] == sum(p.numel() for p in model.parameters())
    assert content["limits"]["horizon"] == 40
