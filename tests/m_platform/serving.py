"""A server on loopback for tests, in a thread that ends with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from m.inference_server import InferenceServer, Limits
from m.inference_server.app import create_app
from m.inference_server.guard import Access
from m.inference_server.host import Host


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
