"""m: mixture-of-experts transformers for continuous sequences of any dimension."""

from typing import TYPE_CHECKING

from m._lazy import lazy_exports

if TYPE_CHECKING:
    from m.release import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

__getattr__, __dir__, _ = lazy_exports(__name__, {"load": "m.release"})
