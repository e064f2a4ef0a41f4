"""The server's own face: ``/infer`` and ``/v1/forecast``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from m.inference_server.host import Host
from m.inference_server.messages import (
    ErrorReply,
    ForecastReply,
    ForecastRequest,
    InferReply,
    InferRequest,
    ModelReply,
)
from m.inference_server.replies import describe_model
from m.inference_server.web import JsonRoute, json_response, while_connected

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply} for status in (400, 401, 403, 404, 413, 429, 503, 504)
}


def native_face(host: Host) -> APIRouter:
    """Forecasts in JSON."""
    router = APIRouter(tags=["forecasts"], route_class=JsonRoute, responses=ERRORS)

    @router.post("/infer", response_model=InferReply)
    async def infer(message: InferRequest, request: Request) -> Response:
        """Continue paths; points are 'tokens'."""
        return json_response(await while_connected(request, host.server.answer(message)))

    @router.post("/v1/forecast", response_model=ForecastReply)
    async def forecast(message: ForecastRequest, request: Request) -> Response:
        """Continue paths."""
        return json_response(await while_connected(request, host.server.answer(message)))

    @router.get("/v1/model", response_model=ModelReply)
    async def model() -> Response:
        """What the model takes and gives, and how much this server allows."""
        return json_response(describe_model(host.server))

    return router
