"""``generate`` and ``generate_stream``: a forecast from plain JSON, at once or block by block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from m.arrays import Array
from m.inference_server.errors import RequestError
from m.inference_server.forecast_server import ForecastServer
from m.inference_server.open_inference.answers import arrays, figures, finite, generate_answer, named
from m.inference_server.open_inference.compression import read_body
from m.inference_server.open_inference.requests import Asked, read_generate
from m.inference_server.web import json_bytes, while_connected
from m.inference_server.wish import Served

EVENT_STREAM = "text/event-stream"

_Block = tuple[int, Array]


async def generate(server: ForecastServer, request: Request) -> Response:
    """Answer with the whole forecast.

    Raises:
        RequestError: with a status of HTTP and what to do.
    """
    asked = read_generate(await read_body(request, server.limits.body_bytes))
    served = await while_connected(request, server.forecast(asked.wish, request_id=asked.id))
    return await generate_answer(request, server.name, asked, served)


async def generate_stream(server: ForecastServer, request: Request) -> Response:
    """Answer with an event for each block of points, and a last one with the rest.

    Raises:
        RequestError: what goes wrong before the first points are known; later it is told in an event.
    """
    blocks = _Blocks()
    asked = read_generate(await read_body(request, server.limits.body_bytes), on_block=blocks.put)
    work = asyncio.ensure_future(server.forecast(asked.wish, request_id=asked.id))
    work.add_done_callback(lambda _: blocks.end())
    try:
        first = await while_connected(request, blocks.next())
        if first is None:
            work.result()  # raises why there are none
        else:
            finite(first[1])
        return _Events(_events(server.name, asked, first, blocks, work), work)
    except BaseException:
        work.cancel()
        raise


class _Blocks:
    """Points on their way from the engine's thread to an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Block | None] = asyncio.Queue()

    def put(self, first: int, points: Array) -> None:
        """Hand over points, from the engine's thread."""
        with suppress(RuntimeError):  # the loop has ended, and nobody will read them
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (first, points))

    def end(self) -> None:
        """Say that there are no more."""
        self._queue.put_nowait(None)

    async def next(self) -> _Block | None:
        """The next points, or None at the end."""
        return await self._queue.get()


class _Events(StreamingResponse):
    """Events of a forecast; however their sending ends, the forecast is not worked on any more."""

    def __init__(self, events: AsyncIterator[bytes], work: asyncio.Future[Served]) -> None:
        super().__init__(events, media_type=EVENT_STREAM, headers={"Cache-Control": "no-store"})
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._work.cancel()


async def _events(
    model: str, asked: Asked, block: _Block | None, blocks: _Blocks, work: asyncio.Future[Served]
) -> AsyncIterator[bytes]:
    begin = named(model, asked)
    try:
        while block is not None:
            first, points = block
            yield _event(begin | {"first": first, "points": finite(points)})
            block = await blocks.next()
        served = work.result()
        rest = {name: values for name, values in arrays(asked, served).items() if name != "points"}
        yield _event(begin | {"final": True, "parameters": figures(served)} | rest)
    except RequestError as error:
        yield _event({"error": error.message})


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json_bytes(content) + b"\n\n"
