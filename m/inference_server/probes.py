"""Is it alive, is it ready, and how is it doing."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from m.inference_server.host import Host, Status
from m.inference_server.web import json_response


class Health(BaseModel):
    """Answer of ``/health`` and ``/readyz``."""

    status: Status
    ready: bool
    model: str


class Stats(BaseModel):
    """Answer of ``/stats``: what the engine has done so far."""

    model: str
    device: str
    forecasts: int
    refused: dict[str, int]
    mean_seconds: float
    mean_queue_seconds: float
    waiting: int
    steps: int
    mean_batch_size: float
    context_points_read: int
    context_points_reused: int
    cache_hit_rate: float
    prefix_cache_bytes: int
    prefix_cache_blocks: int
    sessions: int
    sessions_reanchored: int
    expert_tokens: list[list[int]]


def open_probes(host: Host) -> APIRouter:
    """Those that anybody may ask: they tell nothing but whether the server can be used."""
    router = APIRouter(tags=["probes"])

    def health() -> dict[str, Any]:
        return {"status": host.status, "ready": host.ready, "model": host.name}

    @router.head("/livez", include_in_schema=False)
    @router.get("/livez", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def livez() -> Response:
        """The process answers."""
        return Response("ok", media_type="text/plain")

    @router.head("/readyz", include_in_schema=False)
    @router.get("/readyz", response_model=Health, responses={503: {"model": Health}})
    async def readyz() -> Response:
        """Whether to send requests here: 503 while loading, draining or full, and after a failure."""
        return json_response(health(), HTTPStatus.OK if host.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    @router.head("/health", include_in_schema=False)
    @router.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def read_health() -> Response:
        """The same, in the words of the contract."""
        return json_response(health(), HTTPStatus.OK if host.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    return router


def figures(host: Host) -> APIRouter:
    """What the server has done."""
    router = APIRouter(tags=["figures"])

    @router.get("/stats", response_model=Stats)
    async def stats() -> Response:
        """The engine's figures."""
        server = host.server
        return json_response({"model": server.name, "device": server.device, **server.metrics.figures()})

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """The figures for Prometheus."""
        return Response(host.server.metrics.exposition(), media_type="text/plain; version=0.0.4")

    return router
