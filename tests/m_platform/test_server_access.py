"""Who may ask: keys, other pages, other names of this machine."""

import asyncio
import json

import httpx
import pytest
import websockets
from reference import small_model
from serving import GOOD, running

from m.inference_server import InferenceServer
from m.inference_server.guard import Access


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
        for options, status in (
            ({}, 401),
            ({"subprotocols": ["m.stream", "m.key.wrong"]}, 401),
            ({"origin": "http://evil.example", **keyed}, 403),
        ):
            with pytest.raises(websockets.InvalidStatus, match=str(status)) as refused:
                asyncio.run(open_stream(**options))
            assert set(json.loads(refused.value.response.body)) == {"error"}


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
