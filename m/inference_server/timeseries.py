"""KServe's protocol for time series: ``/v1/timeseries/forecast`` and ``/v1/timeseries/models``."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from m.arrays import Array
from m.inference_server.errors import RequestError, bad_request, describe_invalid
from m.inference_server.forecast_server import ForecastServer
from m.inference_server.frequency import forecast_start
from m.inference_server.host import Host
from m.inference_server.messages import ErrorReply
from m.inference_server.timeseries_messages import (
    TimeSeriesErrorReply,
    TimeSeriesInput,
    TimeSeriesOptions,
    TimeSeriesReply,
    TimeSeriesRequest,
)
from m.inference_server.web import JsonRoute, json_response, while_connected
from m.inference_server.wish import ForecastWish, Served

# What the guard refuses is refused before a route is known, in the words of the server's own face.
_GUARDED: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorReply},
    403: {"model": ErrorReply},
    413: {"model": TimeSeriesErrorReply | ErrorReply},
}
_ERRORS: dict[int | str, dict[str, Any]] = _GUARDED | {
    status: {"model": TimeSeriesErrorReply} for status in (400, 404, 429, 503, 504)
}
_TYPES: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
}


def timeseries_face(host: Host) -> APIRouter:
    """Forecasts of series with a calendar."""
    router = APIRouter(prefix="/v1/timeseries", tags=["time series"], route_class=_Route)

    @router.post("/forecast", response_model=TimeSeriesReply, responses=_ERRORS)
    async def forecast(message: TimeSeriesRequest, request: Request) -> Response:
        """Continue series; several at once share the model's steps."""
        return json_response(await while_connected(request, _answer(host.server, message)))

    @router.get("/models", response_model=list[str], responses=_GUARDED)
    async def models() -> Response:
        """Names of the models served: one."""
        return json_response([host.name])

    return router


class _RefusedError(RequestError):
    """A request that cannot be answered, and the part of it that is to blame."""

    def __init__(self, error: RequestError, param: str | None) -> None:
        super().__init__(error.status, error.message, retry_after=error.retry_after)
        self.param = param


class _Route(JsonRoute):
    """A route that refuses in the words of this protocol."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with this protocol's errors."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestError as error:
                return _refused(error)
            except RequestValidationError as error:
                return _refused(_invalid(error.errors()))
            except HTTPException as error:
                # Whatever goes wrong while a body is read comes wrapped in one of these.
                cause = error.__cause__
                if isinstance(cause, RequestError):
                    return _refused(cause)
                return _refused(RequestError(error.status_code, str(error.detail)))

        return answer


def _refused(error: RequestError) -> Response:
    return json_response({"error": _described(error)}, error.status, error.headers)


def _invalid(complaints: Sequence[Any]) -> _RefusedError:
    """The refusal of a body that is not as the protocol says."""
    where = ".".join(str(part) for part in complaints[0].get("loc", ()) if part != "body")
    return _RefusedError(bad_request(describe_invalid(complaints)), where or None)


def _described(error: RequestError) -> dict[str, Any]:
    """The protocol's error object."""
    other = "server_error" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {
        "code": str(error.status),
        "message": error.message,
        "param": error.param if isinstance(error, _RefusedError) else None,
        "type": _TYPES.get(error.status, other),
    }


@dataclass(frozen=True)
class _Made:
    """A forecast of one series."""

    content: dict[str, Any]
    observed: int


async def _answer(server: ForecastServer, message: TimeSeriesRequest) -> dict[str, Any]:
    """Forecast every series; those that cannot be forecast do not keep the others from it.

    Raises:
        RequestError: another model, too many series, or none could be forecast.
    """
    _check(server, message)
    found = await asyncio.gather(
        *(_try(server, series, message.options, number) for number, series in enumerate(message.inputs))
    )
    made = [one for one in found if isinstance(one, _Made)]
    if not made:
        raise _worst([one for one in found if isinstance(one, _RefusedError)])
    observed, forecast = sum(one.observed for one in made), message.options.horizon * len(made)
    return {
        "id": f"forecast-{uuid.uuid4().hex}",
        "created_at": int(time.time()),
        "status": "completed" if len(made) == len(found) else "partial",
        "error": None,
        "model": server.name,
        "outputs": [_output(one) for one in found],
        "usage": {
            "prompt_tokens": observed,
            "completion_tokens": forecast,
            "total_tokens": observed + forecast,
        },
    }


