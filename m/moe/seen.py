"""How far back a model can look. Imports no torch."""

from __future__ import annotations

from m.moe.config import ModelConfig


def seen_points(config: ModelConfig) -> int | None:
    """Points before a forecast that it can depend on, if their number is bounded; else None.

    A token sees a window of points, and through each attending block the ``reach`` tokens up to its own,
    which lie strides apart; the anchor is taken from ``span`` points.
    """
    reach, span = config.attention.reach, config.anchor.span
    if reach is None or not span:
        return None
    back = config.attending_blocks * (reach - 1) * config.stride
    return max(config.window + back, span)
