"""Serves the live page and its events to browsers on this machine, from threads of the training process."""

from __future__ import annotations

import http.server
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from examples.trajectory_3d.live.history import Event, History
from examples.trajectory_3d.live.page import render
from examples.trajectory_3d.web.assemble import plotly_script
from m.config import ConfigError

HOST = "127.0.0.1"
MOST_READERS = 16  # open event streams; each has a thread
KEEP_ALIVE_SECONDS = 10.0  # between signs of life, by which a reader's leaving is noticed
RETRY_MILLISECONDS = 2000
_FAREWELL_SECONDS = 2.0  # for readers to take the last events when the server closes
_OWN_NAMES = frozenset({"127.0.0.1", "localhost"})


class LiveServer:
    """A local page on a history. Nobody but this machine can reach it.

    Use `live_server`, which also closes it.

    Args:
        history: whose events are served.
        port: 0 for any free one.

    Raises:
        ConfigError: the port cannot be listened on.
    """

    def __init__(self, history: History, port: int) -> None:
        self.history = history
        try:
            self._server = _HttpServer((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"--live: cannot listen on port {port} of {HOST} ({error}); "
                "another program may use it: give another port, or 0 for any free one"
            ) from error
        self._server.history = history
        _close_in_children(self._server)
        self._thread = threading.Thread(target=self._server.serve_forever, name="live-page", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """That is listened on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.port}/"

    def close(self) -> None:
        """Close the history, let readers take its last events, and stop listening."""
        self.history.close()
        self._server.readers.wait_until_none(_FAREWELL_SECONDS)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def live_server(port: int | None) -> Iterator[LiveServer | None]:
    """A server while the block runs; None for no port, so that callers need no two ways.

    Raises:
        ConfigError: see `LiveServer`.
    """
    if port is None:
        yield None
        return
    server = LiveServer(History(most_of={"snapshot": 60}), port)
    try:
        yield server
    finally:
        if not (server.history.closed or server.history.has("end")):  # the run never came to say so itself
            server.history.add("end", {"status": "failed"})
        server.close()


def _close_in_children(server: _HttpServer) -> None:
    """Let no forked data worker hold the port: it would stay taken when the run has been killed."""
    if not hasattr(os, "register_at_fork"):
        return
    kept = weakref.ref(server)

    def close() -> None:
        alive = kept()
        if alive is not None:
            alive.socket.close()

    os.register_at_fork(after_in_child=close)


class _Readers:
    """Counts open event streams."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._changed = threading.Condition()

    @contextmanager
    def one(self) -> Iterator[bool]:
        """A place for one more; False when all are taken."""
        with self._changed:
            admitted = self._count < self._most
            self._count += admitted
        try:
            yield admitted
        finally:
            with self._changed:
                self._count -= admitted
                self._changed.notify_all()

    def wait_until_none(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0, timeout)


class _HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    history: History

    def __init__(self, address: tuple[str, int], handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.readers = _Readers(MOST_READERS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of errors, but for a browser that goes away in the middle: that is none."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.0"  # a stream ends when the connection does
    server_version = "trajectory-3d-live"
    timeout = 30  # seconds that a connection may say nothing

    def do_GET(self) -> None:
        """The page, plotly's script, or the events."""
        # A foreign page whose name was pointed at this machine must not read along (DNS rebinding).
        # Its port says nothing: who forwards one may have another at the browser's end.
        if self.headers.get("Host", "").partition(":")[0].lower() not in _OWN_NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine only")
            return
        match self.path.partition("?")[0]:
            case "/":
                self._send(render(), "text/html; charset=utf-8", "no-store")
            case "/plotly.js":
                self._send(plotly_script(), "text/javascript; charset=utf-8", "max-age=86400")
            case "/events":
                self._send_events()
            case _:
                self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class names it)
        """Requests are not worth a line in the terminal that shows the run."""

    def _send(self, text: str, kind: str, caching: str) -> None:
        body = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", caching)
        self.end_headers()
        self.wfile.write(body)

    def _send_events(self) -> None:
        """Server-sent events (WHATWG HTML, section 9.2): all so far, then each as it comes."""
        with self.server.readers.one() as admitted:
            if not admitted:
                self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open")
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            with suppress(ConnectionError, TimeoutError):
                self._stream(self._last_seen())

    def _stream(self, number: int) -> None:
        history = self.server.history
        self.wfile.write(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        while True:
            closed = history.closed  # asked first: what is added before a close is never missed
            events = history.after(number, KEEP_ALIVE_SECONDS)
            text = "".join(_format(event, history.token) for event in events)
            self.wfile.write((text or ": still here\n\n").encode())
            self.wfile.flush()
            if events:
                number = events[-1].number
            elif closed:
                return

    def _last_seen(self) -> int:
        """Number after which a browser that comes back goes on; 0 when it saw another history."""
        token, _, number = self.headers.get("Last-Event-ID", "").partition("-")
        return int(number) if token == self.server.history.token and number.isdecimal() else 0


def _format(event: Event, token: str) -> str:
    return f"id: {token}-{event.number}\nevent: {event.kind}\ndata: {event.data}\n\n"