def _check(server: ForecastServer, message: TimeSeriesRequest) -> None:
    """Refuse what is wrong for all series.

    Raises:
        RequestError: another model, too many series, or too much of each.
    """
    if message.model != server.name:
        error = RequestError(
            HTTPStatus.NOT_FOUND, f"no model {message.model[:80]!r} here; this server has {server.name!r}"
        )
        raise _RefusedError(error, "model")
    count, options = len(message.inputs), message.options
    part = "inputs" if count > server.limits.batch else "options"
    try:
        server.limits.check(
            contexts=count,
            points=0,  # of each series, when its turn comes
            horizon=options.horizon,
            samples=options.num_samples,
            quantiles=options.quantiles or (),
        )
    except RequestError as error:
        raise _RefusedError(error, part) from None


def _worst(refusals: Sequence[_RefusedError]) -> _RefusedError:
    """What to say when nothing could be forecast: what is worth asking again, if anything is."""
    worst = max(refusals, key=lambda refusal: refusal.status)
    if len(refusals) == 1:
        return worst
    text = f"none of the {len(refusals)} series could be forecast; {worst.param}: {worst.message}"
    return _RefusedError(RequestError(worst.status, text, retry_after=worst.retry_after), worst.param)


def _output(one: _Made | _RefusedError) -> dict[str, Any]:
    """What became of one series."""
    head = {"type": "time_series_forecast", "id": f"output-{uuid.uuid4().hex}"}
    if isinstance(one, _Made):
        return {**head, "status": "completed", "content": [one.content], "error": None}
    return {**head, "status": "error", "content": [], "error": _described(one)}


async def _try(
    server: ForecastServer, series: TimeSeriesInput, options: TimeSeriesOptions, number: int
) -> _Made | _RefusedError:
    """Forecast one series, or say why that cannot be done."""
    where = f"inputs.{number}"
    try:
        points = _points(series, server.config.input_dim, server.config.target_dim)
    except ValueError as error:
        return _RefusedError(bad_request(str(error)), f"{where}.series")
    try:
        start = forecast_start(series.start_timestamp, series.frequency, len(points))
    except (ValueError, OverflowError) as error:
        return _RefusedError(bad_request(str(error)), f"{where}.start_timestamp")
    wish = ForecastWish(
        context=points,
        horizon=options.horizon,
        temperature=options.temperature,
        num_samples=options.num_samples,
        quantiles=tuple(options.quantiles or ()),
        seed=options.seed,
    )
    try:
        served = await server.forecast(wish)
    except RequestError as error:
        return _RefusedError(error, where)
    return _Made(_content(series, options, served, start), len(points))


def _points(series: TimeSeriesInput, input_dim: int, target_dim: int) -> Array:
    """A series as points ``[T, D]``.

    Raises:
        ValueError: it is not of the kind it says, or not for this model.
    """
    univariate = series.type == "univariate_time_series"
    nested = isinstance(series.series[0], list)
    if univariate and nested:
        raise ValueError("a univariate series is a list of numbers; this one is a list of lists")
    if not univariate and not nested:
        raise ValueError(
            "a multivariate series is a list of points, each a list of numbers; these are numbers"
        )
    if univariate and (input_dim, target_dim) != (1, 1):
        raise ValueError(
            f"this model takes points of {input_dim} numbers and forecasts {target_dim}: "
            "send a multivariate series"
        )
    if nested and any(len(point) != input_dim for point in series.series):
        found = sorted({len(point) for point in series.series})
        raise ValueError(
            f"this model takes points of {input_dim} numbers; those of this series have "
            + " or ".join(map(str, found))
        )
    points: Array = np.array(series.series, dtype=np.float64).reshape(len(series.series), input_dim)
    return points


def _content(
    series: TimeSeriesInput, options: TimeSeriesOptions, served: Served, start: str
) -> dict[str, Any]:
    """A forecast in the words of the protocol."""
    flat = series.type == "univariate_time_series"
    result = served.result

    def shaped(values: Array) -> Array:
        return values[..., 0] if flat else values

    content: dict[str, Any] = {
        "type": series.type,
        "name": series.name,
        "mean_forecast": shaped(result.mean),
        "frequency": series.frequency,
        "start_timestamp": start,
        "quantiles": {repr(level): shaped(values) for level, values in result.quantiles.items()} or None,
    }
    if options.temperature > 0:
        content["points"] = shaped(result.points)
    if result.samples is not None:
        content["samples"] = shaped(result.samples)
    return content
