"""onnxruntime, without its telemetry."""

from __future__ import annotations

import os
from typing import Any


def onnxruntime() -> Any:
    """The module.

    Its official builds report what they run to their maker unless told not to, from 1.29 on under Linux too.
    Whose paths are forecast here has not agreed to that; who wants it sets ``ORT_DISABLE_TELEMETRY=0``.

    Raises:
        ImportError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the module is loaded
    import onnxruntime as module  # noqa: PLC0415  (only where such a graph is run)

    module.disable_telemetry_events()
    return module


def onnx_errors() -> tuple[type[Exception], ...]:
    """All that onnxruntime raises: kinds of its own, which share no base, and Python's own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415

    kinds = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*kinds, RuntimeError, ValueError, OSError)
