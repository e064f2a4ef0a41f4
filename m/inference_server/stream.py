"""``/v1/stream``: a WebSocket that is a session. Push points, get forecasts."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import ValidationError

from m.generation.session import SessionPush
from m.inference_server.errors import RequestError, bad_request, describe_invalid
from m.inference_server.guard import STREAM_PROTOCOL
from m.inference_server.host import Host
from m.inference_server.messages import StreamRequest
from m.inference_server.replies import reply
from m.inference_server.web import json_bytes
from m.inference_server.wish import ForecastWish


def stream_face(host: Host) -> APIRouter:
    """Forecasts of a path that grows."""
    router = APIRouter(tags=["forecasts"])

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        offered = socket.scope.get("subprotocols", ())
        await socket.accept(STREAM_PROTOCOL if STREAM_PROTOCOL in offered else None)
        await _Conversation(host, socket).hold()

    return router


class _Conversation:
    """One client's messages and their answers, in order; what was asked once stays until asked otherwise."""

    def __init__(self, host: Host, socket: WebSocket) -> None:
        self._host, self._socket = host, socket
        self._session = f"stream-{uuid.uuid4().hex}"
        self._open = False
        self._options: dict[str, Any] = {}

    async def hold(self) -> None:
        """Answer until the client leaves; its session is forgotten then."""
        try:
            while True:
                await self._socket.send_text(await self._answer(await self._socket.receive()))
        except WebSocketDisconnect:
            pass
        finally:
            self._forget()

    async def _answer(self, message: Any) -> str:
        """What to send for a message; an error is an answer too, and the conversation goes on."""
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        try:
            content = await self._forecast(self._read(message))
        except RequestError as error:
            if (
                error.status == HTTPStatus.NOT_FOUND
            ):  # forgotten while it rested: the next message begins anew
                self._open = False
            content = {"error": error.message, "status": error.status}
        return json_bytes(content).decode()

    def _read(self, message: Any) -> StreamRequest:
        """A message, with the options of those before it."""
        try:
            content = orjson.loads(message.get("text") or message.get("bytes") or b"")
            if not isinstance(content, dict):
                raise bad_request('a message is an object such as {"points": [[0, 0, 0]], "horizon": 16}')
            request = StreamRequest.model_validate(self._options | content)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"a message is JSON: {error}") from None
        except ValidationError as error:
            raise bad_request(describe_invalid(error.errors(include_url=False))) from None
        of_one = {"points", "restart", "request_id"}
        self._options |= {name: value for name, value in content.items() if name not in of_one}
        return request

    async def _forecast(self, request: StreamRequest) -> dict[str, Any]:
        server = self._host.server
        start = request.restart or not self._open
        wish = ForecastWish(
            context=request.points,
            horizon=request.horizon,
            temperature=request.temperature,
            num_samples=request.num_samples,
            quantiles=tuple(request.quantiles),
            seed=request.seed,
            anchor_points=request.anchor_points if start else None,
            session=SessionPush(self._session, start=start, hold_points=request.hold_points),
            timeout=request.timeout,
        )
        served = await server.forecast(wish, request_id=request.request_id)
        self._open = True
        return reply(served, model=server.name, path_name="points", routing=request.return_routing)

    def _forget(self) -> None:
        """End the session, which may be open although nothing was answered: nobody else knows its name."""
        server = self._host.server_if_loaded
        if server is not None:
            server.forget_session(self._session)
