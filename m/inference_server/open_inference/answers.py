"""Forecasts as the protocol tells them."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import Request, Response

from m.arrays import Array
from m.inference_server.errors import beyond_numbers
from m.inference_server.open_inference.compression import compress
from m.inference_server.open_inference.requests import HEADER_LENGTH, Asked
from m.inference_server.open_inference.signature import VERSION
from m.inference_server.open_inference.tensors import encode
from m.inference_server.web import json_bytes
from m.inference_server.wish import Served


async def infer_answer(request: Request, model: str, asked: Asked, served: Served) -> Response:
    """The answer of ``infer``: JSON, and binary data behind it where outputs were asked for so."""
    values = arrays(asked, served)
    encoded = [encode(name, values[name], binary=binary) for name, binary in asked.outputs.items()]
    content = named(model, asked) | {
        "parameters": figures(served),
        "outputs": [said for said, _ in encoded],
    }
    head = json_bytes(content)
    binary = any(asked.outputs.values())
    headers = {HEADER_LENGTH: str(len(head))} if binary else {}
    body, extra = await compress(
        b"".join((head, *(raw for _, raw in encoded))), request.headers.get("accept-encoding")
    )
    kind = "application/octet-stream" if binary else "application/json"
    return Response(body, headers=headers | extra, media_type=kind)


async def generate_answer(request: Request, model: str, asked: Asked, served: Served) -> Response:
    """The answer of ``generate``: outputs by their names, nested."""
    content = named(model, asked) | {"parameters": figures(served)} | arrays(asked, served)
    body, headers = await compress(json_bytes(content), request.headers.get("accept-encoding"))
    return Response(body, headers=headers, media_type="application/json")


def arrays(asked: Asked, served: Served) -> dict[str, Array]:
    """The outputs that were wanted, by name, ``[B, H, K]``, ``[B, S, H, K]`` or ``[Q, B, H, K]``."""
    result = served.result
    found = {"points": result.points, "mean": result.mean}
    if result.samples is not None:
        found["samples"] = result.samples
    if result.quantiles:
        found["quantiles"] = np.stack([result.quantiles[float(level)] for level in asked.wish.quantiles])
    return {name: found[name] for name in asked.outputs}


def finite(values: Array) -> Array:
    """A block of a forecast that is under way, if it is numbers all; of whole ones the server sees to that.

    Raises:
        RequestError: 400.
    """
    if not np.isfinite(values).all():
        raise beyond_numbers()
    return values


def named(model: str, asked: Asked) -> dict[str, Any]:
    """What every answer begins with."""
    content = {"model_name": model, "model_version": VERSION}
    return content if asked.id is None else content | {"id": asked.id}


def figures(served: Served) -> dict[str, str | int | float | bool]:
    """What a forecast took, and where its session stands."""
    result = served.result
    found: dict[str, str | int | float | bool] = {
        "model_steps": result.model_steps,
        "reused_points": result.reused_points,
        "queue_us": round(1e6 * served.queue_seconds),
        "total_us": round(1e6 * served.seconds),
    }
    if result.session is not None:
        found |= {
            "sequence_id": result.session.id,
            "sequence_points": result.session.points,
            "sequence_context_points": result.session.context_points,
            "sequence_reanchored": result.session.reanchored,
            "sequence_end": result.session.ended,
        }
    return found
