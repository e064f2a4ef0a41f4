"""The registry of motion types: one function per type, found by name.

A motion is a function ``(rng, count, times, *, option=default, ...) -> [count, T, 3]`` in metres.
Its keyword-only arguments are the options a configuration may set.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Range = tuple[float, float]
MotionFunction = Callable[..., FloatArray]

_POSITIONAL = ("rng", "count", "times")
_MOTIONS: dict[str, MotionFunction] = {}
_OWN_TIMES: set[str] = set()

_F = TypeVar("_F", bound=MotionFunction)


def register_motion(name: str, *, own_times: bool = False) -> Callable[[_F], _F]:
    """Make a function known as the motion type ``name``.

    The function takes ``rng`` (a numpy generator, its only source of randomness), ``count``
    (windows to draw), ``times`` ([T] seconds from the first point of the window) and keyword-only
    options with defaults, and returns positions [count, T, 3] in metres.

    With ``own_times`` it promises to take ``times`` [count, T] as well, where every row is the
    first row times a factor: windows sampled at different rates are then drawn in one call.

    Raises:
        ValueError: the name is taken.
        TypeError: the signature is not of that form.
    """

    def register(function: _F) -> _F:
        if name in _MOTIONS:
            owner = f"{_MOTIONS[name].__module__}.{_MOTIONS[name].__qualname__}"
            raise ValueError(f"motion type {name!r} is already registered by {owner}; choose another name")
        _check_signature(name, function)
        _MOTIONS[name] = function
        if own_times:
            _OWN_TIMES.add(name)
        return function

    return register


def motion_names() -> tuple[str, ...]:
    """All registered motion types, in order of registration."""
    return tuple(_MOTIONS)


def takes_own_times(name: str) -> bool:
    """Whether a motion type was registered with ``own_times``."""
    return name in _OWN_TIMES


def get_motion(name: str) -> MotionFunction:
    """Find a motion type.

    Raises:
        ValueError: no such type; the message lists those known and the nearest name.
    """
    if name not in _MOTIONS:
        raise ValueError(
            f"unknown motion type {name!r}{_nearest(name, _MOTIONS)}; "
            f"known types: {', '.join(sorted(_MOTIONS))}"
        )
    return _MOTIONS[name]


def motion_options(name: str) -> dict[str, Any]:
    """Option names of a motion type with their defaults."""
    parameters = inspect.signature(get_motion(name)).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_options(name: str, options: Iterable[str]) -> None:
    """Refuse option names that the motion type does not have.

    Raises:
        ValueError: naming the option, the nearest valid one and all valid ones.
    """
    valid = motion_options(name)
    for option in options:
        if option not in valid:
            listing = ", ".join(valid) if valid else "it has none"
            raise ValueError(
                f"motion type {name!r} has no option {option!r}{_nearest(option, valid)}; "
                f"its options: {listing}"
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_signature(name: str, function: MotionFunction) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    positional = tuple(p.name for p in parameters[:3])
    options_ok = all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters[3:])
    if positional != _POSITIONAL or not options_ok:
        raise TypeError(
            f"motion type {name!r}: {function.__qualname__} must take (rng, count, times, *, "
            f"option=default, ...), got {inspect.signature(function)}"
        )
