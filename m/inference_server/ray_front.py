"""The front of replicas: passes requests on, and asks another replica when one dies with a request.

Without sessions a forecast changes nothing at the replica that makes it, so a request may be made again,
whether or not the replica that died had answered it. Ray Serve itself asks another replica only as long as
the first has not accepted the request; what was accepted and then lost would fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import orjson
from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from starlette.types import Receive, Scope, Send

from m.inference_server.errors import BUSY_SECONDS, RequestError
from m.inference_server.web import error_response
from m.inference_server.whole import WholeAnswer, WholeRequest

TRIES = "m-tries"  # header of an answer that was not the first try's
MOST_TRIES = 5  # of a request: one that kills whoever takes it must not go round for ever
_PROBE_SECONDS = 5.0  # a probe that waits for a replica to be started is an answer too
_PROBES = frozenset({"/readyz", "/health", "/v2/health/ready"})
# What each replica counts for itself: the numbers of whichever answers would mean nothing.
_OF_ONE = frozenset({"/metrics", "/stats"})
_NO_STREAM = (
    "this server has several replicas and keeps no sessions, which a WebSocket is; send the whole path to "
    "/v1/forecast with every request, or ask a server of one process (m-serve without --ray)"
)
_log = logging.getLogger("ray.serve")


class Front:
    """An ASGI application before replicas that answer a `WholeRequest`.

    Args:
        find: gives the handle of the replicas.
        body_bytes: of a request at most; the replicas judge everything else.
        patience: seconds for one request, all tries together.
    """

    def __init__(self, find: Callable[[], Any], *, body_bytes: int, patience: float) -> None:
        self._find, self._most, self._patience = find, body_bytes, patience
        self._replicas: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await _refuse_stream(receive, send)
        elif scope["path"] == "/livez":
            await _send(WholeAnswer(200, ((b"content-type", b"text/plain; charset=utf-8"),), b"ok"), send)
        else:
            try:
                answer = await self._answer(WholeRequest.of(scope, await self._body(scope, receive)))
            except RequestError as error:
                await error_response(error)(scope, receive, send)
            else:
                await _send(answer, send)

    async def _answer(self, request: WholeRequest) -> WholeAnswer:
        """The answer of the first replica that lives to give it.

        Raises:
            RequestError: 501 for what only one replica knows, 503 where none answers.
        """
        if request.path in _OF_ONE:
            raise RequestError(
                HTTPStatus.NOT_IMPLEMENTED,
                f"{request.path} would tell of one replica only; Ray exports the figures of all of them "
                "(ray_serve_...) for Prometheus",
            )
        if self._replicas is None:
            self._replicas = self._find()
        seconds = _PROBE_SECONDS if request.path in _PROBES else self._patience
        try:
            async with asyncio.timeout(seconds):
                return await self._ask(request)
        except TimeoutError:
            raise _busy(f"no replica answered within {seconds:g} s") from None
        except (BackPressureError, DeploymentUnavailableError):
            raise _busy("all replicas are busy") from None

    async def _ask(self, request: WholeRequest) -> WholeAnswer:
        for number in range(1, MOST_TRIES + 1):
            try:
                found: WholeAnswer = await self._replicas.answer.remote(request)
            except RayActorError:
                _log.warning("a replica died with %s %s (try %d)", request.method, request.path, number)
            else:
                return found if number == 1 else _told(found, number)
        raise _busy(f"{MOST_TRIES} replicas died one after the other with this request")

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            RequestError: 413, it is too large.
        """
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > self._most:
                raise RequestError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body of {scope['path']} is larger than the {self._most} bytes this server takes; "
                    "ask for less at once",
                )
        return b"".join(parts)


def _busy(reason: str) -> RequestError:
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}; ask again later", retry_after=BUSY_SECONDS
    )


def _told(answer: WholeAnswer, tries: int) -> WholeAnswer:
    """An answer that says how often it was asked for."""
    return replace(answer, headers=(*answer.headers, (TRIES.encode(), str(tries).encode())))


async def _send(answer: WholeAnswer, send: Send) -> None:
    start = {"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})


async def _refuse_stream(receive: Receive, send: Send) -> None:
    """Say in a message of the stream's own why there is none: an opening that is refused has no words."""
    await receive()
    await send({"type": "websocket.accept"})
    refusal = {"error": _NO_STREAM, "status": int(HTTPStatus.NOT_IMPLEMENTED)}
    await send({"type": "websocket.send", "text": orjson.dumps(refusal).decode()})
    await send({"type": "websocket.close", "code": 1008, "reason": "no sessions here"})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
