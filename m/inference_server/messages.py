"""What clients say in JSON to the server's own face, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from m.arrays import Array
from m.config.schema import nearest_hint
from m.generation.session import SessionPush
from m.inference_server.errors import bad_request
from m.inference_server.times import Clock, read_clock
from m.inference_server.wish import ForecastWish

_NUMBER = {"type": "number"}
_PATH = {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 1, "items": _NUMBER}}
_POINTS_SCHEMA = {"anyOf": [_PATH, {"type": "array", "minItems": 1, "items": _PATH}]}
_TIMES = {"type": "array", "minItems": 2, "items": _NUMBER}
_TIMES_SCHEMA = {"anyOf": [_TIMES, {"type": "array", "minItems": 1, "items": _TIMES}]}

_NESTED: dict[int, TypeAdapter[Any]] = {
    1: TypeAdapter(list[float]),
    2: TypeAdapter(list[list[float]]),
    3: TypeAdapter(list[list[list[float]]]),
}


def _numbers(value: Any) -> Array:
    """Nested lists of numbers, all of a level of one length, as an array."""
    if hasattr(value, "detach"):  # a tensor, whose package need not be there
        value = value.detach().cpu().double().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "iuf":
            raise _complaint(f"an array of numbers is expected, got one of {value.dtype}")
        return value.astype(np.float64)
    depth, inner = 0, value
    while isinstance(inner, list | tuple):
        depth += 1
        inner = inner[0] if inner else None
    if depth not in _NESTED:
        raise _complaint("numbers in one, two or three levels of lists are expected")
    checked = _NESTED[depth].validate_python(value, strict=not isinstance(value, tuple))
    try:
        array: Array = np.array(checked, dtype=np.float64)
    except ValueError:
        raise _complaint("all points must have as many numbers, and all contexts as many points") from None
    if array.size == 0:
        raise _complaint("at least one number is expected")
    return array


def _complaint(message: str) -> PydanticCustomError:
    return PydanticCustomError("numbers", "{reason}", {"reason": message})


Points = Annotated[Any, BeforeValidator(_numbers), WithJsonSchema(_POINTS_SCHEMA)]
Times = Annotated[Any, BeforeValidator(_numbers), WithJsonSchema(_TIMES_SCHEMA)]
Whole = Annotated[int, Field(strict=True)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Strict(BaseModel):
    """Unknown names are refused, and the nearest known one is named."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, content: Any) -> Any:
        for name in content if isinstance(content, Mapping) else ():
            if name not in cls.model_fields:
                hint = nearest_hint(str(name)[:64], cls.model_fields)
                raise _complaint(f"there is no field '{str(name)[:64]}'{hint}")
        return content


class Options(Strict):
    """How a forecast may be asked for."""

    temperature: Real = Field(
        0.0, ge=0, description="0: the centre of what the model expects; 1: a path drawn from it."
    )
    num_samples: Whole | None = Field(None, ge=1, description="Draw this many paths of each context.")
    quantiles: list[Annotated[Real, Field(gt=0, lt=1)]] = Field(
        default_factory=list, description="State these levels of every coordinate, such as [0.1, 0.9]."
    )
    seed: Whole | None = Field(None, ge=0, lt=2**63, description="Makes what is drawn repeatable.")
    anchor_points: Whole | None = Field(
        None, ge=1, lt=2**31, description="Normalise by the end of the first points, so many, instead of all."
    )
    hold_points: Whole | None = Field(
        None,
        ge=0,
        description="Of a session: points it may go on before it reads its past anew by a new anchor. "
        "0, the default, is the most accurate.",
    )
    timeout: Real | None = Field(None, gt=0, description="Seconds after which the answer is of no use.")
    request_id: str | None = Field(
        None, min_length=1, max_length=128, description="Comes back in the answer."
    )
    return_routing: StrictBool = Field(False, description="Also tell which experts served.")


class Wishes(Options):
    """What a single request may say beside its points and its horizon."""

    lengths: list[Annotated[Whole, Field(ge=1, lt=2**31)]] | None = Field(
        None, description="Valid points of each context, where shorter ones are padded at their end."
    )
    dt: Real | None = Field(None, gt=0, description="Seconds between points.")
    timestamps: Times | None = Field(None, description="Seconds of each point, [T] or [B, T].")
    resample: StrictBool = Field(False, description="Interpolate unevenly timed points onto an even grid.")
    session_id: str | None = Field(
        None, min_length=1, max_length=128, description="The session that the points continue."
    )
    session_start: StrictBool = Field(False, description="Begin the session with these points.")
    session_end: StrictBool = Field(False, description="Forget the session after this forecast.")

    def _wish(self, points: Array, horizon: int) -> tuple[ForecastWish, Clock | None]:
        """The wish, its points brought onto an even grid, and that grid.

        Raises:
            RequestError: 400; times that fit no even grid, or session words without a session.
        """
        points, clock = read_clock(
            points, dt=self.dt, timestamps=self.timestamps, resample=self.resample, lengths=self.lengths
        )
        if clock is not None:
            clock.check(horizon)
        session = None
        if self.session_id is not None:
            session = SessionPush(
                self.session_id,
                start=self.session_start,
                end=self.session_end,
                hold_points=self.hold_points,
            )
        elif self.session_start or self.session_end or self.hold_points is not None:
            raise bad_request("session_start, session_end and hold_points need a session_id")
        wish = ForecastWish(
            context=points,
            horizon=horizon,
            temperature=self.temperature,
            num_samples=self.num_samples,
            quantiles=tuple(self.quantiles),
            seed=self.seed,
            lengths=None if self.lengths is None else tuple(self.lengths),
            anchor_points=self.anchor_points,
            session=session,
            timeout=self.timeout,
        )
        return wish, clock


