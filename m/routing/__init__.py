"""Which experts a token goes to, and the record of it."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.routing.base import Router, register_router
    from m.routing.config import RouterConfig
    from m.routing.record import LayerRouting, Routing, RoutingRecord
    from m.routing.registry import router_class, router_kinds

__all__ = [
    "LayerRouting",
    "Router",
    "RouterConfig",
    "Routing",
    "RoutingRecord",
    "register_router",
    "router_class",
    "router_kinds",
]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "LayerRouting": "m.routing.record",
        "Router": "m.routing.base",
        "RouterConfig": "m.routing.config",
        "Routing": "m.routing.record",
        "RoutingRecord": "m.routing.record",
        "register_router": "m.routing.base",
        "router_class": "m.routing.registry",
        "router_kinds": "m.routing.registry",
    },
)
