"""A server on loopback for tests, in a thread that ends with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import uvicorn

from m.inference_server import InferenceServer, Limits
from m.inference_server.app import create_app
from m.inference_server.guard import Access
from m.inference_server.host import Host


def walk(length, seed=0, batch=None, channels=3, origin=100.0):
    """A random walk away from the origin, ``[length, channels]`` or a batch of them."""
    rng = np.random.default_rng(seed)
    shape = (length, channels) if batch is None else (batch, length, channels)
    return rng.standard_normal(shape).cumsum(axis=-2) + origin * rng.standard_normal(channels)


def assert_close(answer, expected):
    """To 1e-5 of the expected values' size."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * (np.ptp(expected) + 1))


OPEN_INFERENCE_LIMITS = Limits(batch=4, context=60, horizon=1000, samples=8, quantiles=3, body_bytes=50_000)
SMALL_LIMITS = Limits(
    context_points=200,
    forecast_points=1000,
    batch=4,
    context=60,
    horizon=40,
    samples=8,
    quantiles=3,
    body_bytes=50_000,
)
GOOD = {"points": walk(9).tolist(), "horizon": 3}


@contextmanager
def running(
    server: InferenceServer | Host, *, limits: Limits | None = None, access: Access | None = None
) -> Iterator[str]:
    """Yields the URL; the server is closed afterwards."""
    host = server if isinstance(server, Host) else Host.of(server)
    app = create_app(host, limits=limits, access=access)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not web.started:
            if time.monotonic() > deadline:
                raise TimeoutError("the server did not start")
            time.sleep(0.01)
        yield f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}"
    finally:
        web.should_exit = True
        thread.join(20)
        if host.server_if_loaded is not None:
            host.server_if_loaded.close(drain=False, timeout=10)


def refused(answer, status=400):
    """What a refusal says; it must be one, in JSON."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    return answer.json()["error"]
