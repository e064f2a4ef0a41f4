"""What a served request gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from m.arrays import Array
from m.generation.session import SessionState

if TYPE_CHECKING:
    from m.generation.interface import RoutingView


@dataclass(frozen=True)
class GenerationResult:
    """A forecast, equal to that of `MoESequenceRegressor.forecast` for the same request.

    Arrays have no batch axis when the request's context had none.

    Attributes:
        points: the path at the asked temperature, ``[B, H, K]``, in the context's units.
        mean: centre of the predictive distribution, ``[B, H, K]``.
        samples: drawn paths ``[B, S, H, K]``, or None when none were asked for.
        quantiles: level -> ``[B, H, K]``, those asked for.
        routing: experts that served the context's tokens, per layer ``[B, T', ...]``.
        model_steps: forward passes that the request took part in.
        reused_points: of its contexts, those that had been read before.
        session: where the session stands that the points were pushed to.
    """

    points: Array
    mean: Array
    samples: Array | None
    quantiles: dict[float, Array]
    routing: RoutingView
    model_steps: int
    reused_points: int = 0
    session: SessionState | None = None
