"""A model behind an engine, and requests answered from any event loop. Imports no torch."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from pydantic import ValidationError

from m.generation.forecast_job import ForecastJob
from m.generation.result import GenerationResult
from m.generation.session import SessionStore
from m.generation.worker import EngineWorker, Ticket
from m.inference_server.errors import EXPECTED, bad_request, beyond_numbers, describe_invalid, error_of
from m.inference_server.limits import Limits
from m.inference_server.messages import ForecastRequest, InferRequest
from m.inference_server.metrics import ServerMetrics
from m.inference_server.replies import reply
from m.inference_server.wish import ForecastWish, Served
from m.moe.config import ModelConfig


@dataclass(frozen=True)
class ServedModel:
    """What the faces say of a model.

    Attributes:
        config: its architecture.
        device: where it computes.
        parameters: all of them.
        active_parameters: those that one token uses.
        platform: in Triton's words, what runs it in which format.
    """

    config: ModelConfig
    device: str
    parameters: int
    active_parameters: int
    platform: str


class ForecastServer(ABC):
    """What every face of a server asks, whatever computes its forecasts.

    Requests may come from any event loop. The model computes in a thread of its own, and requests that
    overlap share its steps (see `m.generation`). Close it, or use it as a context manager.

    Args:
        worker: of the engine.
        served: what to say of the model.
        name: what clients call it.
        limits: how much a client may ask for.
    """

    def __init__(self, worker: EngineWorker, served: ServedModel, *, name: str, limits: Limits) -> None:
        self.worker = worker
        self.served = served
        self.name = name
        self.limits = limits
        self.metrics = ServerMetrics(worker)

    @property
    def config(self) -> ModelConfig:
        """The model's architecture."""
        return self.served.config

    @property
    def device(self) -> str:
        """Where the model computes."""
        return self.served.device

    @abstractmethod
    def read(self, wish: ForecastWish) -> ForecastJob:
        """A job for the engine from a wish that keeps the limits.

        Raises:
            ValueError: what is asked for is malformed, or the model cannot do it.
        """

    # ---- asking ----

    async def handle_request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a request made of plain values.

        Args:
            request: ``tokens`` (points ``[T, D]`` or ``[B, T, D]``), ``max_new_tokens``, ``temperature`` and
                the other fields of `InferRequest`.

        Returns:
            ``generated_tokens`` (points, nested as the tokens were) and the other fields of `InferReply`.

        Raises:
            RequestError: with a status of HTTP and what to do.
        """
        try:
            message = InferRequest.model_validate(dict(request))
        except ValidationError as error:
            raise bad_request(describe_invalid(error.errors(include_url=False))) from None
        content = await self.answer(message)
        return {key: _plain(value) for key, value in content.items()}

    async def answer(self, message: InferRequest | ForecastRequest) -> dict[str, Any]:
        """Answer a checked request; arrays in the answer stay arrays.

        Raises:
            RequestError: with a status of HTTP and what to do.
        """
        wish, clock = message.wish()
        served = await self.forecast(wish, request_id=message.request_id)
        return reply(
            served,
            model=self.name,
            path_name=message.path_name,
            clock=clock,
            routing=message.return_routing,
        )

    async def forecast(self, wish: ForecastWish, *, request_id: str | None = None) -> Served:
        """Make a forecast; cancelling the wait takes it out of the engine.

        Raises:
            RequestError: with a status of HTTP and what to do.
        """
        try:
            ticket = self._submit(wish)
            result = await self.worker.wait(ticket)
            _check_finite(result)
        except EXPECTED as error:
            refusal = error_of(error)
            self.metrics.refused(refusal.status)
            raise refusal from error
        self.metrics.served(ticket)
        return Served(
            request_id=request_id or uuid.uuid4().hex,
            result=result,
            horizon=wish.horizon,
            seconds=ticket.seconds,
            queue_seconds=ticket.queue_seconds,
            first_step_seconds=ticket.first_step_seconds,
            hit_rate=self.worker.engine.counts.hit_rate,
        )

    def _submit(self, wish: ForecastWish) -> Ticket:
        """Check a wish and hand it to the engine."""
        if wish.session is not None and not self.limits.sessions:
            raise bad_request(
                "this server keeps no sessions: it may be one of several replicas, and the next request may "
                "reach another; send the whole path with every request"
            )
        shape = np.shape(wish.context)
        self.limits.check(
            contexts=shape[0] if len(shape) == 3 else 1,
            points=shape[-2] if len(shape) > 1 else 0,
            horizon=wish.horizon,
            samples=wish.num_samples,
            quantiles=wish.quantiles,
        )
        return self.worker.submit(self.read(wish), timeout=self.limits.timeout(wish.timeout))

    def forget_session(self, name: str) -> None:
        """End a session that nobody will push to any more; one that is not open is no error."""
        self.worker.call(lambda engine: engine.sessions.forget(name))

    # ---- state ----

    @property
    def alive(self) -> bool:
        """Whether requests can be answered."""
        return self.worker.alive

    @property
    def full(self) -> bool:
        """Whether a further request would be refused now."""
        return self.worker.waiting >= self.limits.waiting

    def close(self, *, drain: bool = True, timeout: float = 30.0) -> bool:
        """Take no more requests; answer those that are in, or with ``drain=False`` refuse them.

        Returns:
            Whether all has ended within ``timeout`` seconds.
        """
        return self.worker.close(drain=drain, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(drain=error is None)


def session_store(limits: Limits) -> SessionStore:
    """A store of sessions within a server's limits."""
    return SessionStore(
        most=max(1, limits.sessions), idle_seconds=limits.session_seconds, most_points=limits.session_points
    )


def _check_finite(result: GenerationResult) -> None:
    """Refuse numbers that no face could say; far beyond what moves, arithmetic overflows.

    Raises:
        RequestError: 400.
    """
    drawn = [] if result.samples is None else [result.samples]
    if not all(
        np.isfinite(part).all() for part in (result.mean, result.points, *drawn, *result.quantiles.values())
    ):
        raise beyond_numbers()


def _plain(value: Any) -> Any:
    return (
        value.tolist()
        if isinstance(value, np.ndarray)
        else ({key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value)
    )
