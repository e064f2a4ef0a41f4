"""What a client is told when a request is not answered."""

from __future__ import annotations

import json
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
_WORTH_RETRYING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


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


# The first that fits. What is not known to be the request's own doing is said in general words.
_KNOWN: tuple[tuple[tuple[type[Exception], ...], HTTPStatus, str], ...] = (
    ((QueueFullError, TooManySessionsError), HTTPStatus.TOO_MANY_REQUESTS, "{error}"),
    (
        (EngineStoppedError,),
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the server is shutting down or its engine has stopped; ask another one, or again later",
    ),
    ((DeadlineExceededError,), HTTPStatus.GATEWAY_TIMEOUT, "{error}; ask for less, or allow more time"),
    ((UnknownSessionError,), HTTPStatus.NOT_FOUND, "{error}"),
    ((ValueError,), HTTPStatus.BAD_REQUEST, "{error}"),
    (
        (MemoryError, RuntimeError, ArithmeticError),
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the model could not compute this forecast, most likely for want of memory; "
        "ask for fewer samples, contexts or points",
    ),
)


# All that `error_of` has words for; anything else is a bug.
EXPECTED: tuple[type[Exception], ...] = (RequestError, *(kind for kinds, _, _ in _KNOWN for kind in kinds))


def bad_request(message: str) -> RequestError:
    """The request itself is wrong."""
    return RequestError(HTTPStatus.BAD_REQUEST, message)


def beyond_numbers() -> RequestError:
    """The forecast overflowed: nothing that JSON can say."""
    return bad_request(
        "the forecast went beyond what numbers hold; bring the context nearer to zero, "
        "or ask for a lower temperature"
    )


def error_of(error: Exception) -> RequestError:
    """What a client is told about an error of the engine or of a model's checks; a bug is raised again."""
    if isinstance(error, RequestError):
        return error
    for kinds, status, advice in _KNOWN:
        if isinstance(error, kinds):
            message = advice.format(error=error)
            return RequestError(
                status, message, retry_after=BUSY_SECONDS if status in _WORTH_RETRYING else None
            )
    raise error


# What pydantic complains of where an object is expected.
_NO_OBJECT = frozenset({"missing", "model_type", "model_attributes_type", "dict_type"})
_KINDS = {list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
_MOST_SIGNS = 40  # of a client's own value in a message
_MOST_BITS = 128  # of a whole number that is repeated


def describe_invalid(errors: Sequence[Any]) -> str:
    """The first complaint of a validation as one line: where, what, and how many more there are."""
    first = errors[0]
    where = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    if first["type"] == "json_invalid":
        return f"the body is no JSON: {first['ctx']['error']}, at character {where}"
    if not where and first["type"] in _NO_OBJECT:
        return f"the body must be a JSON object, but {_instead(first)}; /docs shows what it may hold"
    message = (f"{where}: " if where else "") + first["msg"] + _got(first)
    return message if len(errors) == 1 else f"{message} (and {len(errors) - 1} more complaints)"


def _instead(complaint: Any) -> str:
    """What came in place of an object."""
    if complaint["type"] == "missing":
        return "there is no body"
    given = complaint["input"]
    return "it is null" if given is None else f"it is {_KINDS.get(type(given), 'something else')}"


def _got(complaint: Any) -> str:
    """The value complained of, where it says something and is short."""
    given = complaint.get("input")
    if complaint["type"] == "missing" or not (given is None or isinstance(given, str | float | int)):
        return ""
    if isinstance(given, int) and given.bit_length() > _MOST_BITS:
        return ""
    text = json.dumps(given, ensure_ascii=False)
    return f", got {text if len(text) <= _MOST_SIGNS else text[:_MOST_SIGNS] + '...'}"
