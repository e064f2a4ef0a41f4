"""Lazy package exports (PEP 562): a room's public names load their module on first use.

Importing torch costs seconds, and the commands must answer ``--help`` at once, so no
``__init__`` imports its heavy modules; it lists where each public name lives instead.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(
    package: str, exports: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make ``__getattr__``, ``__dir__`` and ``__all__`` for a package.

    Args:
        package: the package's ``__name__``.
        exports: public name -> dotted module that defines it.
    """

    def get(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(exports[name]), name)

    return get, lambda: sorted(exports), sorted(exports)
