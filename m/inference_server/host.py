"""Where a process stands with its server: loading, ready, draining, or failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

from m.inference_server.errors import BUSY_SECONDS, RequestError
from m.inference_server.forecast_server import ForecastServer

Status = Literal["loading", "ready", "draining", "failed"]
_WATCH_SECONDS = 0.2  # between looks at whether the engine lives


class Host:
    """Makes a server while the process answers already, and watches it afterwards.

    Args:
        make: loads the model; called in a thread.
        name: what clients call the model, known before it is loaded.
    """

    def __init__(self, make: Callable[[], ForecastServer], *, name: str) -> None:
        self.name = name
        self.error: BaseException | None = None
        self._make = make
        self._server: ForecastServer | None = None
        self._draining = False

    @classmethod
    def of(cls, server: ForecastServer) -> Host:
        """Of a server that is there."""
        host = cls(lambda: server, name=server.name)
        host._server = server
        return host

    @property
    def status(self) -> Status:
        """What to tell those who ask whether the server can be used."""
        if self._draining:
            return "draining"
        if self.error is not None or (self._server is not None and not self._server.alive):
            return "failed"
        return "loading" if self._server is None else "ready"

    @property
    def ready(self) -> bool:
        """Whether a forecast would be made now: not while loading, draining or full, nor after a failure."""
        return self.status == "ready" and self._server is not None and not self._server.full

    @property
    def server(self) -> ForecastServer:
        """The server.

        Raises:
            RequestError: 503, it is not there yet, or could not be made.
        """
        if self._server is None:
            reason = "is being loaded" if self.error is None else "could not be loaded; see the server's log"
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the model {reason}; ask again later",
                retry_after=BUSY_SECONDS,
            )
        return self._server

    @property
    def server_if_loaded(self) -> ForecastServer | None:
        """The server, or None while there is none."""
        return self._server

    async def load(self) -> None:
        """Make the server, unless it is there.

        Raises:
            Exception: whatever loading the model raised.
        """
        if self._server is not None:
            return
        try:
            self._server = await asyncio.to_thread(self._make)
        except BaseException as error:
            self.error = error
            raise

    async def watch(self) -> BaseException:
        """Wait until the engine has died of an error, and return it."""
        while True:
            failure = None if self._server is None else self._server.worker.failure
            if failure is not None:
                return failure
            await asyncio.sleep(_WATCH_SECONDS)

    def drain(self) -> None:
        """Say to those who ask that the server is about to end."""
        self._draining = True

    async def close(self, *, timeout: float) -> bool:
        """Answer who is in and end the engine's thread; whether that was done in time."""
        self._draining = True
        if self._server is None:
            return True
        return await asyncio.to_thread(self._server.close, timeout=timeout)
