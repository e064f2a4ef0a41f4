"""What every request passes first: who asks, from where, and how much."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from m.inference_server.errors import RequestError
from m.inference_server.host import Host
from m.inference_server.web import error_response

OPEN_PATHS = frozenset({"/", "/docs", "/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready"})
OPEN_FOLDERS = ("/static/",)
_KEY = re.compile(r"[!-~]+")
KEY_PROTOCOL = "m.key."  # before the key, among the subprotocols of a WebSocket: browsers can set no header
STREAM_PROTOCOL = "m.stream"
_HEARD_BYTES, _HEARD_SECONDS = 2**26, 5.0  # of a body that is refused
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})  # a page that sends these without leave learns nothing


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask.

    Attributes:
        key: that clients must give as ``Authorization: Bearer KEY``; None for none.
        origins: of pages of other servers whose scripts may ask; ``*`` for all.
        local_only: refuse requests that name this machine otherwise than ``localhost`` or by a loopback
            address: a page elsewhere whose name was made to point here could else ask (DNS rebinding).
    """

    key: str | None = None
    origins: tuple[str, ...] = ()
    local_only: bool = True


class Guard:
    """ASGI middleware: refuses who may not ask and what is too large, and counts the rest.

    Args:
        app: what comes after.
        host: whose limits and figures count.
        access: who may ask.
        body_bytes: of a request.
    """

    def __init__(self, app: ASGIApp, *, host: Host, access: Access, body_bytes: int) -> None:
        self._app, self._host, self._access, self._most = app, host, access, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await _refuse_stream(refusal, scope, receive, send)
            return
        began, status = time.monotonic(), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if refusal is not None:
                await self._hear_out(scope, receive)
                await error_response(refusal)(scope, receive, note)
            else:
                await self._app(scope, self._bounded(receive), note)
        finally:
            self._count(scope, status, time.monotonic() - began)

    def _refusal(self, scope: Scope) -> RequestError | None:
        """Why a connection is not served, if it is not."""
        headers = Headers(scope=scope)
        if self._access.local_only and not _is_loopback(_name(headers.get("host", ""))):
            return RequestError(
                HTTPStatus.FORBIDDEN,
                "this server answers to localhost only; start it with another --host to serve a network",
            )
        origin = headers.get("origin")
        if origin is not None and _does_something(scope) and not self._may_ask(origin, headers):
            return RequestError(
                HTTPStatus.FORBIDDEN,
                f"pages of {origin[:200]} may not ask this server; start it with --allow-origin to let them",
            )
        if (
            self._access.key is not None
            and not _is_open(scope["path"])
            and not self._knows_key(scope, headers)
        ):
            return RequestError(
                HTTPStatus.UNAUTHORIZED, "a key is needed: send the header Authorization: Bearer KEY"
            )
        length = headers.get("content-length", "0")
        if scope["type"] == "http" and length.isdecimal() and int(length[:20]) > self._most:
            return self._too_large()
        return None

    def _may_ask(self, origin: str, headers: Headers) -> bool:
        """Whether a page may send work here; a browser asks nobody about that, it only keeps the answer."""
        allowed = self._access.origins
        return "*" in allowed or origin in allowed or _place(origin) == headers.get("host", "").lower()

    def _knows_key(self, scope: Scope, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        candidates = [given.strip()] if kind.lower() == "bearer" else []
        if scope["type"] == "websocket":
            names = scope.get("subprotocols", ())
            candidates += [name.removeprefix(KEY_PROTOCOL) for name in names if name.startswith(KEY_PROTOCOL)]
        return any(_same(each, self._access.key or "") for each in candidates)

    def _bounded(self, receive: Receive) -> Receive:
        """Count a body's bytes, whatever its header said."""
        taken = 0

        async def count() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most:
                refusal = self._too_large()  # in the shape that FastAPI lets through while it reads
                raise HTTPException(refusal.status, refusal.message)
            return message

        return count

    @staticmethod
    async def _hear_out(scope: Scope, receive: Receive) -> None:
        """Take a refused body that is under way, within bounds, where the connection ends with the answer.

        A socket that is closed with bytes unread is reset, and its client loses the answer.
        """
        headers = Headers(scope=scope)
        if headers.get("connection", "").lower() != "close" or "expect" in headers:
            return
        left = _HEARD_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_SECONDS):
                while left > 0:
                    message = await receive()
                    if not message.get("more_body"):
                        return
                    left -= len(message["body"])

    def _too_large(self) -> RequestError:
        return RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body is larger than the {self._most} bytes this server takes; ask for less at once",
        )

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        server = self._host.server_if_loaded
        if server is None:
            return
        route = getattr(scope.get("route"), "path", "other")  # not the path asked for: that could be anything
        server.metrics.requests.labels(route, _method(scope["method"]), str(status)).inc()
        server.metrics.request_seconds.labels(route).observe(seconds)


async def _refuse_stream(refusal: RequestError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket's opening request as any other, before it is one."""
    if "websocket.http.response" in scope.get("extensions", {}):
        await error_response(refusal)(scope, receive, send)
    else:  # a server that cannot say more: its client sees 403
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.message[:120]})


def _does_something(scope: Scope) -> bool:
    """Whether a connection can do more than read."""
    return scope["type"] == "websocket" or scope["method"] not in _HARMLESS


def _method(name: str) -> str:
    return name if name in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH") else "other"


def _place(origin: str) -> str | None:
    """Name and port in an Origin header, as the Host header has them; None where it names no place."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    """Whether a name can only be this machine's own: no other server of names decides about it."""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def _same(given: str, key: str) -> bool:
    """Compare in a time that tells nothing."""
    return hmac.compare_digest(given.encode(), key.encode())


def check_key(key: str | None) -> str | None:
    """The key, if clients can send it: in a header, and among the subprotocols of a WebSocket.

    Raises:
        ValueError: it is empty, or holds signs that a header cannot.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise ValueError(
            "the key must be letters, digits and signs of ASCII without spaces, at least one; "
            "leave it out to serve without a key"
        )
    return key


def origins_of(values: Iterable[str]) -> tuple[str, ...]:
    """Origins as browsers write them: no path, no slash at the end."""
    return tuple(value.strip().rstrip("/") for value in values if value.strip())
