"""The routes of the Open Inference Protocol v2."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from m.inference_server.forecast_server import ForecastServer
from m.inference_server.host import Host
from m.inference_server.messages import ErrorReply
from m.inference_server.native import ERRORS
from m.inference_server.open_inference import metadata
from m.inference_server.open_inference.answers import infer_answer
from m.inference_server.open_inference.compression import read_body
from m.inference_server.open_inference.foreign import foreign_face
from m.inference_server.open_inference.generate import EVENT_STREAM, generate, generate_stream
from m.inference_server.open_inference.messages import (
    GenerateAnswer,
    GenerateBody,
    IndexBody,
    IndexEntry,
    InferAnswer,
    InferBody,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
)
from m.inference_server.open_inference.requests import HEADER_LENGTH, read_infer, read_json
from m.inference_server.open_inference.signature import VERSION
from m.inference_server.web import json_response, while_connected

Answer = Callable[[ForecastServer, Request], Awaitable[Response]]

_TAGS: list[str] = ["open inference protocol"]
_ERRORS: dict[int | str, dict[str, Any]] = {**ERRORS, 415: {"model": ErrorReply}}
_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_VERSION_IN_PATH: Any = Path(examples=[VERSION])
_STREAM = {EVENT_STREAM: {"schema": {"type": "string"}}}


def open_inference_face(host: Host) -> APIRouter:
    """The protocol, for one model of one version."""
    router = APIRouter()
    for part in (_server_face(host), _model_face(host), foreign_face(host)):
        router.include_router(part)
    return router


def _server_face(host: Host) -> APIRouter:
    """What is asked of the server as a whole."""
    router = APIRouter(tags=[*_TAGS], responses=_ERRORS)

    @router.get("/v2", response_model=ServerMetadata)
    async def server_metadata() -> Response:
        """Name, version and extensions of the server."""
        return json_response(metadata.server_metadata())

    @router.head("/v2/health/live", include_in_schema=False)
    @router.get("/v2/health/live", response_model=Live, responses={503: {"model": Live}})
    async def live() -> Response:
        """Whether the server lives: not after its engine has failed."""
        lives = host.status != "failed"
        return json_response({"live": lives}, _status(lives))

    @router.head("/v2/health/ready", include_in_schema=False)
    @router.get("/v2/health/ready", response_model=Ready, responses={503: {"model": Ready}})
    async def ready() -> Response:
        """Whether to send requests here."""
        return json_response({"ready": host.ready}, _status(host.ready))

    @router.post("/v2/repository/index", response_model=list[IndexEntry], openapi_extra=_index_body())
    async def repository_index(request: Request) -> Response:
        """The models that there are: one."""
        body = await read_body(request, _most_bytes(host))
        wish = read_json(body.strip() or b"{}", IndexBody)
        return json_response(metadata.model_index(host, only_ready=wish.ready))

    @router.get("/v2/models/stats", response_model=dict[str, Any])
    async def statistics() -> Response:
        """What all models have done."""
        return json_response(metadata.statistics(host.server))

    return router


def _model_face(host: Host) -> APIRouter:
    """What is asked of a model, with or without its version."""
    router = APIRouter(tags=[*_TAGS], responses=_ERRORS)
    routes = _Routes(router, host)

    @routes.add("GET", "", response_model=ModelMetadata)
    async def model_metadata(server: ForecastServer, request: Request) -> Response:  # noqa: ARG001
        """Inputs and outputs of the model."""
        return json_response(metadata.model_metadata(server))

    @routes.add("GET", "/config", response_model=dict[str, Any])
    async def model_config(server: ForecastServer, request: Request) -> Response:  # noqa: ARG001
        """The model's set-up in Triton's words."""
        return json_response(metadata.model_config(server))

    @routes.add("GET", "/stats", response_model=dict[str, Any])
    async def model_statistics(server: ForecastServer, request: Request) -> Response:  # noqa: ARG001
        """What the model has done."""
        return json_response(metadata.statistics(server))

    @routes.add("POST", "/infer", response_model=InferAnswer, content=_BINARY, openapi_extra=_infer_body())
    async def infer(server: ForecastServer, request: Request) -> Response:
        """Continue paths; tensors as JSON or as binary data."""
        body = await read_body(request, server.limits.body_bytes)
        asked = read_infer(body, request.headers.get(HEADER_LENGTH), server.config)
        served = await while_connected(request, server.forecast(asked.wish, request_id=asked.id))
        return await infer_answer(request, server.name, asked, served)

    body = _json_body(GenerateBody)
    routes.add("POST", "/generate", response_model=GenerateAnswer, openapi_extra=body)(generate)
    routes.add("POST", "/generate_stream", response_class=Response, content=_STREAM, openapi_extra=body)(
        generate_stream
    )
    _add_ready(router, host)
    return router


class _Routes:
    """Adds a model's routes in pairs: with its version in the path, and without."""

    def __init__(self, router: APIRouter, host: Host) -> None:
        self._router, self._host = router, host
        self._model = _model_in_path(host)

    def add(
        self, method: str, tail: str, *, content: dict[str, Any] | None = None, **options: Any
    ) -> Callable[[Answer], Answer]:
        """A decorator of what answers at ``/v2/models/{model}`` and what follows.

        Args:
            method: of HTTP.
            tail: of the path.
            content: kinds of answer beside JSON.
            options: of FastAPI's routes.
        """
        if content is not None:
            options["responses"] = {200: {"content": content}}

        named = self._model

        def decorate(answer: Answer) -> Answer:
            async def newest(request: Request, model: str = named) -> Response:
                return await answer(self._known(model, VERSION), request)

            async def numbered(
                request: Request, model: str = named, version: str = _VERSION_IN_PATH
            ) -> Response:
                return await answer(self._known(model, version), request)

            for path, handler in (("", newest), ("/versions/{version}", numbered)):
                self._router.add_api_route(
                    f"/v2/models/{{model}}{path}{tail}",
                    handler,
                    methods=[method],
                    name=getattr(answer, "__name__", tail),
                    description=(answer.__doc__ or "").split("\n\n", maxsplit=1)[0],
                    **options,
                )
            return answer

        return decorate

    def _known(self, model: str, version: str) -> ForecastServer:
        """The server, if it has that model and has loaded it."""
        metadata.check_known(self._host, model, version)
        return self._host.server


