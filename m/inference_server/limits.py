"""How much one client may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from m._checks import at_least, positive
from m.inference_server.errors import bad_request


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of a server; what goes beyond is refused with a message that names the bound.

    Attributes:
        body_bytes: of a request, also after decompression.
        batch: contexts in one request.
        context: points of a context.
        horizon: points to forecast.
        samples: paths per context.
        quantiles: levels in one request.
        context_points: of all contexts of a request.
        forecast_points: of all paths of a request, drawn ones included: the size of its answer.
        waiting: requests that may wait or run at once.
        sessions: that may be open at once; 0 where requests of one client may reach several servers.
        session_seconds: without a push, after which a session may be forgotten.
        session_points: that a session remembers; it starts anew from the last ones when it has more.
        timeout_seconds: of a request that names no timeout of its own, and the longest it may name.
        prefix_bytes: memory for contexts read before; 0 for none.
    """

    body_bytes: int = 8 * 2**20
    batch: int = 64
    context: int = 4096
    horizon: int = 1024
    samples: int = 1000
    quantiles: int = 32
    context_points: int = 2**16
    forecast_points: int = 2**18
    waiting: int = 256
    sessions: int = 256
    session_seconds: float = 600.0
    session_points: int = 512
    timeout_seconds: float = 30.0
    prefix_bytes: int = 64 * 2**20

    def __post_init__(self) -> None:
        counts = ("batch", "context", "horizon", "samples", "quantiles", "waiting")
        for name in (*counts, "context_points", "forecast_points"):
            at_least(f"limits.{name}", getattr(self, name), 1)
        at_least("limits.sessions", self.sessions, 0)
        at_least("limits.body_bytes", self.body_bytes, 1024)
        at_least("limits.session_points", self.session_points, 16)
        at_least("limits.prefix_bytes", self.prefix_bytes, 0)
        positive("limits.session_seconds", self.session_seconds)
        positive("limits.timeout_seconds", self.timeout_seconds)

    def check(
        self, *, contexts: int, points: int, horizon: int, samples: int | None, quantiles: Sequence[float]
    ) -> None:
        """Refuse what is too much.

        Raises:
            RequestError: 400, naming the bound.
        """
        found = {
            "contexts in one request": (contexts, self.batch),
            "points of a context": (points, self.context),
            "points of the horizon": (horizon, self.horizon),
            "samples": (samples or 0, self.samples),
            "quantile levels": (len(quantiles), self.quantiles),
            "points of all contexts": (contexts * points, self.context_points),
            "points of all paths": (
                contexts * horizon * (1 + (samples or 0) + len(quantiles)),
                self.forecast_points,
            ),
        }
        for what, (asked, most) in found.items():
            if asked > most:
                raise bad_request(f"{asked} {what} are more than the {most} this server allows; ask for less")

    def timeout(self, asked: float | None) -> float:
        """Seconds that a request may take.

        Raises:
            RequestError: 400, no positive number.
        """
        if asked is None:
            return self.timeout_seconds
        if not asked > 0:
            raise bad_request(f"the timeout must be above 0 seconds, got {asked}")
        return min(asked, self.timeout_seconds)
