"""From a request of the protocol to a `ForecastWish`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import orjson
from pydantic import BaseModel, ValidationError

from m.generation.session import SessionPush
from m.inference_server.errors import bad_request, describe_invalid
from m.inference_server.open_inference import signature
from m.inference_server.open_inference.messages import (
    GenerateBody,
    InferBody,
    InputTensor,
    OutputTensor,
    Parameters,
    Settings,
)
from m.inference_server.open_inference.tensors import Numbers, decode
from m.inference_server.wish import ForecastWish, OnBlock
from m.moe.config import ModelConfig

DEFAULT_HORIZON = 16
HEADER_LENGTH = "Inference-Header-Content-Length"
_NO_PARAMETERS = Parameters.model_validate({})

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Asked:
    """An inference request that was read.

    Attributes:
        wish: the forecast.
        outputs: names of those wanted, and whether each goes as binary data.
        id: the client's own, or None.
    """

    wish: ForecastWish
    outputs: dict[str, bool]
    id: str | None


def read_infer(body: bytes, header_length: str | None, config: ModelConfig) -> Asked:
    """Read a body of ``infer``.

    Args:
        body: decompressed.
        header_length: bytes of it that are JSON, as its header says; all without it.
        config: of the model that is asked.

    Raises:
        RequestError: 400; what was wrong, where, and what to do.
    """
    head, tail = _split(body, header_length)
    message = read_json(head, InferBody)
    _check_inputs(message.inputs, config)
    parameters = message.parameters or _NO_PARAMETERS
    wish = _wish_of_tensors(decode(message.inputs, tail), parameters)
    wanted = _wanted(message.outputs, wish, parameters.binary_data_output)
    return Asked(_without_unwanted(wish, wanted), wanted, message.id or None)


def read_generate(body: bytes, *, on_block: OnBlock | None = None) -> Asked:
    """Read a body of ``generate``.

    Raises:
        RequestError: 400; what was wrong, where, and what to do.
    """
    message = read_json(body, GenerateBody)
    wish = make_wish(
        message.context,
        message,
        message.parameters or _NO_PARAMETERS,
        lengths=message.lengths,
        quantiles=message.quantiles or (),
    )
    wanted = _wanted(None, wish, binary=False)
    return Asked(replace(wish, on_block=on_block), wanted, message.id or None)


def read_json(body: bytes | memoryview, kind: type[M]) -> M:
    """A message of a kind.

    Raises:
        RequestError: 400; it is not JSON, or not of that kind.
    """
    try:
        return kind.model_validate(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body should be JSON: {error}") from None
    except ValidationError as error:
        raise bad_request(describe_invalid(error.errors(include_url=False))) from None


def make_wish(
    context: Any,
    settings: Settings,
    parameters: Parameters,
    *,
    lengths: Sequence[int] | None,
    quantiles: Sequence[float],
) -> ForecastWish:
    """The wish that inputs and parameters make together.

    Raises:
        RequestError: 400; a setting given as both, or words of a sequence without one.
    """
    chosen = _joined(settings, parameters)
    return ForecastWish(
        context=context,
        horizon=chosen.get("horizon", DEFAULT_HORIZON),
        temperature=chosen.get("temperature", 0.0),
        num_samples=chosen.get("num_samples"),
        quantiles=tuple(quantiles),
        seed=chosen.get("seed"),
        lengths=None if lengths is None else tuple(lengths),
        anchor_points=chosen.get("anchor_points"),
        session=_session(parameters),
        timeout=parameters.timeout / 1e6 if parameters.timeout else None,
    )


def _split(body: bytes, header_length: str | None) -> tuple[memoryview, memoryview]:
    """The JSON, and the binary data behind it."""
    whole = memoryview(body)
    if header_length is None:
        return whole, whole[len(whole) :]
    text = header_length.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise bad_request(f"{HEADER_LENGTH} should be a number of bytes")
    length = int(text)
    if length > len(whole):
        raise bad_request(f"{HEADER_LENGTH} is {length}, but the body has {len(whole)} bytes")
    if length == 0:
        raise bad_request(f"{HEADER_LENGTH} is 0; inputs need JSON that names them and tells their shapes")
    return whole[:length], whole[length:]


def _check_inputs(tensors: Sequence[InputTensor], config: ModelConfig) -> None:
    """Refuse inputs that the model does not have, or that are of another kind or shape."""
    known = signature.inputs(config.input_dim)
    for tensor in tensors:
        if tensor.name not in known:
            raise bad_request(f"there is no input '{tensor.name[:32]}'; there are {', '.join(known)}")
        expected = known[tensor.name]
        if tensor.datatype not in expected.datatypes:
            raise bad_request(
                f"input '{tensor.name}' has datatype '{tensor.datatype[:32]}'; "
                f"send one of {', '.join(expected.datatypes)}"
            )
        if not expected.fits(tuple(tensor.shape)):
            dims = list(expected.dims)
            also = f" or {dims[1:]}" if expected.unbatched else ""
            raise bad_request(
                f"input '{tensor.name}' has shape {tensor.shape}; send {dims}{also}, -1 being any size"
            )
    if "context" not in {tensor.name for tensor in tensors}:
        raise bad_request("there is no input 'context'; send the observed points, [T, D] or [B, T, D]")


def _wish_of_tensors(found: Mapping[str, Numbers], parameters: Parameters) -> ForecastWish:
    given = {name: found[name].item() for name in Settings.model_fields if name in found}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise bad_request(f"input {describe_invalid(error.errors(include_url=False))}") from None
    return make_wish(
        np.array(found["context"], dtype=np.float64),  # a copy: binary data cannot be written to
        settings,
        parameters,
        lengths=found["lengths"].tolist() if "lengths" in found else None,
        quantiles=found["quantiles"].tolist() if "quantiles" in found else (),
    )


def _joined(settings: Settings, parameters: Parameters) -> dict[str, Any]:
    """Settings from inputs and from parameters."""
    names = set(Settings.model_fields)
    inputs = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    others = {name: getattr(parameters, name) for name in names if getattr(parameters, name) is not None}
    twice = sorted(inputs.keys() & others.keys())
    if twice:
        raise bad_request(f"{twice[0]} is given as an input and as a parameter; give one of them")
    return inputs | others


def _session(parameters: Parameters) -> SessionPush | None:
    """The session that a sequence is."""
    if parameters.sequence_id in (None, 0, ""):
        if parameters.sequence_start or parameters.sequence_end or parameters.hold_points is not None:
            raise bad_request(
                "sequence_start, sequence_end and hold_points need a sequence_id, a number above 0 or a name"
            )
        return None
    return SessionPush(
        str(parameters.sequence_id),
        start=parameters.sequence_start,
        end=parameters.sequence_end,
        hold_points=parameters.hold_points,
    )


def _wanted(outputs: Sequence[OutputTensor] | None, wish: ForecastWish, binary: bool) -> dict[str, bool]:
    """Names of the outputs to send, and whether as binary data."""
    known = signature.outputs(0)
    there = {
        name: each
        for name, each in known.items()
        if each.needs is None or bool(getattr(wish, each.needs))  # () and None: not asked for
    }
    if not outputs:
        return dict.fromkeys(there, binary)
    found: dict[str, bool] = {}
    for output in outputs:
        name = output.name
        if name not in known:
            raise bad_request(f"there is no output '{name[:32]}'; there are {', '.join(known)}")
        if name not in there:
            raise bad_request(f"output '{name}' needs {known[name].needs}; send that too, or leave it out")
        if name in found:
            raise bad_request(f"output '{name}' is asked for twice; ask once")
        own = None if output.parameters is None else output.parameters.binary_data
        found[name] = binary if own is None else own
    return found


def _without_unwanted(wish: ForecastWish, wanted: Mapping[str, bool]) -> ForecastWish:
    """The wish, without what costs time and would not be sent."""
    return replace(
        wish,
        num_samples=wish.num_samples if "samples" in wanted else None,
        quantiles=wish.quantiles if "quantiles" in wanted else (),
    )
