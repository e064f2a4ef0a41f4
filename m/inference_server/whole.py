"""A request and its answer as plain values, so that another process can be asked, and asked again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Scope

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class WholeRequest:
    """A request of HTTP, body and all."""

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes

    @classmethod
    def of(cls, scope: Scope, body: bytes) -> WholeRequest:
        """From what ASGI says of it."""
        headers = tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
        return cls(scope["method"], scope["path"], bytes(scope.get("query_string", b"")), headers, body)

    def scope(self) -> Scope:
        """What ASGI says of it."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query,
            "root_path": "",
            "headers": list(self.headers),
            "client": None,
            "server": None,
        }


@dataclass(frozen=True)
class WholeAnswer:
    """An answer of HTTP, body and all."""

    status: int
    headers: Headers
    body: bytes


async def answer_whole(app: ASGIApp, request: WholeRequest) -> WholeAnswer:
    """Answer a request by an application of this process; the client counts as connected until the end."""
    parts: list[Message] = []
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            await asyncio.Event().wait()  # nobody leaves: who gives up cancels this whole call
        given = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Message) -> None:
        parts.append(message)

    await app(request.scope(), receive, send)
    start = next(part for part in parts if part["type"] == "http.response.start")
    body = b"".join(part.get("body", b"") for part in parts if part["type"] == "http.response.body")
    headers = tuple((bytes(name), bytes(value)) for name, value in start.get("headers", ()))
    return WholeAnswer(start["status"], headers, body)
