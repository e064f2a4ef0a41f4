"""What a client wants, whichever face of the server it spoke to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from m.arrays import Array
from m.generation.result import GenerationResult
from m.generation.session import SessionPush

OnBlock = Callable[[int, Array], None]


@dataclass(frozen=True, kw_only=True)
class ForecastWish:
    """A forecast to be made; the arguments of `MoESequenceRegressor.forecast`, and what serving adds.

    Attributes:
        context: observed points ``[T, D]`` or ``[B, T, D]``; with a session, only those that are new.
        horizon: points to predict.
        temperature: of the forecast path; 0 is the centre.
        num_samples: paths to draw per context.
        quantiles: levels to state.
        seed: of what is drawn.
        lengths: valid points of each right-padded context.
        anchor_points: the first points that the anchor is taken from; all by default.
        session: which session the points belong to.
        timeout: seconds after which the answer is of no use.
        on_block: told of every P points of the forecast path as soon as they are known, with the number of
            the first; called from the engine's thread. One context only.
    """

    context: Any
    horizon: int
    temperature: float = 0.0
    num_samples: int | None = None
    quantiles: tuple[float, ...] = ()
    seed: int | None = None
    lengths: tuple[int, ...] | None = None
    anchor_points: int | None = None
    session: SessionPush | None = None
    timeout: float | None = None
    on_block: OnBlock | None = None

    def options(self) -> dict[str, Any]:
        """What a job is read with, beside context and horizon."""
        return {
            "quantiles": self.quantiles,
            "session": self.session,
            "on_block": self.on_block,
            "temperature": self.temperature,
            "num_samples": self.num_samples,
            "seed": self.seed,
            "lengths": self.lengths,
            "anchor_points": self.anchor_points,
        }


@dataclass(frozen=True)
class Served:
    """A forecast made, and what it took.

    Attributes:
        request_id: by which it can be found in the logs.
        result: the forecast.
        horizon: points predicted.
        seconds: from the request's arrival to the result.
        queue_seconds: of them, until the engine took it up.
        first_step_seconds: until its context had been read, which is when the first P points are known.
        hit_rate: share of all points served so far that had been read before.
    """

    request_id: str
    result: GenerationResult
    horizon: int
    seconds: float
    queue_seconds: float
    first_step_seconds: float
    hit_rate: float

    @property
    def steps_per_second(self) -> float:
        """Forecast points per second, those of all contexts' paths counted once."""
        return self.horizon / self.seconds if self.seconds > 0 else 0.0
