"""What goes into the model and comes out of it, in the protocol's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

VERSION = "1"  # the only one: a server has one model, as it was loaded
ANY = -1  # a size that the request decides

DTYPES: Mapping[str, np.dtype[np.generic]] = {
    name: np.dtype(code)
    for name, code in {
        "FP64": "<f8",
        "FP32": "<f4",
        "FP16": "<f2",
        "INT64": "<i8",
        "INT32": "<i4",
        "INT16": "<i2",
        "INT8": "<i1",
        "UINT32": "<u4",
        "UINT16": "<u2",
        "UINT8": "<u1",
    }.items()
}
_FLOATS = ("FP64", "FP32", "FP16")
_INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT32", "UINT16", "UINT8")

Kind = Literal["floats", "integers"]


@dataclass(frozen=True)
class Input:
    """A tensor that a request may bring.

    Attributes:
        name: by which the request names it.
        kind: of its numbers.
        dims: its declared shape; `ANY` where the request decides.
        optional: whether it may be missing.
        unbatched: whether its first axis may be missing.
    """

    name: str
    kind: Kind
    dims: tuple[int, ...]
    optional: bool = True
    unbatched: bool = False

    @property
    def datatypes(self) -> tuple[str, ...]:
        """Those that are taken; the first is the declared one."""
        return _FLOATS if self.kind == "floats" else _INTEGERS

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a request may bring this shape."""
        dims = self.dims[1:] if self.unbatched and len(shape) == len(self.dims) - 1 else self.dims
        return len(shape) == len(dims) and all(
            dim in (ANY, size) for dim, size in zip(dims, shape, strict=True)
        )


@dataclass(frozen=True)
class Output:
    """A tensor of the answer, FP64.

    Attributes:
        name: by which a request may ask for it.
        dims: its shape with a batch of contexts.
        needs: the input or parameter without which there is none.
    """

    name: str
    dims: tuple[int, ...]
    needs: str | None = None


def inputs(channels: int) -> dict[str, Input]:
    """The inputs of a model of points of so many numbers, by name."""
    found = (
        Input("context", "floats", (ANY, ANY, channels), optional=False, unbatched=True),
        Input("lengths", "integers", (ANY,)),
        Input("horizon", "integers", (1,)),
        Input("temperature", "floats", (1,)),
        Input("num_samples", "integers", (1,)),
        Input("seed", "integers", (1,)),
        Input("quantiles", "floats", (ANY,)),
        Input("anchor_points", "integers", (1,)),
    )
    return {each.name: each for each in found}


def outputs(channels: int) -> dict[str, Output]:
    """The outputs of a model that predicts so many numbers per point, by name."""
    found = (
        Output("points", (ANY, ANY, channels)),
        Output("mean", (ANY, ANY, channels)),
        Output("samples", (ANY, ANY, ANY, channels), needs="num_samples"),
        Output("quantiles", (ANY, ANY, ANY, channels), needs="quantiles"),
    )
    return {each.name: each for each in found}
