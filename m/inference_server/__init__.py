"""Serving forecasts: one engine behind a Python call, HTTP, WebSocket and the Open Inference Protocol."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.inference_server.errors import RequestError
    from m.inference_server.limits import Limits
    from m.inference_server.server import InferenceServer

__all__ = ["InferenceServer", "Limits", "RequestError"]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "InferenceServer": "m.inference_server.server",
        "Limits": "m.inference_server.limits",
        "RequestError": "m.inference_server.errors",
    },
)
