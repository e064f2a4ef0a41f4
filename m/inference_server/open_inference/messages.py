"""What clients of the protocol say in JSON, and what they are told."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from m.inference_server.messages import Points, Real, Strict, Whole

_MOST = 2**63  # what an INT64 holds
_NUMBER = {"type": "number"}


def _lists(depth: int) -> dict[str, Any]:
    """JSON Schema of numbers in so many levels of lists."""
    return {"type": "array", "minItems": 1, "items": _NUMBER if depth == 1 else _lists(depth - 1)}


Numbers = Annotated[list[Any], WithJsonSchema({"anyOf": [_lists(1), _lists(2), _lists(3)]})]
Size = Annotated[Whole, Field(ge=1)]
Count = Annotated[Whole, Field(ge=1, lt=_MOST)]
Level = Annotated[Real, Field(gt=0, lt=1)]
SequenceId = Annotated[Whole, Field(ge=0, lt=2**64)] | Annotated[StrictStr, Field(max_length=128)]


def _refuse_foreign(value: Any) -> Any:
    """Parameters of extensions that this server does not have, told by their names."""
    for name in value if isinstance(value, dict) else ():
        if name.startswith("shared_memory_"):
            reason = "there is no shared memory here; send the numbers themselves, as JSON or binary data"
        elif name == "classification":
            reason = "a forecast has no classes; leave classification (class_count) out"
        else:
            continue
        raise PydanticCustomError("foreign", "{name}: {reason}", {"name": name, "reason": reason})
    return value


class Settings(Strict):
    """How a forecast may be asked for, as inputs of one number each or as parameters; not as both."""

    horizon: Count | None = Field(None, description="Points to forecast; 16 by default.")
    temperature: Annotated[Real, Field(ge=0)] | None = Field(
        None, description="0, the default: the centre of what the model expects; 1: a path drawn from it."
    )
    num_samples: Count | None = Field(None, description="Draw this many paths of each context.")
    seed: Annotated[Whole, Field(ge=0, lt=_MOST)] | None = Field(
        None, description="Makes what is drawn repeatable."
    )
    anchor_points: Count | None = Field(
        None, description="Normalise by the end of the first points, so many, instead of all."
    )


class Parameters(Settings):
    """Of a request."""

    sequence_id: SequenceId | None = Field(
        None, description="The session that the points continue; 0 or nothing for none."
    )
    sequence_start: StrictBool = Field(False, description="Begin the session with these points.")
    sequence_end: StrictBool = Field(False, description="Forget the session after this forecast.")
    hold_points: Annotated[Whole, Field(ge=0, lt=_MOST)] | None = Field(
        None, description="Of a session: points it may go on before it takes a new anchor; 0 by default."
    )
    timeout: Annotated[Whole, Field(ge=0, lt=_MOST)] | None = Field(
        None, description="Microseconds after which the answer is of no use; 0 for the server's own."
    )
    priority: Whole = Field(0, ge=0, le=0, description="All requests are equal: only 0 is taken.")
    binary_data_output: StrictBool = Field(False, description="Send outputs as binary data.")


class InputParameters(Strict):
    """Of an input."""

    binary_data_size: Annotated[Whole, Field(ge=0)] | None = Field(
        None, description="Bytes of the input behind the JSON, instead of `data`."
    )


class OutputParameters(Strict):
    """Of an output."""

    binary_data: StrictBool | None = Field(
        None, description="Send this output as binary data; by default as binary_data_output says."
    )


class InputTensor(Strict):
    """Numbers of a request."""

    name: StrictStr
    datatype: StrictStr = Field(description="Such as FP64; little-endian where the data are binary.")
    shape: list[Size] = Field(min_length=1, max_length=8)
    parameters: Annotated[InputParameters, BeforeValidator(_refuse_foreign)] | None = None
    data: Numbers | None = Field(None, description="In row-major order, flat or nested as the shape.")


class OutputTensor(Strict):
    """An output that is asked for."""

    name: StrictStr
    parameters: Annotated[OutputParameters, BeforeValidator(_refuse_foreign)] | None = None


Id = Annotated[StrictStr, Field(max_length=256)]


class InferBody(Strict):
    """The JSON of an inference request."""

    id: Id | None = Field(None, description="Comes back in the answer.")
    parameters: Parameters | None = None
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[OutputTensor] | None = Field(None, description="Those wanted; all by default.")


class GenerateBody(Settings):
    """The JSON of `generate`: inputs by their names."""

    id: Id | None = Field(None, description="Comes back in the answer.")
    context: Points = Field(description="Observed points, [T, D] or a batch [B, T, D].")
    lengths: list[Count] | None = Field(
        None, description="Valid points of each context, where shorter ones are padded at their end."
    )
    quantiles: list[Level] | None = Field(None, description="State these levels, such as [0.1, 0.9].")
    parameters: Parameters | None = None


class IndexBody(Strict):
    """The JSON that may come with a question for the repository's index."""

    ready: StrictBool = Field(False, description="Name only models that are ready.")


# ---- answers ----


class Live(BaseModel):
    """Whether the server lives."""

    live: bool


class Ready(BaseModel):
    """Whether the server is ready."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model is ready."""

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or output; -1 for sizes that the request decides."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, bool] | None = None


class ModelMetadata(BaseModel):
    """What the model takes and gives."""

    model_config: ClassVar[ConfigDict] = ConfigDict(protected_namespaces=())

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class IndexEntry(BaseModel):
    """A model of the repository."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNAVAILABLE"]
    reason: str


class AnswerTensor(BaseModel):
    """Numbers of an answer."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int] | None = Field(None, description="binary_data_size, of binary data.")
    data: list[float] | None = Field(None, description="In row-major order, where they are not binary.")


class _Named(BaseModel):
    """What all answers of forecasts say."""

    model_config: ClassVar[ConfigDict] = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None


class InferAnswer(_Named):
    """The JSON of an answer to an inference request."""

    parameters: dict[str, str | int | float | bool]
    outputs: list[AnswerTensor]


class GenerateAnswer(_Named):
    """Answer of `generate`: outputs by their names, nested."""

    parameters: dict[str, str | int | float | bool]
    points: list[Any]
    mean: list[Any]
    samples: list[Any] | None = None
    quantiles: list[Any] | None = None
