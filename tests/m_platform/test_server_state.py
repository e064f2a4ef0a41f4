"""A server that is full, late, loading, draining or dead says so, and keeps figures."""

import asyncio
import threading
import time

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from reference import small_model
from serving import GOOD, running

from m.inference_server import InferenceServer, Limits
from m.inference_server.host import Host

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
        deadline = time.monotonic() + 10
        while 'status="499"' not in httpx.get(url + "/metrics").text:  # until it was noticed
            assert time.monotonic() < deadline
            time.sleep(0.01)
        gate.open.set()
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


def test_probes_may_ask_for_the_head_alone(client):
    for path in ("/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b""), path


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
