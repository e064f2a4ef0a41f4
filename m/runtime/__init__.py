"""Forecasts of an exported model, without torch and without the model's code."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.runtime.manifest import Manifest
    from m.runtime.model import ExportedModel, load_exported

__all__ = ["ExportedModel", "Manifest", "load_exported"]

__getattr__, __dir__, _ = lazy_exports(
    __name__,
    {
        "ExportedModel": "m.runtime.model",
        "Manifest": "m.runtime.manifest",
        "load_exported": "m.runtime.model",
    },
)
