"""Range checks shared by the configuration dataclasses."""

from __future__ import annotations

import math


def at_least(name: str, value: float, minimum: float) -> None:
    """Refuse a value below ``minimum`` (or not finite), naming the key and the value."""
    if not math.isfinite(value) or value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")


def between(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside ``[low, high]``, naming the key and the value."""
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low}, {high}], got {value}")


def positive(name: str, value: float) -> None:
    """Refuse a value that is not finite and above zero, naming the key and the value."""
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be above 0, got {value}")
