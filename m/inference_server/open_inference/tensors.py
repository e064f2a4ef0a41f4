"""Tensors as JSON and as binary data: read with every length checked, and written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from m.arrays import Array
from m.inference_server.errors import bad_request
from m.inference_server.open_inference.messages import InputTensor
from m.inference_server.open_inference.signature import DTYPES

Numbers = NDArray[np.generic]

_MOST_DEPTH = 4
_NESTED: dict[str, list[TypeAdapter[Any]]] = {
    kind: [
        TypeAdapter(list[item]),  # type: ignore[valid-type]  # a type made at run time
        TypeAdapter(list[list[item]]),  # type: ignore[valid-type]
        TypeAdapter(list[list[list[item]]]),  # type: ignore[valid-type]
        TypeAdapter(list[list[list[list[item]]]]),  # type: ignore[valid-type]
    ]
    for kind, item in (("f", float), ("i", int), ("u", int))
}


def decode(tensors: Sequence[InputTensor], tail: bytes | memoryview) -> dict[str, Numbers]:
    """The numbers of a request's inputs, by name, each of its shape.

    Args:
        tensors: as the JSON says.
        tail: the binary data behind it, in the order of the inputs.

    Raises:
        RequestError: 400; a datatype that is not known, two inputs of one name, or numbers that are not as
            many or not as long as was said.
    """
    found: dict[str, Numbers] = {}
    begin, rest = 0, memoryview(tail)
    for tensor in tensors:
        if tensor.name in found:
            raise bad_request(f"input '{tensor.name}' is given twice; give it once")
        size = None if tensor.parameters is None else tensor.parameters.binary_data_size
        if (size is None) == (tensor.data is None):
            what = "both 'data' and binary data" if size is not None else "neither 'data' nor binary data"
            raise bad_request(f"input '{tensor.name}' has {what}; give one of them")
        if size is None:
            found[tensor.name] = _from_json(tensor)
        else:
            found[tensor.name] = _from_binary(tensor, rest[begin : begin + size], size)
            begin += size
    if begin != len(rest):
        raise bad_request(
            f"{len(rest)} bytes follow the JSON, but the inputs' binary_data_size sum to {begin}; "
            "check Inference-Header-Content-Length and the sizes"
        )
    return found


def encode(name: str, values: Array, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """An output as the JSON says it, and its binary data, empty where the JSON has the numbers."""
    content: dict[str, Any] = {"name": name, "datatype": "FP64", "shape": list(values.shape)}
    if not binary:
        return content | {"data": np.ascontiguousarray(values).reshape(-1)}, b""
    raw = np.ascontiguousarray(values, dtype=DTYPES["FP64"]).tobytes()
    return content | {"parameters": {"binary_data_size": len(raw)}}, raw


def _dtype(tensor: InputTensor) -> np.dtype[np.generic]:
    """What a tensor's numbers are."""
    if tensor.datatype not in DTYPES:
        raise bad_request(
            f"input '{tensor.name}' has datatype {_short(tensor.datatype)}, which is not taken here; "
            f"send one of {', '.join(DTYPES)}"
        )
    return DTYPES[tensor.datatype]


def _from_binary(tensor: InputTensor, raw: memoryview, size: int) -> Numbers:
    dtype = _dtype(tensor)
    expected = math.prod(tensor.shape) * dtype.itemsize  # Python's integers: no size overflows
    if size != expected:
        raise bad_request(
            f"input '{tensor.name}' of shape {tensor.shape} and datatype {tensor.datatype} has {expected} "
            f"bytes, but its binary_data_size is {size}"
        )
    if len(raw) != size:
        raise bad_request(
            f"input '{tensor.name}' should have {size} bytes of binary data, but the body ends after "
            f"{len(raw)} of them"
        )
    return np.frombuffer(raw, dtype=dtype).reshape(tensor.shape)


def _from_json(tensor: InputTensor) -> Numbers:
    dtype = _dtype(tensor)
    array = _array(tensor, dtype)
    flat = array.ndim == 1 and array.size == math.prod(tensor.shape)
    if not flat and list(array.shape) != tensor.shape:
        raise bad_request(
            f"input '{tensor.name}' of shape {tensor.shape} should have {math.prod(tensor.shape)} numbers, "
            f"flat or nested as the shape, but its data have shape {list(array.shape)}"
        )
    if dtype.kind == "f" and not np.isfinite(array).all():  # JSON has no such numbers: it became too large
        raise bad_request(f"input '{tensor.name}' has a number that {tensor.datatype} cannot hold")
    return array.reshape(tensor.shape)


def _array(tensor: InputTensor, dtype: np.dtype[np.generic]) -> Numbers:
    """Nested lists as an array of whatever shape they have."""
    depth, inner = 0, tensor.data
    while isinstance(inner, list) and depth <= _MOST_DEPTH:
        depth, inner = depth + 1, inner[0] if inner else None
    if depth > _MOST_DEPTH:
        raise bad_request(f"the data of input '{tensor.name}' are nested too deep")
    kind = "numbers" if dtype.kind == "f" else "whole numbers"
    try:
        checked = _NESTED[dtype.kind][depth - 1].validate_python(tensor.data, strict=True)
    except ValidationError as error:
        where = "".join(f"[{part}]" for part in error.errors(include_url=False)[0]["loc"])
        raise bad_request(f"data{where} of input '{tensor.name}' should be {kind}, flat or nested") from None
    try:
        with np.errstate(over="ignore"):  # told by the caller
            return np.array(checked, dtype=dtype)
    except OverflowError:
        raise bad_request(
            f"input '{tensor.name}' has a number that {tensor.datatype} cannot hold; send INT64"
        ) from None
    except ValueError:
        raise bad_request(f"the nested lists of input '{tensor.name}' are not all of one length") from None


def _short(text: str) -> str:
    """A client's word, cut for a message."""
    return repr(text if len(text) <= 32 else f"{text[:32]}...")
