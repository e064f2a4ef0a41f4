"""The front of replicas without a cluster: what it does when replicas die, dawdle or are busy."""

from __future__ import annotations

import asyncio
import sys

import httpx
import pytest
from serving import GOOD, refused, walk

from m import load
from m.inference_server import InferenceServer, Limits
from m.inference_server.app import create_app
from m.inference_server.cli import main
from m.inference_server.guard import Access
from m.inference_server.host import Host
from m.inference_server.whole import answer_whole

ray_exceptions = pytest.importorskip("ray.exceptions")
pytest.importorskip("ray.serve")

from m.inference_server.ray_front import MOST_TRIES, TRIES, Front  # noqa: E402  (needs ray)


class Handle:
    """Replicas in this process: each call does what comes next, the last of it for ever."""

    def __init__(self, app, *acts):
        self.app, self.acts, self.calls = app, list(acts), 0
        self.answer = self

    async def remote(self, request):
        self.calls += 1
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if isinstance(act, BaseException):
            raise act
        if act == "dawdle":
            await asyncio.sleep(60)
        return await answer_whole(self.app, request)


@pytest.fixture(scope="module")
def app():
    limits = Limits(sessions=0)
    with InferenceServer(model=load("trajectory-3d"), limits=limits) as server:
        yield create_app(Host.of(server), limits=limits, access=Access(local_only=False))


def ask(handle, method="POST", path="/v1/forecast", *, patience=30.0, body_bytes=2**20, **more):
    front = Front(lambda: handle, body_bytes=body_bytes, patience=patience)

    async def go():
        transport = httpx.ASGITransport(app=front)
        async with httpx.AsyncClient(transport=transport, base_url="http://front") as client:
            return await client.request(method, path, **({"json": GOOD} if method == "POST" else {}) | more)

    return asyncio.run(go())


@pytest.fixture
def died():
    return ray_exceptions.RayActorError()


def test_what_a_replica_answers_comes_through(app):
    handle = Handle(app, "answer")
    found = ask(handle)
    assert found.status_code == 200
    assert len(found.json()["points"]) == 3
    assert TRIES not in found.headers
    assert ask(handle, "GET", "/v1/model?x=1").json()["name"] == "model"
    assert refused(ask(handle, json=GOOD | {"horizont": 1}))


def test_another_replica_is_asked_when_one_dies(app, died):
    handle = Handle(app, died, died, "answer")
    found = ask(handle)
    assert found.status_code == 200
    assert found.headers[TRIES] == "3"
    assert found.json()["points"] == ask(Handle(app, "answer")).json()["points"]


def test_a_request_that_kills_everybody_does_not_go_round_for_ever(app, died):
    handle = Handle(app, died)
    found = ask(handle)
    assert "died one after the other" in refused(found, 503)
    assert found.headers["retry-after"] == "1"
    assert handle.calls == MOST_TRIES


def test_nobody_waits_for_ever(app):
    assert "no replica answered within 0.1 s" in refused(ask(Handle(app, "dawdle"), patience=0.1), 503)


def test_what_is_too_large_is_not_sent_on(app):
    handle = Handle(app, "answer")
    assert "larger than the 1000 bytes" in refused(
        ask(handle, content=b" " * 1001, json=None, body_bytes=1000), 413
    )
    assert handle.calls == 0


def test_without_sessions_pushes_of_every_face_are_refused(app):
    body = {"points": walk(9).tolist(), "session_id": "a", "session_start": True}
    assert "keeps no sessions" in refused(ask(Handle(app, "answer"), json=body))
    tensor = {"name": "context", "shape": [9, 3], "datatype": "FP64", "data": walk(9).ravel().tolist()}
    body = {"inputs": [tensor], "parameters": {"sequence_id": 41, "sequence_start": True}}
    found = ask(Handle(app, "answer"), path="/v2/models/model/infer", json=body)
    assert "keeps no sessions" in refused(found)


def test_the_front_lives_without_replicas(app, died):
    handle = Handle(app, died)
    assert ask(handle, "GET", "/livez").text == "ok"
    assert handle.calls == 0
    assert refused(ask(handle, "GET", "/metrics"), 501)


def test_wrong_requests_for_replicas_end_with_2(capsys, monkeypatch):
    assert main(["trajectory-3d", "--ray", "--replicas", "0"]) == 2
    assert "--replicas" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--ray", "trajectory-3d"])
    assert "name the model before --ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["trajectory-3d", "--ray", "--port", "0"]) == 2
    assert "pip install 'm-trajectory[ray]'" in capsys.readouterr().err
