"""Reading and answering over HTTP, for all faces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import numpy as np
import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import Scope

from m.inference_server.errors import RequestError

T = TypeVar("T")

CLIENT_LEFT = 499  # as nginx counts it
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class OrjsonRequest(Request):
    """A request whose JSON is read by orjson: fast, bounded in depth, and without NaN."""

    async def json(self) -> Any:
        """The body's content.

        Raises:
            json.JSONDecodeError: it is not JSON.
        """
        if not hasattr(self, "_json"):
            self._json = orjson.loads(await self.body())
        return self._json


class JsonRoute(APIRoute):
    """A route that reads `OrjsonRequest`, whatever kind of body a request says it has."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given that kind of request."""
        handler = super().get_route_handler()

        async def read(request: Request) -> Response:
            return await handler(OrjsonRequest(_as_json(request.scope), request.receive))

        return read


def _as_json(scope: Scope) -> Scope:
    """A request whose body is JSON, whatever its header says: curl calls it a form unless told otherwise.

    That opens no door to pages elsewhere, which may send forms without asking: the guard looks at Origin.
    """
    others = [(name, value) for name, value in scope["headers"] if name.lower() != b"content-type"]
    return {**scope, "headers": [*others, (b"content-type", b"application/json")]}


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work for a client, unless it goes away: then the work is cancelled.

    Args:
        request: whose body has been read.
        work: for instance a forecast.

    Raises:
        RequestError: the client has left; nobody will read that.
    """
    worker = asyncio.current_task()
    leaving = asyncio.ensure_future(_left(request))
    leaving.add_done_callback(lambda task: None if task.cancelled() or worker is None else worker.cancel())
    try:
        return await work
    except asyncio.CancelledError:
        if leaving.done():
            raise RequestError(CLIENT_LEFT, "the client has left") from None
        raise
    finally:
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def json_bytes(content: Any) -> bytes:
    """Content as JSON; arrays become nested lists."""
    return orjson.dumps(content, default=_listed, option=_OPTIONS)


def _listed(value: Any) -> Any:
    """Arrays that do not lie in one piece, which orjson does not take."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not for JSON")


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON; arrays become nested lists."""
    return Response(
        json_bytes(content),
        status_code=status,
        headers=None if headers is None else dict(headers),
        media_type="application/json",
    )


def error_response(error: RequestError) -> Response:
    """``{"error": "..."}`` with the right status."""
    return json_response({"error": error.message}, error.status, error.headers)
