"""Routes of the page: ``/``, ``/docs``, their files, and the motions it offers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from m.inference_server.host import Host
from m.inference_server.messages import ErrorReply
from m.inference_server.page.examples import ExamplePath, offered_examples
from m.inference_server.page.files import page_files
from m.inference_server.web import json_response

# Scripts and styles come from this server's files alone, and the page talks to nobody else.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # may be kept, and is asked about each time: 304 costs nothing
}

_ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorReply} for status in (400, 401, 403, 503)}


class Example(BaseModel):
    """A path to try the model with."""

    name: str
    title: str = Field(description="For people.")
    dt: float = Field(description="Seconds between points.")
    unit: str = Field(description="Of the coordinates; empty for none.")
    context: list[list[float]] = Field(description="Points as they were observed, [T, D].")
    truth: list[list[float]] = Field(description="How the path really went on, [N, K].")
    ahead: list[list[float]] = Field(description="The same as it will be observed, [M, D], to be played.")


class Examples(BaseModel):
    """Answer of ``/v1/examples``."""

    examples: list[Example]


def page_face(host: Host) -> APIRouter:
    """The page, its documentation, and what they are made of."""
    router = APIRouter(tags=["page"])
    methods = ["GET", "HEAD"]

    @router.api_route("/", methods=methods, include_in_schema=False)
    def page(request: Request) -> Response:
        return _file("index.html", request)

    @router.api_route("/docs", methods=methods, include_in_schema=False)
    def docs(request: Request) -> Response:
        return _file("docs.html", request)

    @router.api_route("/static/{name}", methods=methods, include_in_schema=False)
    def static(name: str, request: Request) -> Response:
        return _file(name, request)

    @router.get("/v1/examples", response_model=Examples, responses=_ERRORS)
    def examples(
        seed: Annotated[int, Query(ge=0, lt=2**32, description="Another seed gives other paths.")] = 0,
    ) -> Response:
        """Paths to try the model with."""
        config = host.server.config
        offered = offered_examples(seed, input_dim=config.input_dim, target_dim=config.target_dim)
        return json_response({"examples": [_described(example) for example in offered]})

    return router


def _file(name: str, request: Request) -> Response:
    file = page_files().get(name)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = _HEADERS | {"ETag": file.tag}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _described(example: ExamplePath) -> dict[str, Any]:
    return {
        "name": example.name,
        "title": example.title,
        "dt": example.dt,
        "unit": example.unit,
        "context": example.context,
        "truth": example.truth,
        "ahead": example.ahead,
    }
