"""`InferenceServer`: a model, its engine, and requests answered from any event loop."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from pydantic import ValidationError

from m.device import choose_device
from m.generation.engine import Engine
from m.generation.job import Job
from m.generation.prefix import PrefixCache
from m.generation.result import GenerationResult
from m.generation.session import SessionStore
from m.generation.worker import EngineWorker, Ticket
from m.inference_server.errors import EXPECTED, bad_request, beyond_numbers, describe_invalid, error_of
from m.inference_server.limits import Limits
from m.inference_server.messages import ForecastRequest, InferRequest
from m.inference_server.metrics import ServerMetrics
from m.inference_server.replies import reply
from m.inference_server.wish import ForecastWish, Served
from m.moe.model import MoESequenceRegressor
from m.release import load


class InferenceServer:
    """Serves the forecasts of one model; equal to those of its `forecast` within rounding.

    Requests may come from any event loop. The model computes in a thread of its own, and requests that
    overlap share its steps (see `m.generation`). Close it, or use it as a context manager.

    Args:
        model_path: what `m.load` takes: a checkpoint, a run's or a release's folder, a registered name.
        device: ``auto`` (CUDA when there is one), or what `torch.device` takes.
        model: already loaded, instead of ``model_path``; it belongs to the server from now on.
        name: what clients call the model; by default from the path.
        limits: how much a client may ask for.
        most_rows: paths that share a step; 1 serves one request after the other.

    Raises:
        CheckpointError: no model there.
        ValueError: both or neither of path and model, or no such device here.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        device: str = "auto",
        *,
        model: MoESequenceRegressor | None = None,
        name: str | None = None,
        limits: Limits | None = None,
        most_rows: int = 256,
    ) -> None:
        self.limits = limits or Limits()
        self.model = _placed(model_path, model, choose_device(device))
        self.name = name or (model_name(model_path) if model_path is not None else "model")
        engine = Engine(
            self.model,
            most_rows=most_rows,
            prefixes=PrefixCache(self.limits.prefix_bytes) if self.limits.prefix_bytes else None,
            sessions=SessionStore(
                most=self.limits.sessions,
                idle_seconds=self.limits.session_seconds,
                most_points=self.limits.session_points,
            ),
        )
        self.worker = EngineWorker(engine, most_waiting=self.limits.waiting)
        self.metrics = ServerMetrics(self.worker)

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
        shape = np.shape(wish.context)
        self.limits.check(
            contexts=shape[0] if len(shape) == 3 else 1,
            points=shape[-2] if len(shape) > 1 else 0,
            horizon=wish.horizon,
            samples=wish.num_samples,
            quantiles=wish.quantiles,
        )
        job = Job.read(
            self.model,
            wish.context,
            wish.horizon,
            quantiles=wish.quantiles,
            session=wish.session,
            on_block=wish.on_block,
            temperature=wish.temperature,
            num_samples=wish.num_samples,
            seed=wish.seed,
            lengths=wish.lengths,
            anchor_points=wish.anchor_points,
        )
        return self.worker.submit(job, timeout=self.limits.timeout(wish.timeout))

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


def _placed(
    path: str | Path | None, model: MoESequenceRegressor | None, device: torch.device
) -> MoESequenceRegressor:
    """The model that was given, or that lies at the path, on a device and in eval mode."""
    if path is not None and model is None:
        return load(path, device=device).eval()
    if model is not None and path is None:
        return model.to(device).eval()
    raise ValueError("give either model_path or model")


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


def model_name(path: str | Path) -> str:
    """What a model at a path is called: its folder's name, or that of a lone file."""
    found = Path(path)
    if found.suffix and found.stem in ("best_model", "final_model", "model") and found.resolve().parent.name:
        return found.resolve().parent.name
    return found.stem if found.suffix else found.name or found.resolve().name


def _plain(value: Any) -> Any:
    return (
        value.tolist()
        if isinstance(value, np.ndarray)
        else ({key: _plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value)
    )
