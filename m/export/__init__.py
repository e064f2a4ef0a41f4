"""Models as graphs that run without this package's modules: torch.export programs and ONNX, for shipping."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.export.cached import CachedGraph, make_graph
    from m.export.formats import FORMATS, export_model
    from m.export.graph import ForecastGraph, FreshGraph
    from m.export.parity import Parity, measure_parity

__all__ = [
    "FORMATS",
    "CachedGraph",
    "ForecastGraph",
    "FreshGraph",
    "Parity",
    "export_model",
    "make_graph",
    "measure_parity",
]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "FORMATS": "m.export.formats",
        "CachedGraph": "m.export.cached",
        "ForecastGraph": "m.export.graph",
        "FreshGraph": "m.export.graph",
        "make_graph": "m.export.cached",
        "Parity": "m.export.parity",
        "export_model": "m.export.formats",
        "measure_parity": "m.export.parity",
    },
)
