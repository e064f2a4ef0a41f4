"""The built-in routers, registered by importing them."""

from __future__ import annotations

from m.routing import sinkhorn, topk, topk_bias
from m.routing.base import Router, register_router, router_class, router_kinds

__all__ = ["Router", "register_router", "router_class", "router_kinds", "sinkhorn", "topk", "topk_bias"]