class InferRequest(Wishes):
    """Body of ``/infer``: points are 'tokens'."""

    tokens: Points = Field(description="Observed points, [T, D] or a batch [B, T, D].")
    max_new_tokens: Whole = Field(16, ge=1, description="Points to forecast.")

    path_name: ClassVar[str] = "generated_tokens"

    def wish(self) -> tuple[ForecastWish, Clock | None]:
        """What is wanted, and when its points were."""
        return self._wish(self.tokens, self.max_new_tokens)


class ForecastRequest(Wishes):
    """Body of ``/v1/forecast``."""

    points: Points = Field(description="Observed points, [T, D] or a batch [B, T, D].")
    horizon: Whole = Field(16, ge=1, description="Points to forecast.")

    path_name: ClassVar[str] = "points"

    def wish(self) -> tuple[ForecastWish, Clock | None]:
        """What is wanted, and when its points were."""
        return self._wish(self.points, self.horizon)


class StreamRequest(Options):
    """A message to ``/v1/stream``."""

    points: Points = Field(description="New points, [T, D].")
    horizon: Whole = Field(16, ge=1, description="Points to forecast.")
    restart: StrictBool = Field(False, description="Begin the path anew with these points.")


Nested = Annotated[list[Any], Field(description="Numbers, nested as the request's points.")]


class SessionReply(BaseModel):
    """Where a session stands."""

    id: str
    points: int = Field(description="Pushed so far.")
    context_points: int = Field(description="Of them, those the forecast was made from: the last ones.")
    anchor_points: int = Field(description="Of these, the first so many are what it is normalised by.")
    reanchored: bool = Field(description="Whether it was normalised anew with this push.")
    ended: bool


class LayerExperts(BaseModel):
    """Experts of one layer."""

    layer: int
    experts: Nested = Field(description="That served each context's last token, best first, [B, K] or [K].")
    weights: Nested = Field(description="Their gates.")
    load: list[float] = Field(description="Share of all tokens of the request that each expert served.")


class Reply(BaseModel):
    """What the answers of ``/infer`` and ``/v1/forecast`` share."""

    request_id: str
    model: str
    mean: Nested = Field(description="Centre of the predictive distribution, [H, K] or [B, H, K].")
    samples: Nested | None = Field(None, description="Drawn paths, [S, H, K] or [B, S, H, K].")
    quantiles: dict[str, Nested] | None = Field(None, description="Level to values, shaped as the mean.")
    timestamps: Nested | None = Field(None, description="Seconds of the forecast's points, [H] or [B, H].")
    resampled: bool | None = None
    session: SessionReply | None = None
    routing: list[LayerExperts] | None = None
    timing: dict[Literal["total_ms", "queue_ms", "first_step_ms"], float]
    steps_per_second: float = Field(description="Forecast points per second of this request.")
    model_steps: int = Field(description="Forward passes that the request took part in.")
    reused_prefix_length: int = Field(description="Points that had been read before.")
    cache_hit_rate: float = Field(description="Share of all points served so far that had been read before.")


class InferReply(Reply):
    """Answer of ``/infer``."""

    generated_tokens: Nested = Field(description="The forecast at the asked temperature.")


class ForecastReply(Reply):
    """Answer of ``/v1/forecast``."""

    points: Nested = Field(description="The forecast at the asked temperature.")


class ModelReply(BaseModel):
    """Answer of ``/v1/model``."""

    name: str
    device: str
    input_dim: int = Field(description="Numbers of a point D.")
    target_dim: int = Field(description="Numbers of a forecast point K.")
    steps_per_pass: int = Field(description="Points that one pass of the model predicts.")
    layers: int
    experts: int = Field(description="Of each mixture; 0 for a dense model.")
    active_experts: int
    parameters: int
    active_parameters: int
    limits: dict[str, float]


class ErrorReply(BaseModel):
    """What went wrong, where, and what to do."""

    error: str
