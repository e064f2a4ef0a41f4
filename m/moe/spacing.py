"""Which points become tokens, and the room that a roll-out takes. Imports no torch."""

from __future__ import annotations

import math

from m.moe.config import ModelConfig

_LEAST_CAPACITY = 32  # slots


def rolls_on(config: ModelConfig, horizon: int) -> bool:
    """Whether a forecast of so many points goes on from its own."""
    return horizon > config.head.prediction_steps


def points_fed_back(config: ModelConfig, horizon: int) -> int:
    """Own predictions that a roll-out of ``horizon`` points adds to its cache: whole blocks of P.

    None where it reads its last points anew.
    """
    if config.anchor.rolling == "fresh":
        return 0
    steps = config.head.prediction_steps
    return max(0, -(-horizon // steps) - 1) * steps


def cache_capacity(config: ModelConfig, length: int, horizon: int) -> int:
    """Slots for a context of ``length`` points and all that will be fed back.

    Rounded up to 32, 48, 64, 96, 128, ...: paths that roll on together share a cache, so few sizes are
    better; and alone they have the same, so that both ways round alike.
    """
    return rounded_capacity(length + points_fed_back(config, horizon))


def rounded_capacity(needed: int) -> int:
    """The next of 32, 48, 64, 96, 128, ..."""
    capacity = _LEAST_CAPACITY
    while capacity < needed:
        capacity *= 2
    return capacity * 3 // 4 if capacity > _LEAST_CAPACITY and capacity * 3 // 4 >= needed else capacity


def token_spacing(config: ModelConfig, horizon: int) -> int:
    """Points between the tokens that a forecast reads.

    Rolled on by P points, a token sees others that lie strides before it: all on a grid that holds both.
    """
    rolled = points_fed_back(config, horizon)
    return math.gcd(config.stride, config.head.prediction_steps) if rolled else config.stride
