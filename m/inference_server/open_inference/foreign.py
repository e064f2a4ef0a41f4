"""What clients of Triton may ask for beside forecasts, and this server does not do: said clearly."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, HTTPException, Response

from m.inference_server.errors import RequestError, bad_request
from m.inference_server.host import Host
from m.inference_server.native import ERRORS
from m.inference_server.open_inference.metadata import check_known
from m.inference_server.open_inference.signature import VERSION
from m.inference_server.web import json_response

_MEMORY = ("system", "cuda")


def foreign_face(host: Host) -> APIRouter:
    """Shared memory, loading and unloading, traces and logs."""
    router = APIRouter(tags=["open inference protocol"], responses=ERRORS)
    for kind in _MEMORY:
        _add_shared_memory(router, kind)
    _add_repository(router, host)
    _add_settings(router, host)
    return router


def _add_shared_memory(router: APIRouter, kind: str) -> None:
    base = f"/v2/{kind}sharedmemory"

    @router.get(f"{base}/status", response_model=list[dict[str, Any]], name=f"{kind}_shared_memory_status")
    async def status() -> Response:
        """Regions of shared memory: none."""
        return json_response([])

    @router.get(f"{base}/region/{{region}}/status", name=f"{kind}_shared_memory_region_status")
    async def region_status(region: str) -> Response:
        """One region: it is not known."""
        raise _unknown_region(region)

    @router.post(f"{base}/region/{{region}}/register", name=f"{kind}_shared_memory_register")
    async def register(region: str) -> Response:
        """Refused: this server reads no memory of others."""
        raise bad_request(
            f"region '{region[:64]}' cannot be registered: there is no shared memory here; "
            "send the numbers themselves, as JSON or binary data"
        )

    @router.post(f"{base}/region/{{region}}/unregister", name=f"{kind}_shared_memory_unregister")
    async def unregister(region: str) -> Response:
        """Refused: no region is registered."""
        raise _unknown_region(region)

    @router.post(
        f"{base}/unregister", response_model=dict[str, Any], name=f"{kind}_shared_memory_unregister_all"
    )
    async def unregister_all() -> Response:
        """Unregister all regions: there are none, and so it is done."""
        return json_response({})


def _add_repository(router: APIRouter, host: Host) -> None:
    @router.post("/v2/repository/models/{model}/load")
    async def load(model: str) -> Response:
        """Refused: a server's model is chosen when it starts."""
        check_known(host, model, VERSION)
        raise bad_request(f"model '{model}' cannot be loaded anew: start another server for another model")

    @router.post("/v2/repository/models/{model}/unload")
    async def unload(model: str) -> Response:
        """Refused: a server's model is chosen when it starts."""
        check_known(host, model, VERSION)
        raise bad_request(f"model '{model}' cannot be unloaded: end the server instead")


def _add_settings(router: APIRouter, host: Host) -> None:
    @router.get("/v2/trace/setting", response_model=dict[str, Any])
    async def trace() -> Response:
        """Settings of traces: they are off."""
        return json_response({"trace_level": ["OFF"]})

    @router.post("/v2/trace/setting")
    async def change_trace() -> Response:
        """Refused: there are no traces."""
        raise bad_request("there are no traces here; /metrics and the model's stats say what takes how long")

    @router.get("/v2/models/{model}/trace/setting", response_model=dict[str, Any])
    async def model_trace(model: str) -> Response:
        """Settings of a model's traces: they are off."""
        check_known(host, model, VERSION)
        return json_response({"trace_level": ["OFF"]})

    @router.post("/v2/models/{model}/trace/setting")
    async def change_model_trace(model: str) -> Response:
        """Refused: there are no traces."""
        check_known(host, model, VERSION)
        raise bad_request("there are no traces here; /metrics and the model's stats say what takes how long")

    for path in ("/v2/trace/setting", "/v2/models/{model}/trace/setting", "/v2/logging"):
        _refuse_other_methods(router, path)

    @router.get("/v2/logging", response_model=dict[str, Any])
    async def logging() -> Response:
        """Settings of the log that can be changed from here: none."""
        return json_response({})

    @router.post("/v2/logging")
    async def change_logging() -> Response:
        """Refused: the log is set up when the server starts."""
        raise bad_request("the log cannot be changed from here; set it up where the server is started")


def _refuse_other_methods(router: APIRouter, path: str) -> None:
    """Say what a path takes that has two routes; by itself, the answer would name the first one's methods."""

    @router.api_route(path, methods=["DELETE", "HEAD", "OPTIONS", "PATCH", "PUT"], include_in_schema=False)
    async def refuse() -> Response:
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, POST"})


def _unknown_region(region: str) -> RequestError:
    return RequestError(
        HTTPStatus.NOT_FOUND,
        f"there is no region '{region[:64]}': this server has no shared memory; "
        "send the numbers themselves, as JSON or binary data",
    )
