"""Reading and answering over HTTP, for all faces."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from m.inference_server.errors import RequestError

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
    """A route that reads `OrjsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, given that kind of request."""
        handler = super().get_route_handler()

        async def read(request: Request) -> Response:
            return await handler(OrjsonRequest(request.scope, request.receive))

        return read


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON; arrays become nested lists."""
    return Response(
        orjson.dumps(content, option=_OPTIONS),
        status_code=status,
        headers=None if headers is None else dict(headers),
        media_type="application/json",
    )


def error_response(error: RequestError) -> Response:
    """``{"error": "..."}`` with the right status."""
    return json_response({"error": error.message}, error.status, error.headers)
