"""The HTTP application: all faces over one server."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

import m
from m.inference_server.errors import RequestError, bad_request, describe_invalid
from m.inference_server.guard import Access, Guard
from m.inference_server.host import Host
from m.inference_server.limits import Limits
from m.inference_server.native import native_face
from m.inference_server.open_inference.face import open_inference_face
from m.inference_server.open_inference.requests import HEADER_LENGTH
from m.inference_server.page.routes import page_face
from m.inference_server.probes import figures, open_probes
from m.inference_server.stream import stream_face
from m.inference_server.timeseries import timeseries_face
from m.inference_server.web import error_response

_DESCRIPTION = (
    "Forecasts of paths by a mixture-of-experts transformer. "
    "Every face answers with the numbers of the model's own `forecast`."
)


def create_app(host: Host, *, limits: Limits | None = None, access: Access | None = None) -> FastAPI:
    """The application.

    Args:
        host: of the server.
        limits: of bodies; the server's own limits hold for the rest.
        access: who may ask.
    """
    access = access or Access()
    app = FastAPI(
        title="m inference server",
        version=m.__version__,
        description=_DESCRIPTION,
        docs_url=None,  # the page has its own, which needs no other host
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    for router in (
        open_probes(host),
        figures(host),
        native_face(host),
        stream_face(host),
        open_inference_face(host),
        timeseries_face(host),
        page_face(host),
    ):
        app.include_router(router)
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    app.add_middleware(Guard, host=host, access=access, body_bytes=(limits or Limits()).body_bytes)
    if access.origins:
        # Around the guard: a browser asks without the key first, and must be able to read a refusal.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(access.origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Retry-After", HEADER_LENGTH],
        )
    _forget_unprocessable(app)
    return app


async def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001  (Starlette's signature)
    if not isinstance(error, RequestError):
        raise error
    return error_response(error)


async def _invalid(request: Request, error: Exception) -> Response:  # noqa: ARG001
    complaints: Sequence[object] = error.errors() if isinstance(error, RequestValidationError) else ()
    return error_response(bad_request(describe_invalid(complaints)))


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = f"there is nothing at {request.url.path}; /docs lists what there is"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"{request.url.path} does not take {request.method}; /docs lists what it takes"
    answer = error_response(RequestError(error.status_code, message))
    answer.headers.update(error.headers or {})
    return answer


async def _bug(request: Request, error: Exception) -> Response:  # noqa: ARG001  (the log has its trace)
    return error_response(
        RequestError(
            HTTPStatus.INTERNAL_SERVER_ERROR, "an error of the server's own; its log has the details"
        )
    )


def _forget_unprocessable(app: FastAPI) -> None:
    """Leave FastAPI's 422 out of the document: wrong requests get 400 here."""
    describe = app.openapi

    def described() -> dict[str, object]:
        document = describe()
        for operations in document.get("paths", {}).values():
            for operation in operations.values():
                operation.get("responses", {}).pop("422", None)
        schemas = document.get("components", {}).get("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        return document

    app.openapi = described  # type: ignore[method-assign]
