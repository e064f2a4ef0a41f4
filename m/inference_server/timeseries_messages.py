"""What clients say and hear in KServe's protocol for time series."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema

from m.inference_server.frequency import Frequency
from m.inference_server.messages import Real, Whole

SeriesType = Literal["univariate_time_series", "multivariate_time_series"]
Status = Literal["completed", "error", "partial"]

_NUMBERS = {"type": "array", "minItems": 1, "items": {"type": "number"}}
_SERIES_SCHEMA = {"anyOf": [_NUMBERS, {"type": "array", "minItems": 1, "items": _NUMBERS}]}
_FLAT: TypeAdapter[Any] = TypeAdapter(Annotated[list[Real], Field(min_length=1)])
_NESTED: TypeAdapter[Any] = TypeAdapter(
    Annotated[list[Annotated[list[Real], Field(min_length=1)]], Field(min_length=1)]
)


def _series(value: Any) -> Any:
    """Numbers, or points; the first of them says which, so that a complaint is about what was meant."""
    nested = isinstance(value, list) and bool(value) and isinstance(value[0], list)
    return (_NESTED if nested else _FLAT).validate_python(value)


Series = Annotated[Any, BeforeValidator(_series), WithJsonSchema(_SERIES_SCHEMA)]


class _Open(BaseModel):
    """The protocol allows further keys; they mean nothing here."""

    model_config = ConfigDict(extra="allow")


class TimeSeriesInput(_Open):
    """A series to continue."""

    type: SeriesType
    name: str = Field(description="Comes back with the forecast.")
    series: Series = Field(
        description="Values [T], oldest first; of a multivariate series, points [T, D] with the D numbers "
        "that the model takes."
    )
    frequency: Frequency = Field(description="Of the values; the model takes them to be evenly spaced.")
    start_timestamp: str | None = Field(
        None,
        description="When the first value lies, in ISO 8601. Without it, the last value is taken to lie now.",
        examples=["2024-01-31T00:00:00Z"],
    )


class TimeSeriesOptions(_Open):
    """How to forecast. The protocol knows ``horizon`` and ``quantiles``; the rest is this server's own."""

    horizon: Whole = Field(ge=1, description="Values to forecast.")
    quantiles: list[Annotated[Real, Field(gt=0, lt=1)]] | None = Field(
        None, description="Levels to state, such as [0.1, 0.9]."
    )
    temperature: Real = Field(
        0.0, ge=0, description="Above 0, also draw a path so far from the mean: 'points' of the forecast."
    )
    num_samples: Whole | None = Field(
        None, ge=1, description="Also draw this many paths: 'samples' of the forecast."
    )
    seed: Whole | None = Field(
        None,
        ge=0,
        lt=2**63,
        description="Makes what is drawn repeatable, for each series by itself.",
    )


class TimeSeriesRequest(_Open):
    """Body of ``/v1/timeseries/forecast``."""

    model: str = Field(description="Name of the model, as ``/v1/timeseries/models`` tells it.")
    inputs: list[TimeSeriesInput] = Field(min_length=1, description="Each is forecast on its own.")
    options: TimeSeriesOptions
    metadata: dict[str, Any] | None = Field(None, description="Of the client's own; not looked at.")


Values = Annotated[list[Any], WithJsonSchema(_SERIES_SCHEMA)]
Paths = Annotated[list[Any], Field(description="[S, H] or [S, H, K].")]


class TimeSeriesForecast(BaseModel):
    """How a series goes on."""

    type: SeriesType
    name: str
    mean_forecast: Values = Field(
        description="Centre of the predictive distribution, [H], or [H, K] of a multivariate series."
    )
    frequency: Frequency
    start_timestamp: str = Field(description="When the first forecast value lies, in ISO 8601.")
    quantiles: dict[str, Values] | None = Field(None, description="Level to values, shaped as the mean.")
    points: Values | None = Field(None, description="The path drawn, where a temperature was asked for.")
    samples: Paths | None = Field(None, description="Paths drawn, where they were asked for.")


class TimeSeriesError(BaseModel):
    """What went wrong."""

    code: str = Field(description="Status of HTTP.")
    message: str
    param: str | None = Field(description="Which part of the request it is about.")
    type: str


class TimeSeriesErrorReply(BaseModel):
    """Answer of this face when nothing was forecast."""

    error: TimeSeriesError


class TimeSeriesOutput(BaseModel):
    """What became of one series."""

    type: Literal["time_series_forecast"]
    id: str
    status: Literal["completed", "error"]
    content: list[TimeSeriesForecast] = Field(description="One forecast, or none after an error.")
    error: TimeSeriesError | None


class TimeSeriesUsage(BaseModel):
    """Work done, for those who count it; a token is a value in time, whatever its dimension."""

    prompt_tokens: int = Field(description="Observed values of the series that were forecast.")
    completion_tokens: int = Field(description="Forecast values, those of drawn paths not counted.")
    total_tokens: int


class TimeSeriesReply(BaseModel):
    """Answer of ``/v1/timeseries/forecast``."""

    id: str
    created_at: int = Field(description="Seconds since 1970.")
    status: Status = Field(description="'partial' when some series could not be forecast.")
    error: TimeSeriesError | None = Field(
        description="Always null: when all series fail, so does the request."
    )
    model: str
    outputs: list[TimeSeriesOutput] = Field(description="One per series, in the order of the inputs.")
    usage: TimeSeriesUsage
