"""Bodies that travel compressed: read within a bound, and sent as the client prefers."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from http import HTTPStatus

from fastapi import Request
from starlette.requests import ClientDisconnect

from m.inference_server.errors import RequestError, bad_request
from m.inference_server.web import CLIENT_LEFT

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's words for the two formats
_LEVEL = 1  # numbers of a forecast shrink little, whatever the effort
_WORTH_A_THREAD = 2**16  # bytes


async def read_body(request: Request, most: int) -> bytes:
    """A request's body, decompressed.

    Args:
        request: whose body has not been read.
        most: bytes it may have then.

    Raises:
        RequestError: 400, it is not what its Content-Encoding says; 413, too large; 415, an encoding that is
            not known.
    """
    try:
        body = await request.body()
    except ClientDisconnect:
        raise RequestError(CLIENT_LEFT, "the client has left") from None
    return decompress(body, request.headers.get("content-encoding", ""), most)


def decompress(body: bytes, encoding: str, most: int) -> bytes:
    """Undo a Content-Encoding.

    Raises:
        RequestError: see `read_body`.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in _WINDOWS:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Encoding: {encoding} is not known here; send gzip, deflate, or no compression",
        )
    reader = zlib.decompressobj(wbits=_WINDOWS[name])
    try:
        content = reader.decompress(body, most + 1)  # stops there: a small body could hold gigabytes
    except zlib.error as error:
        raise bad_request(f"the body is not {name} as its Content-Encoding says: {error}") from None
    if len(content) > most:
        raise RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the decompressed body is larger than the {most} bytes this server takes; ask for less at once",
        )
    if not reader.eof or reader.unused_data:
        fault = "ends too early" if not reader.eof else "goes on after its end"
        raise bad_request(f"the {name} body {fault}; send all of it, and nothing else")
    return content


async def compress(content: bytes, accepted: str | None) -> tuple[bytes, dict[str, str]]:
    """Content as a client prefers it, and the headers that say so.

    Args:
        content: of the answer.
        accepted: the request's Accept-Encoding.
    """
    name = choose(accepted or "")
    headers = {"Vary": "Accept-Encoding"}
    if name is None:
        return content, headers
    work = _gzip if name == "gzip" else _deflate
    packed = work(content) if len(content) < _WORTH_A_THREAD else await asyncio.to_thread(work, content)
    return packed, headers | {"Content-Encoding": name}


def choose(accepted: str) -> str | None:
    """The compression that an Accept-Encoding likes best; None for none, which it never has to name."""
    weights = {}
    for entry in accepted.lower().split(","):
        name, _, rest = entry.partition(";")
        weights[name.strip()] = _weight(rest)
    best = max(("gzip", "deflate"), key=lambda name: weights.get(name, 0.0))
    weight = weights.get(best, 0.0)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def _weight(text: str) -> float:
    """The q of an entry; 1 where it says none, 0 where it cannot be read."""
    name, _, value = text.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, _LEVEL, mtime=0)


def _deflate(content: bytes) -> bytes:
    return zlib.compress(content, _LEVEL)
