"""Running the server as a process: sockets, signals, draining, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from m._checks import between
from m.config import ConfigError
from m.inference_server.app import create_app
from m.inference_server.forecast_server import ForecastServer
from m.inference_server.guard import Access
from m.inference_server.host import Host
from m.inference_server.limits import Limits

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
_LONGEST_WAIT = 3600.0  # seconds
_BACKLOG = 1024
_CLOSING = 0.02  # seconds for the loop to let go of a port
_LAST_WORDS = 0.2  # seconds for requests of those who have just connected
_LOOPBACK = ("127.", "::1", "localhost")
_log = logging.getLogger("m.inference_server")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How a server process runs.

    Attributes:
        host: address to listen on; loopback by default.
        port: 0 for any free one.
        limits: of what a client may ask.
        key: that clients must give, or None.
        origins: of other pages whose scripts may ask.
        notice_seconds: after a signal to end, during which ``/readyz`` already says 503 while requests are
            still taken, so that a load balancer can turn away.
        drain_seconds: for those who are in, after that.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    limits: Limits = field(default_factory=Limits)
    key: str | None = None
    origins: tuple[str, ...] = ()
    notice_seconds: float = 0.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("notice_seconds", "drain_seconds"):
            between(name, getattr(self, name), 0.0, _LONGEST_WAIT)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host.startswith(_LOOPBACK)


def serve(
    make: Callable[[], ForecastServer],
    *,
    name: str,
    settings: ServeSettings,
    announce: Callable[[str], None] = print,
) -> int:
    """Serve until a signal ends it, or its engine dies.

    Args:
        make: loads the model; called once the port answers, so that ``/readyz`` can say "loading".
        name: what clients call the model.
        settings: how to run.
        announce: told the address.

    Returns:
        Exit code: 0 after SIGTERM or Ctrl-C once everybody in was answered, 1 when the engine died or
        not everybody could be answered in time.

    Raises:
        ConfigError: the port cannot be listened on.
        Exception: what loading the model raised.
    """
    with listening(settings) as listener, asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(_serve(Host(make, name=name), settings, listener, announce))


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop of uvloop, where there is one; not on Windows."""
    try:
        import uvloop  # noqa: PLC0415  (optional)
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve(
    host: Host, settings: ServeSettings, listener: socket.socket, announce: Callable[[str], None]
) -> int:
    access = Access(key=settings.key, origins=settings.origins, local_only=settings.loopback)
    server = _Uvicorn(
        uvicorn.Config(
            create_app(host, limits=settings.limits, access=access),
            log_level="warning",
            lifespan="off",
            ws_max_size=settings.limits.body_bytes,
            timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            server_header=False,
        )
    )
    asked = _signalled(asyncio.get_running_loop())
    answering = asyncio.create_task(server.serve(sockets=[listener]))
    announce(f"serving {host.name} at {address(listener)}")
    loading = asyncio.create_task(host.load())
    watching = asyncio.create_task(host.watch())
    try:
        ends: list[asyncio.Future[Any]] = [asked, watching, answering, _failing(loading)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if asked.done() and not watching.done():
            host.drain()
            await asyncio.sleep(settings.notice_seconds)
        server.should_exit = True
        await answering
        code = await _farewell(host, loading, watching, settings)
        return code or int(server.cut_off)
    finally:
        watching.cancel()


async def _farewell(
    host: Host, loading: asyncio.Task[None], watching: asyncio.Task[BaseException], settings: ServeSettings
) -> int:
    """End the engine and say how it went."""
    if loading.done():
        loading.result()  # raises what loading raised
    else:
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading
    answered = await host.close(timeout=settings.drain_seconds)
    if watching.done():
        _log.error("the engine died: %r", watching.result())
        print(f"error: the engine died: {watching.result()!r}", file=sys.stderr)
        return 1
    return 0 if answered else 1


def _failing(loading: asyncio.Task[None]) -> asyncio.Future[None]:
    """A future that is done when loading has failed, and not when it has succeeded."""
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(task: asyncio.Task[None]) -> None:
        if not failed.done() and (task.cancelled() or task.exception() is not None):
            failed.set_result(None)

    loading.add_done_callback(look)
    return failed


def _signalled(loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """A future that a signal to end completes; a second one ends the process at once, as usual."""
    asked: asyncio.Future[None] = loop.create_future()

    def ask(number: int) -> None:
        if not asked.done():
            asked.set_result(None)
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)
    return asked


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again at its end, and the process end by them.

    Attributes:
        cut_off: whether requests were given up at the end, because they took too long.
    """

    cut_off = False

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port and wait for those who are in, as long as they may take.

        Who has connected just now is in too: the system would reset those whom nobody has taken up yet, and
        uvicorn hang up on those of whom it has read nothing.
        """
        await self._take_in_late(sockets or [])
        await asyncio.sleep(_LAST_WORDS)
        await super().shutdown(sockets)
        self.cut_off = bool(self.server_state.tasks)  # cancelled just now, and not gone yet

    async def _take_in_late(self, listeners: list[socket.socket]) -> None:
        """Stop listening, and take up whom the system has let in until then."""
        kept = [listener.dup() for listener in listeners]  # as long as one is open, nobody is reset
        for server, listener in zip(self.servers, listeners, strict=True):
            server.close()
            listener.close()
        await asyncio.sleep(_CLOSING)
        late = [connection for listener in kept for connection in _connected(listener)]
        for connection in late:
            await asyncio.get_running_loop().connect_accepted_socket(self._conversation, connection)

    def _conversation(self) -> asyncio.Protocol:
        """What reads and answers a connection, as uvicorn makes it for those that it takes up itself."""
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _connected(listener: socket.socket) -> list[socket.socket]:
    """Connections that wait to be taken up; closes the listener at once after the last."""
    found = []
    with listener, suppress(BlockingIOError):
        listener.setblocking(False)
        while True:
            found.append(listener.accept()[0])
    return found


@contextmanager
def listening(settings: ServeSettings) -> Iterator[socket.socket]:
    """A socket on the port.

    Raises:
        ConfigError: it is taken, or no such address is here.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)  # from now on who connects waits, and is not refused
    except (OSError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        advice = "another program uses it: stop that, or give another --port, or 0 for any free one"
        raise ConfigError(
            f"cannot listen on port {settings.port} of {settings.host}: "
            + (advice if taken else f"{error}; check --host and --port")
        ) from error
    with listener:
        yield listener


def address(listener: socket.socket) -> str:
    """The URL of a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
