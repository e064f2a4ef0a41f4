"""What a client is told when a request is not answered."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from m.generation.errors import (
    DeadlineExceededError,
    EngineStoppedError,
    QueueFullError,
    TooManySessionsError,
    UnknownSessionError,
)

BUSY_SECONDS = 1  # after which it is worth asking again
_CLIENT_CLOSED_REQUEST = 499  # as nginx says it; nobody reads it


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        status: of HTTP.
        message: what was wrong, where, and what to do.
        retry_after: seconds after which to ask again, where that helps.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = int(status)
        self.message = message
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == HTTPStatus.UNAUTHORIZED:
            found["WWW-Authenticate"] = "Bearer"
        return found


def bad_request(message: str) -> RequestError:
    """The request itself is wrong."""
    return RequestError(HTTPStatus.BAD_REQUEST, message)


def error_of(error: Exception) -> RequestError:
    """What a client is told about an error of the engine or of a model's checks.

    Whatever is not known to be the request's own doing is said in general words, without the error's text.
    """
    match error:
        case RequestError():
            return error
        case QueueFullError() | TooManySessionsError():
            return RequestError(HTTPStatus.TOO_MANY_REQUESTS, str(error), retry_after=BUSY_SECONDS)
        case EngineStoppedError():
            return RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the server is shutting down or its engine has stopped; ask another one, or again later",
                retry_after=BUSY_SECONDS,
            )
        case DeadlineExceededError():
            return RequestError(HTTPStatus.GATEWAY_TIMEOUT, f"{error}; ask for less, or allow more time")
        case UnknownSessionError():
            return RequestError(HTTPStatus.NOT_FOUND, str(error))
        case ValueError():
            return bad_request(str(error))
        case MemoryError() | RuntimeError() | ArithmeticError():
            return RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the model could not compute this forecast, most likely for want of memory; "
                "ask for fewer samples, contexts or points",
                retry_after=BUSY_SECONDS,
            )
    raise error


def describe_invalid(errors: Sequence[Any]) -> str:
    """The first complaint of a validation as one line: where, what, and how many more there are."""
    first = errors[0]
    where = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    message = f"{where}: {first['msg']}" if where else str(first["msg"])
    detail = first.get("ctx", {}).get("error")
    if isinstance(detail, str):
        message += f" ({detail})"
    return message if len(errors) == 1 else f"{message} (and {len(errors) - 1} more complaints)"
