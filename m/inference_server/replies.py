"""Answers of the server's own face."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from m.inference_server.times import Clock
from m.inference_server.wish import Served

if TYPE_CHECKING:
    from m.generation.interface import LayerView, RoutingView
    from m.inference_server.forecast_server import ForecastServer


def reply(
    served: Served, *, model: str, path_name: str, clock: Clock | None = None, routing: bool = False
) -> dict[str, Any]:
    """The answer as plain values and arrays.

    Args:
        served: what was found.
        model: its name.
        path_name: what the face calls the forecast path.
        clock: when the request's points were.
        routing: also tell who served.
    """
    result = served.result
    content: dict[str, Any] = {
        "request_id": served.request_id,
        "model": model,
        path_name: result.points,
        "mean": result.mean,
        "timing": {
            "total_ms": 1e3 * served.seconds,
            "queue_ms": 1e3 * served.queue_seconds,
            "first_step_ms": 1e3 * served.first_step_seconds,
        },
        "steps_per_second": served.steps_per_second,
        "model_steps": result.model_steps,
        "reused_prefix_length": result.reused_points,
        "cache_hit_rate": served.hit_rate,
    }
    if result.samples is not None:
        content["samples"] = result.samples
    if result.quantiles:
        content["quantiles"] = {repr(level): values for level, values in result.quantiles.items()}
    if clock is not None:
        if result.session is not None:
            clock = clock.after(result.session.points)
            clock.check(served.horizon)
        content |= {"timestamps": clock.ahead(served.horizon), "resampled": clock.resampled}
    if result.session is not None:
        content["session"] = {
            "id": result.session.id,
            "points": result.session.points,
            "context_points": result.session.context_points,
            "anchor_points": result.session.anchor_points,
            "reanchored": result.session.reanchored,
            "ended": result.session.ended,
        }
    if routing:
        content["routing"] = describe_routing(result.routing, batched=result.mean.ndim == 3)
    return content


def describe_model(server: ForecastServer) -> dict[str, Any]:
    """What a model takes and gives, and how much its server allows."""
    config = server.config
    dense = config.router.is_dense
    return {
        "name": server.name,
        "device": server.device,
        "input_dim": config.input_dim,
        "target_dim": config.target_dim,
        "steps_per_pass": config.head.prediction_steps,
        "layers": config.n_layers,
        "experts": 0 if dense else config.router.n_experts,
        "active_experts": 0 if dense else config.router.top_k,
        "parameters": server.served.parameters,
        "active_parameters": server.served.active_parameters,
        "limits": asdict(server.limits),
    }


def describe_routing(record: RoutingView, *, batched: bool) -> list[dict[str, Any]]:
    """Per layer: who served each context's last token, with which gates, and how the load was shared."""
    return [_layer(number, layer, batched) for number, layer in enumerate(record.layers)]


def _layer(number: int, layer: LayerView, batched: bool) -> dict[str, Any]:
    last = np.maximum(_host(layer.valid).sum(1) - 1, 0)[:, None, None]  # [B, 1, 1]
    experts = np.take_along_axis(_host(layer.experts), last, 1)[:, 0].tolist()
    weights = np.take_along_axis(_host(layer.weights), last, 1)[:, 0].tolist()
    load = _host(layer.load)
    return {
        "layer": number,
        "experts": experts if batched else experts[0],
        "weights": weights if batched else weights[0],
        "load": (load / max(load.sum(), 1.0)).tolist(),
    }


def _host(held: Any) -> Any:
    """An array of what may be a tensor on some device."""
    if not hasattr(held, "detach"):
        return held
    held = held.detach()
    return (held.float() if held.is_floating_point() else held).cpu().numpy()