def _add_ready(router: APIRouter, host: Host) -> None:
    """Whether a model is ready, which can be asked before it is loaded."""
    answers: dict[int | str, dict[str, Any]] = {503: {"model": ModelReady}}
    named = _model_in_path(host)

    def reply(model: str, version: str) -> Response:
        metadata.check_known(host, model, version)
        return json_response({"name": model, "ready": host.ready}, _status(host.ready))

    @router.get("/v2/models/{model}/ready", response_model=ModelReady, responses=answers)
    async def model_ready(model: str = named) -> Response:
        """Whether the model is ready."""
        return reply(model, VERSION)

    @router.get("/v2/models/{model}/versions/{version}/ready", response_model=ModelReady, responses=answers)
    async def model_version_ready(model: str = named, version: str = _VERSION_IN_PATH) -> Response:
        """Whether the model is ready."""
        return reply(model, version)


def _model_in_path(host: Host) -> Any:
    """The path's model for the document, which names the one there is."""
    return Path(examples=[host.name])


def _status(good: bool) -> int:
    return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE


def _most_bytes(host: Host) -> int:
    """Of a body that needs no model."""
    server = host.server_if_loaded
    return 2**20 if server is None else server.limits.body_bytes


def _json_body(kind: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """A body for the document, of a route that reads it itself."""
    content = {"application/json": {"schema": inlined(kind.model_json_schema())}}
    return {"requestBody": {"required": required, "content": content}}


def _index_body() -> dict[str, Any]:
    return _json_body(IndexBody, required=False)


def _infer_body() -> dict[str, Any]:
    """JSON, or JSON with binary data behind it."""
    body = _json_body(InferBody)
    body["requestBody"]["content"] |= _BINARY
    header = {
        "name": HEADER_LENGTH,
        "in": "header",
        "required": False,
        "description": "Bytes of the JSON, where binary data follow it.",
        "schema": {"type": "integer", "minimum": 0},
    }
    return body | {"parameters": [header]}


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema with what it refers to put in place; no part may refer to itself."""
    parts = schema.get("$defs", {})

    def put(node: Any) -> Any:
        if isinstance(node, list):
            return [put(each) for each in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return put(parts[node["$ref"].rsplit("/", 1)[-1]])
        return {key: put(value) for key, value in node.items() if key != "$defs"}

    found: dict[str, Any] = put(schema)
    return found
